//! Blocks, anonymous and named, as one process and several see them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::Ordering::Relaxed;

use common::passes_with_mounts;
use mp_shared_memory::{SharedMemory, SharedMemoryError as Error};
use mp_testing::again::passes_as_another_user;

mp::enable_test_support!();

/// A name of this process, unlinked at the end of a test that fails as well.
struct Name(String);

impl Name {
    fn new(of: &str) -> Name {
        Name(format!("mp-test-{of}-{}", std::process::id()))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(format!("/dev/shm/{}", self.0));
    }
}

fn bytes<const N: usize>(memory: &SharedMemory, offset: usize) -> [u8; N] {
    let mut bytes = [0; N];
    memory.read_at(offset, &mut bytes).unwrap();
    bytes
}

#[test]
fn sh_01_sh_02_a_block_has_the_name_and_size_it_was_given_and_is_zero() {
    let name = Name::new("sh01");
    let memory = SharedMemory::create_named(&name.0, 512).unwrap();
    assert_eq!((memory.name(), memory.size()), (Some(&*name.0), 512));
    assert_eq!(bytes(&memory, 0), [0; 512]);
    memory.write_at(0, b"hello").unwrap();
    assert_eq!(&bytes(&memory, 0), b"hello");
    let text = format!("{memory:?}");
    assert!(text.contains(&name.0) && text.contains("512"), "{text}");
    memory.unlink().unwrap();

    let anonymous = SharedMemory::create(100_000).unwrap();
    assert_eq!((anonymous.name(), anonymous.size()), (None, 100_000));
    assert!(format!("{anonymous:?}").contains("100000"));
    assert!(matches!(anonymous.unlink(), Err(Error::Anonymous)));
}

#[test]
fn sh_03_a_second_handle_by_name_sees_the_same_bytes_both_ways() {
    let name = Name::new("sh03");
    let first = SharedMemory::create_named(&name.0, 512).unwrap();
    let second = SharedMemory::open(&name.0).unwrap();
    assert!(first.is_same(&second) && second.size() == 512);
    first.write_at(3, b"first").unwrap();
    assert_eq!(&bytes(&second, 3), b"first");
    second.write_at(511, &[9]).unwrap();
    assert_eq!(bytes(&first, 511), [9]);
    assert_eq!(first.bytes()[511].load(Relaxed), 9);
    let attached = SharedMemory::create_or_open(&name.0, 9999).unwrap();
    assert!(attached.is_same(&first) && attached.size() == 512, "SH-06");
    first.unlink().unwrap();
    let made = SharedMemory::create_or_open(&name.0, 99).unwrap();
    assert!(!made.is_same(&first) && made.size() == 99);
    made.unlink().unwrap();
}

#[test]
fn sh_04_no_bytes_are_no_block() {
    let name = Name::new("sh04");
    for result in [SharedMemory::create(0), SharedMemory::create_named(&name.0, 0)] {
        assert!(matches!(result, Err(Error::InvalidSize { size: 0 })));
    }
    assert!(matches!(SharedMemory::open(&name.0), Err(Error::NotFound { .. })));
}

#[test]
fn sh_05_names_in_use_and_names_of_nothing_are_errors_that_name_them() {
    let name = Name::new("sh05");
    let error = SharedMemory::open(&name.0).unwrap_err();
    assert!(matches!(&error, Error::NotFound { name: it } if *it == name.0), "{error}");
    let memory = SharedMemory::create_named(&name.0, 10).unwrap();
    let error = SharedMemory::create_named(&name.0, 10).unwrap_err();
    assert!(matches!(&error, Error::Exists { name: it } if *it == name.0), "{error}");
    memory.unlink().unwrap();
}

#[test]
fn sh_06_generated_names_differ() {
    let blocks = [(); 20].map(|()| SharedMemory::create_with_new_name(10).unwrap());
    let names: std::collections::BTreeSet<_> = blocks.iter().map(SharedMemory::name).collect();
    assert_eq!(names.len(), 20);
    for block in &blocks {
        assert!(SharedMemory::open(block.name().unwrap()).unwrap().is_same(block));
        block.unlink().unwrap();
    }
}

#[test]
fn sh_07_unlink_works_once_through_any_handle() {
    let name = Name::new("sh07");
    let first = SharedMemory::create_named(&name.0, 10).unwrap();
    let second = SharedMemory::open(&name.0).unwrap();
    second.unlink().unwrap();
    for handle in [&first, &second] {
        assert!(matches!(handle.unlink(), Err(Error::NotFound { .. })));
    }
    let other = SharedMemory::create_named(&name.0, 10).unwrap();
    assert!(matches!(first.unlink(), Err(Error::NotFound { .. })), "the name is another block's");
    other.unlink().unwrap();
}

#[test]
fn sh_08_a_handle_in_a_message_is_the_same_memory_until_it_is_unlinked() {
    let name = Name::new("sh08");
    let memory = SharedMemory::create_named(&name.0, 10).unwrap();
    let message = mp_reduction::encode(&memory).unwrap();
    let token = memory.token().unwrap();
    let (same, third) = (message.decode::<SharedMemory>().unwrap(), SharedMemory::open(&name.0));
    let by_token = SharedMemory::from_token(&token).unwrap();
    same.write_at(0, b"three").unwrap();
    for handle in [&memory, &third.unwrap(), &by_token] {
        assert_eq!(&bytes(handle, 0), b"three");
    }
    memory.unlink().unwrap();
    let error = message.decode::<SharedMemory>().unwrap_err();
    assert!(error.to_string().contains(&name.0), "{error}");
    // Other memory of the same name is not what was sent.
    let other = SharedMemory::create_named(&name.0, 10).unwrap();
    assert!(message.decode::<SharedMemory>().is_err());
    assert!(matches!(SharedMemory::from_token(&token), Err(Error::NotFound { .. })));
    other.unlink().unwrap();
}

