//! A value that does not cross costs the one call that it is of.

use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

use mp::{Pool, PoolError};
use mp_testing::limits::LONG;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{chunks_of, died, exception, is_sound};

/// What a value does on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    EncodeFails,
    EncodePanics,
    EncodeAborts,
    DecodeFails,
    DecodePanics,
    DecodeAborts,
    DecodeExits,
}

const TROUBLES: [Trouble; 8] = [
    Trouble::None,
    Trouble::EncodeFails,
    Trouble::EncodePanics,
    Trouble::EncodeAborts,
    Trouble::DecodeFails,
    Trouble::DecodePanics,
    Trouble::DecodeAborts,
    Trouble::DecodeExits,
];

impl Serialize for Trouble {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Trouble::EncodeFails => Err(serde::ser::Error::custom("it will not be encoded")),
            Trouble::EncodePanics => panic!("encoding panics"),
            Trouble::EncodeAborts => std::process::abort(),
            _ => to.serialize_u8(*self as u8),
        }
    }
}

impl<'de> Deserialize<'de> for Trouble {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Trouble, D::Error> {
        match TROUBLES[usize::from(u8::deserialize(from)?)] {
            Trouble::DecodeFails => Err(serde::de::Error::custom("it will not be decoded")),
            Trouble::DecodePanics => panic!("decoding panics"),
            Trouble::DecodeAborts => std::process::abort(),
            Trouble::DecodeExits => std::process::exit(3),
            trouble => Ok(trouble),
        }
    }
}

fn takes(_: Trouble) -> mp::Result<u64> {
    Ok(1)
}

fn makes(trouble: u8) -> mp::Result<Trouble> {
    Ok(TROUBLES[usize::from(trouble)])
}

fn made(pool: &Pool, trouble: Trouble) -> Result<Trouble, PoolError> {
    pool.apply(makes, (trouble as u8,))
}

