//! A key of its own for a process: who has it, and where it does not show.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{ProcessError, StartError};
use mp_context as mp;

mp::enable_test_support!();

fn key() -> mp::Result<Vec<u8>> {
    Ok(mp::current_process().authkey().as_bytes().to_vec())
}

#[test]
fn p_11_au_01_a_key_of_its_own_is_that_of_the_process_and_of_those_that_it_starts() {
    fn family() -> mp::Result<[Vec<u8>; 3]> {
        let inherits = mp::Process::start(key, ())?.into_result()?;
        let other = mp::Process::builder(key, ()).authkey(b"a third").start()?.into_result()?;
        Ok([key()?, inherits, other])
    }

    let before = key().unwrap();
    let p = mp::Process::builder(family, ()).authkey(b"another").start().unwrap();
    assert_eq!(p.into_result().unwrap(), [b"another".as_slice(), b"another", b"a third"]);
    // Nobody else has it.
    assert_eq!(key().unwrap(), before);
    assert_eq!(mp::Process::start(key, ()).unwrap().into_result().unwrap(), before);
    let bytes: Vec<u8> = (0..=255).collect();
    let p = mp::Process::builder(key, ()).authkey("the first").authkey(&bytes).start().unwrap();
    assert_eq!(p.into_result().unwrap(), bytes);
}

#[test]
fn au_02_a_key_is_in_no_debug_text_of_a_builder_a_handle_or_an_error() {
    let show = || Ok(format!("{:?}", mp::current_process()));
    let builder = mp::Process::builder(show, ()).authkey("hush");
    let mut texts = vec![format!("{builder:?} {builder:#?}")];
    let p = builder.start().unwrap();
    texts.push(format!("{p:?} {p:#?}"));
    texts.push(p.into_result().unwrap());
    assert!(texts[2].contains("AuthKey(4 bytes)"), "{texts:?}");
    let builder = mp::Process::builder(show, ()).authkey("hush").env("", "x");
    texts.push(format!("{:?}", builder.start().unwrap_err()));
    let as_bytes = format!("{:?}", b"hush".as_slice());
    for text in texts {
        assert!(
            !text.contains("hush") && !text.contains(as_bytes.trim_matches(['[', ']'])),
            "{text}"
        );
    }
}

#[test]
fn au_01_a_key_that_is_empty_or_that_the_socket_does_not_take_is_refused_at_the_start() {
    let start = |bytes: &[u8]| {
        mp::Process::builder(key, ()).name("refused").authkey(bytes).start().unwrap_err()
    };
    let error = start(b"");
    assert!(matches!(error, ProcessError::Start(StartError::Spawn { .. })), "{error:?}");
    assert!(error.to_string().ends_with("its key is empty"), "{error}");
    let error = start(&vec![b'x'; 64 << 20]);
    assert!(matches!(error, ProcessError::Start(StartError::Resources { .. })), "{error:?}");
    let children = mp::active_children();
    assert!(children.iter().all(|child| child.name() != "refused"), "{children:?}");
}