#[test]
fn sh_09_a_child_writes_by_name_and_by_argument() {
    fn by_name(name: String) -> mp::Result<()> {
        Ok(SharedMemory::open(&name)?.write_at(0, b"hello")?)
    }
    fn by_argument(memory: SharedMemory) -> mp::Result<()> {
        Ok(memory.write_at(5, b"world")?)
    }
    let name = Name::new("sh09");
    let named = SharedMemory::create_named(&name.0, 10).unwrap();
    mp::Process::start(by_name, (name.0.clone(),)).unwrap().join().unwrap();
    mp::Process::start(by_argument, (named.clone(),)).unwrap().join().unwrap();
    assert_eq!(&bytes(&named, 0), b"helloworld");
    assert!(SharedMemory::open(&name.0).is_ok(), "SH-14: who opened it has ended");
    named.unlink().unwrap();
    for size in [10, 100_000] {
        let anonymous = SharedMemory::create(size).unwrap();
        mp::Process::start(by_argument, (anonymous.clone(),)).unwrap().join().unwrap();
        assert_eq!(&bytes(&anonymous, 5), b"world");
    }
}

#[test]
fn sh_10_what_is_mapped_stays_usable_after_unlink() {
    let name = Name::new("sh10");
    let memory = SharedMemory::create_named(&name.0, 10).unwrap();
    let other = SharedMemory::open(&name.0).unwrap();
    memory.unlink().unwrap();
    other.write_at(0, b"still").unwrap();
    assert_eq!(&bytes(&memory, 0), b"still");
    assert_eq!((memory.name(), memory.size()), (Some(&*name.0), 10));
    assert!(matches!(SharedMemory::open(&name.0), Err(Error::NotFound { .. })));
}

#[test]
fn sh_12_rt_05_what_is_no_name_is_an_error_that_names_it() {
    let long = "n".repeat(251);
    for name in ["", ".", "..", "/a", "a/b", "a\0b", &long, &"é".repeat(300)] {
        let calls = [SharedMemory::create_named(name, 10), SharedMemory::open(name)];
        for error in calls.map(Result::unwrap_err) {
            assert!(matches!(&error, Error::InvalidName { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    let longest = "n".repeat(240) + &format!("{:010}", std::process::id());
    SharedMemory::create_named(&longest, 10).unwrap().unlink().unwrap();
}

#[test]
fn positions_outside_are_errors_and_change_nothing() {
    let memory = SharedMemory::create(10).unwrap();
    for (offset, len) in [(10, 1), (9, 2), (11, 0), (usize::MAX, 1), (usize::MAX, 0)] {
        let error = memory.write_at(offset, &vec![1; len]).unwrap_err();
        assert!(matches!(error, Error::OutOfBounds { size: 10, .. }), "{error}");
        assert!(memory.read_at(offset, &mut vec![1; len]).is_err());
    }
    memory.write_at(10, &[]).unwrap();
    assert_eq!(bytes(&memory, 0), [0; 10]);
}

#[test]
fn only_its_owner_may_open_a_name() {
    let name = Name::new("rights");
    let memory = SharedMemory::create_named(&name.0, 10).unwrap();
    let mode = std::fs::metadata(format!("/dev/shm/{}", name.0)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    memory.unlink().unwrap();
}

#[test]
fn a_token_is_of_no_use_to_another_user() {
    let name = Name::new("user");
    let named = SharedMemory::create_named(&name.0, 10).unwrap();
    let anonymous = SharedMemory::create(10).unwrap();
    let tokens = [anonymous.token().unwrap(), named.token().unwrap()];
    passes_as_another_user("as_another_user", "MP_TEST_TOKENS", &tokens.join(" "));
    named.unlink().unwrap();
}

#[test]
#[ignore = "run as another user by a_token_is_of_no_use_to_another_user"]
fn as_another_user() {
    for token in std::env::var("MP_TEST_TOKENS").unwrap().split(' ') {
        let error = SharedMemory::from_token(token).unwrap_err();
        let is_refused = matches!(error, Error::SessionUnreachable { .. } | Error::System { .. });
        assert!(is_refused, "{token}: {error}");
    }
}

#[test]
fn names_need_their_file_system_and_nothing_else_does() {
    passes_with_mounts("mount -t tmpfs none /dev", "without_dev_shm");
}

#[test]
#[ignore = "run without /dev/shm by names_need_their_file_system_and_nothing_else_does"]
fn without_dev_shm() {
    for call in [SharedMemory::create_named("a", 10), SharedMemory::open("a")] {
        let error = call.unwrap_err();
        assert!(matches!(error, Error::System { .. }), "{error}");
        assert!(error.to_string().contains("/dev/shm"), "{error}");
    }
    let anonymous = SharedMemory::create(1 << 20).unwrap();
    anonymous.write_at(5, b"works").unwrap();
    let same = SharedMemory::from_token(&anonymous.token().unwrap()).unwrap();
    assert_eq!(&bytes(&same, 5), b"works");
}

#[test]
fn what_other_programs_put_there_is_opened_and_left_alone() {
    let name = Name::new("foreign");
    let path = format!("/dev/shm/{}", name.0);
    std::fs::write(&path, b"theirs").unwrap();
    let memory = SharedMemory::open(&name.0).unwrap();
    assert_eq!(&bytes(&memory, 0), b"theirs");
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(SharedMemory::open(&name.0), Err(Error::Foreign { .. })));
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    assert!(SharedMemory::open(&name.0).is_err());
    let made = SharedMemory::create_named(&name.0, 10).unwrap_err();
    assert!(matches!(made, Error::Exists { .. }), "{made}");
}