#[track_caller]
fn is_encode<T: std::fmt::Debug>(outcome: Result<T, PoolError>) {
    match outcome {
        Err(error @ PoolError::Encode(_)) => {
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("it will not be encoded"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}

/// That a worker could not pass something, with these words for why.
#[track_caller]
fn is_transfer<T: std::fmt::Debug>(outcome: Result<T, PoolError>, words: [&str; 2]) {
    match outcome {
        Err(error @ PoolError::Transfer { .. }) => {
            let text = error.to_string();
            assert!(text.contains("-worker-"), "{text}");
            assert!(words.iter().all(|word| text.contains(word)), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn pl_24_an_argument_that_cannot_be_encoded_fails_that_call_only() {
    let pool = Pool::new(2).unwrap();
    let bad = Trouble::EncodeFails;
    let items = || [Trouble::None, bad, Trouble::None];
    for _ in 0..10 {
        is_encode(pool.apply(takes, (bad,)));
        let later = pool.apply_async(takes, (bad,)).unwrap();
        assert!(later.ready() && later.successful() == Some(false));
        is_encode(later.get());
        is_encode(later.into_result());
        for size in [1, 2, 10] {
            let calls = pool.with_options(chunks_of(size));
            is_encode(calls.map(takes, items()));
            is_encode(calls.map_async(takes, items()).unwrap().get());
            is_encode(calls.starmap(takes, items().map(|item| (item,))));
        }
        let mut others = pool.imap(takes, items()).unwrap();
        assert_eq!(others.next().unwrap().unwrap(), 1);
        is_encode(others.next().unwrap());
        assert_eq!(others.next().unwrap().unwrap(), 1);
        assert!(others.next().is_none());
        let others = pool.imap_unordered(takes, items()).unwrap();
        assert_eq!(others.filter(Result::is_ok).count(), 2);
    }
    is_sound(&pool);
    pool.close();
    pool.join().unwrap();
    let closed = pool.apply(takes, (bad,));
    assert!(matches!(closed, Err(PoolError::Closed)), "{closed:?}");
}

#[test]
fn pl_24_a_panic_in_the_encoding_of_an_argument_goes_through_the_call() {
    let text_of = |call: &mut dyn FnMut()| {
        let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(*panic.downcast_ref::<&str>().unwrap(), "encoding panics");
    };
    let pool = Pool::new(2).unwrap();
    let bad = Trouble::EncodePanics;
    let items = || [Trouble::None, bad, Trouble::None];
    for _ in 0..5 {
        text_of(&mut || drop(pool.apply(takes, (bad,))));
        text_of(&mut || drop(pool.apply_async(takes, (bad,))));
        text_of(&mut || drop(pool.with_options(chunks_of(1)).map(takes, items())));
        text_of(&mut || drop(pool.map_async(takes, [bad])));
        text_of(&mut || drop(pool.imap(takes, items()).map(Iterator::count)));
    }
    is_sound(&pool);
    pool.close();
    pool.join().unwrap();
}

#[test]
fn pl_24_imap_can_be_asked_again_after_the_encoding_of_an_item_has_panicked() {
    let pool = Pool::new(2).unwrap();
    for unordered in [false, true] {
        let items = [Trouble::None, Trouble::EncodePanics, Trouble::None];
        let mut results = match unordered {
            false => pool.imap(takes, items).unwrap(),
            true => pool.imap_unordered(takes, items).unwrap(),
        };
        let (mut panics, mut good) = (0, 0);
        loop {
            let limit = Duration::from_secs(2);
            match catch_unwind(AssertUnwindSafe(|| results.next_timeout(limit))) {
                Err(_) => panics += 1,
                Ok(Ok(Some(Ok(1)))) => good += 1,
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => break,
                Ok(Err(error)) => panic!("{error}: it would wait for ever; {good} came"),
            }
        }
        assert_eq!(panics, 1);
        assert!(good <= 2);
    }
}

#[test]
fn pl_24_x_12_an_argument_that_cannot_be_decoded_fails_that_task_only() {
    let pool = Pool::new(2).unwrap();
    let pids = pool.worker_pids();
    for _ in 0..5 {
        let words = ["arguments", "it will not be decoded"];
        is_transfer(pool.apply(takes, (Trouble::DecodeFails,)), words);
        is_transfer(pool.map(takes, [Trouble::None, Trouble::DecodeFails]), words);
        let mut results = pool.imap(takes, [Trouble::DecodeFails, Trouble::None]).unwrap();
        is_transfer(results.next().unwrap(), words);
        assert_eq!(results.next().unwrap().unwrap(), 1);
        let remote = exception(pool.apply(takes, (Trouble::DecodePanics,)).unwrap_err());
        assert!(remote.is_panic() && remote.message() == "decoding panics");
    }
    assert_eq!(pool.worker_pids(), pids, "no worker is lost");
    assert_eq!(died(pool.apply(takes, (Trouble::DecodeAborts,))), Some(-6));
    assert_eq!(died(pool.apply(takes, (Trouble::DecodeExits,))), Some(3));
    is_sound(&pool);
}

#[test]
fn pl_25_x_12_a_result_that_cannot_be_encoded_fails_that_task_only() {
    let pool = Pool::new(2).unwrap();
    let pids = pool.worker_pids();
    for _ in 0..20 {
        let words = ["result", "it will not be encoded"];
        is_transfer(made(&pool, Trouble::EncodeFails), words);
        is_transfer(pool.map(makes, [0, Trouble::EncodeFails as u8]), words);
        let mut results = pool.imap(makes, [Trouble::EncodeFails as u8, 0]).unwrap();
        is_transfer(results.next().unwrap(), words);
        assert_eq!(results.next().unwrap().unwrap(), Trouble::None);
        let remote = exception(made(&pool, Trouble::EncodePanics).unwrap_err());
        assert!(remote.is_panic() && remote.message() == "encoding panics");
    }
    let (sender, told) = mpsc::channel();
    let later = pool.apply_async(makes, (Trouble::EncodeFails as u8,)).unwrap();
    later.on_done(move |outcome| sender.send(outcome.as_ref().unwrap_err().to_string()).unwrap());
    assert!(told.recv_timeout(LONG).unwrap().contains("it will not be encoded"));
    assert_eq!(pool.worker_pids(), pids, "no worker is lost");
    assert_eq!(died(made(&pool, Trouble::EncodeAborts)), Some(-6));
    is_sound(&pool);
}

#[test]
fn pl_31_x_12_a_result_that_cannot_be_decoded_here_fails_that_task_only() {
    let pool = Pool::new(2).unwrap();
    for _ in 0..5 {
        for outcome in [
            made(&pool, Trouble::DecodeFails),
            pool.apply_async(makes, (Trouble::DecodeFails as u8,)).unwrap().into_result(),
            pool.map(makes, [0, Trouble::DecodeFails as u8]).map(|_| Trouble::None),
            pool.imap(makes, [Trouble::DecodeFails as u8]).unwrap().next().unwrap(),
        ] {
            let error = outcome.unwrap_err();
            assert!(matches!(error, PoolError::Decode(_)), "{error:?}");
            assert!(error.source().unwrap().to_string().contains("it will not be decoded"));
        }
        let words = ["result", "panics"];
        is_transfer(made(&pool, Trouble::DecodePanics), words);
        is_transfer(pool.map(makes, [Trouble::DecodePanics as u8]), words);
        let later = pool.apply_async(makes, (Trouble::DecodePanics as u8,)).unwrap();
        is_transfer(later.get(), words);
        let mut results = pool.imap(makes, [Trouble::DecodePanics as u8, 0]).unwrap();
        is_transfer(results.next().unwrap(), words);
        assert_eq!(results.next().unwrap().unwrap(), Trouble::None);
    }
    is_sound(&pool);
}

/// An error with a value that makes trouble.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("a troublesome error")]
struct Troublesome(Trouble);

#[test]
fn pl_31_an_error_whose_value_does_not_cross_comes_as_a_surrogate() {
    let raises = |trouble: u8| -> mp::Result<()> {
        Err(mp::Error::typed(Troublesome(TROUBLES[usize::from(trouble)])))
    };
    let pool = Pool::new(2).unwrap();
    for trouble in [Trouble::EncodeFails, Trouble::DecodeFails] {
        let remote = exception(pool.apply(raises, (trouble as u8,)).unwrap_err());
        assert_eq!(remote.message(), "a troublesome error");
        assert!(remote.type_name().ends_with("Troublesome"), "{}", remote.type_name());
        assert!(remote.downcast::<Troublesome>().is_none());
    }
    let remote = exception(pool.apply(raises, (Trouble::EncodePanics as u8,)).unwrap_err());
    assert!(!remote.message().is_empty());
    let remote = exception(pool.apply(raises, (Trouble::None as u8,)).unwrap_err());
    assert_eq!(remote.downcast::<Troublesome>().unwrap().0, Trouble::None);
    is_sound(&pool);
}

#[test]
fn pl_31_an_error_whose_text_panics_fails_that_task_only() {
    #[derive(Debug)]
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no words")
        }
    }
    impl std::error::Error for Mute {}
    let pool = Pool::new(1).unwrap();
    for _ in 0..3 {
        pool.apply(|| -> mp::Result<()> { Err(Mute)? }, ()).unwrap_err();
        pool.imap(|_: u8| -> mp::Result<()> { Err(Mute)? }, [1])
            .unwrap()
            .next()
            .unwrap()
            .unwrap_err();
    }
    is_sound(&pool);
}
