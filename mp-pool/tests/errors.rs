//! Whatever goes wrong with one task is told of that task, with its kind and place, and of no other.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::error::Error as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::Duration;

use mp::{Event, Pool, PoolError, RemoteException, TaskOptions, Value};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true};
use mp_testing::system::{ends_within, raise, signal};
use rustix::process::Signal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn chunks_of(items: usize) -> TaskOptions {
    TaskOptions::new().chunksize(items)
}

/// Sees that a pool of so many workers works and has all of them.
fn is_sound(pool: &Pool) {
    assert_eq!(pool.map(square, 0..100).unwrap(), (0..100).map(|n| n * n).collect::<Vec<_>>());
    assert!(comes_true(|| pool.worker_pids().len() == pool.processes()));
}

fn exception(error: PoolError) -> RemoteException {
    match error {
        PoolError::Exception(remote) => remote,
        other => panic!("{other:?}"),
    }
}

fn died<T: std::fmt::Debug>(outcome: Result<T, PoolError>) -> Option<i32> {
    match outcome {
        Err(PoolError::WorkerDied { pid, exitcode, started: true }) if pid > 0 => exitcode,
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("key {key} is not in {table}")]
struct KeyError {
    key: u64,
    table: String,
}

fn fails(key: u64) -> mp::Result<u64> {
    Err(mp::Error::typed(KeyError { key, table: "the table".to_owned() }))
}
const FAILS_AT: u32 = line!() - 2;

fn panics(key: u64) -> mp::Result<u64> {
    panic!("no key {key}")
}
const PANICS_AT: u32 = line!() - 2;

#[test]
fn pl_20_re_13_x_18_an_error_comes_with_its_kind_its_value_and_its_trace() {
    let pool = Pool::builder().processes(2).name("errors").start().unwrap();
    let outcomes = [
        pool.apply(fails, (7,)).unwrap_err(),
        pool.apply_async(fails, (7,)).unwrap().get().unwrap_err(),
        pool.map(fails, [7]).unwrap_err(),
        pool.map_async(fails, [7]).unwrap().get().unwrap_err(),
        pool.starmap(fails, [(7,)]).unwrap_err(),
        pool.starmap_async(fails, [(7,)]).unwrap().get().unwrap_err(),
        pool.imap(fails, [7]).unwrap().next().unwrap().unwrap_err(),
        pool.imap_unordered(fails, [7]).unwrap().next().unwrap().unwrap_err(),
    ];
    let place = format!("errors.rs\", line {FAILS_AT}, in");
    for error in outcomes {
        assert_eq!(error.to_string(), "the task failed: key 7 is not in the table");
        let trace = mp::get_remote_traceback(&error).unwrap();
        assert!(trace.contains(&place) && trace.contains("key 7 is not in the table"), "{trace}");
        assert!(trace.contains("errors-worker-"), "{trace}");
        assert!(mp::is_remote_exception(&error));
        assert!(format!("{error:?}").contains(&place), "printing it prints the trace: {error:?}");
        let remote = exception(error);
        let expected = KeyError { key: 7, table: "the table".to_owned() };
        assert_eq!(remote.downcast::<KeyError>(), Some(expected));
        assert!(remote.type_name().ends_with("KeyError") && !remote.is_panic());
        assert_eq!(remote.message(), "key 7 is not in the table");
        assert!(remote.location().unwrap().contains(&format!("errors.rs:{FAILS_AT}:")));
        assert!(remote.process_name().starts_with("errors-worker-"));
        assert!(pool.worker_pids().contains(&remote.pid()));
        assert_eq!(remote.traceback(), mp::get_remote_traceback(&remote).unwrap());
    }
    is_sound(&pool);
}

#[test]
fn pl_20_a_panic_comes_as_an_error_that_says_so_and_its_worker_goes_on() {
    let pool = Pool::new(1).unwrap();
    let pids = pool.worker_pids();
    for _ in 0..3 {
        let errors = [
            pool.apply(panics, (7,)).unwrap_err(),
            pool.map(panics, [7]).unwrap_err(),
            pool.imap(panics, [7]).unwrap().next().unwrap().unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.to_string(), "the task panicked: no key 7");
            let remote = exception(error);
            assert!(remote.is_panic());
            assert!(
                remote.traceback().contains(&format!("errors.rs\", line {PANICS_AT}, in")),
                "{remote:?}"
            );
        }
    }
    assert_eq!(pool.worker_pids(), pids);
}

#[test]
fn pl_20_what_caused_an_error_comes_with_it() {
    let parses = |text: String| -> mp::Result<u64> {
        text.parse::<u64>().map_err(|error| mp::Error::from(error).context("bad row"))
    };
    let pool = Pool::new(1).unwrap();
    let error = pool.apply(parses, ("seven".to_owned(),)).unwrap_err();
    let remote = exception(error);
    assert_eq!(remote.message(), "bad row");
    assert!(remote.source().unwrap().to_string().contains("invalid digit"), "{remote:?}");
    assert!(remote.traceback().contains("invalid digit"), "{remote:?}");
    // An error that is raised again by a task of another pool tells of both.
    let twice = || Ok(Pool::new(1)?.apply(fails, (7,))?);
    let remote = exception(pool.apply(twice, ()).unwrap_err());
    assert!(
        remote.traceback().contains(&format!("errors.rs\", line {FAILS_AT}, in")),
        "{remote:?}"
    );
    assert!(remote.traceback().contains("-worker-1"), "{remote:?}");
}

/// Fails; item 1 not before it may.
fn fails_in_turn(n: u64, go: Event, failed: Event) -> mp::Result<()> {
    if n == 1 {
        go.wait()?;
        failed.set();
    }
    mp::bail!("item {n}")
}

#[test]
fn pl_21_a_map_gives_the_first_error_when_all_chunks_are_finished() {
    let pool = Pool::new(2).unwrap();
    let (go, failed) = (Event::new().unwrap(), Event::new().unwrap());
    let (sender, steps) = mpsc::channel();
    let options = chunks_of(1).progress(move |progress| sender.send(progress.done).unwrap());
    let items = (0..2).map(|n| (n, go.clone(), failed.clone())).collect::<Vec<_>>();
    let mapped = pool.with_options(options).starmap_async(fails_in_turn, items).unwrap();
    assert_eq!(steps.recv_timeout(LONG).unwrap(), 1);
    assert!(!mapped.wait_timeout(SHORT), "the other chunk has not finished");
    assert!(!mapped.ready() && mapped.successful().is_none() && !failed.is_set());
    go.set();
    let error = mapped.get_timeout(LONG).unwrap_err();
    assert_eq!(exception(error).message(), "item 0", "the first that came");
    assert!(failed.is_set());
    assert_eq!(mapped.successful(), Some(false));
    assert_eq!(steps.recv_timeout(LONG).unwrap(), 2);
}

#[test]
fn pl_21_errors_of_a_megabyte_do_not_keep_a_pool_from_its_end() {
    let large = |n: u64| -> mp::Result<()> { mp::bail!("{n}{}", "x".repeat(1 << 20)) };
    let pool = Pool::new(2).unwrap();
    let error = pool.with_options(chunks_of(1)).map(large, 0..20).unwrap_err();
    assert!(exception(error).message().len() > 1 << 20);
    let later = pool.with_options(chunks_of(1)).map_async(large, 0..20).unwrap();
    pool.close();
    pool.join().unwrap();
    assert!(later.get().is_err());
}

#[test]
fn pl_21_of_a_chunk_nothing_is_run_behind_the_item_that_fails() {
    let pool = Pool::new(2).unwrap();
    let ran = Value::new(0_u64).unwrap();
    let items = (0..10).map(|n| (n, ran.clone())).collect::<Vec<_>>();
    let counts = |n: u64, ran: Value<u64>| {
        ran.update(|ran| *ran += 1)?;
        mp::ensure!(n % 5 != 2, "item {n}");
        Ok(())
    };
    pool.with_options(chunks_of(5)).starmap(counts, items).unwrap_err();
    assert_eq!(ran.get().unwrap(), 6);
}

/// Panics instead of giving the item `at`.
fn broken_input(at: u64) -> impl Iterator<Item = u64> {
    (0..1000).filter(|_| true).inspect(move |n| assert!(*n != at, "broken at {at}"))
}

/// What a call panics with, as it came.
fn panic_of<T>(call: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(call)).err().unwrap();
    assert!(panic.downcast_ref::<PoolError>().is_none());
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn pl_22_re_14_a_panic_of_the_input_goes_through_a_map_unchanged() {
    let pool = Pool::new(2).unwrap();
    for at in [0, 1, 7, 500] {
        let text = format!("broken at {at}");
        for size in [1, 4, 1000] {
            let calls = pool.with_options(chunks_of(size));
            assert_eq!(panic_of(|| calls.map(square, broken_input(at))), text);
            assert_eq!(panic_of(|| calls.map_async(square, broken_input(at))), text);
            let tuples = || broken_input(at).map(|n| (n,));
            assert_eq!(panic_of(|| calls.starmap(square, tuples())), text);
            assert_eq!(panic_of(|| calls.starmap_async(square, tuples())), text);
        }
        assert_eq!(panic_of(|| pool.map(square, broken_input(at))), text);
        is_sound(&pool);
    }
    pool.close();
    pool.join().unwrap();
}

#[test]
fn pl_23_re_14_imap_gives_the_items_before_a_panic_of_the_input_and_then_the_panic() {
    let pool = Pool::new(3).unwrap();
    // DIFFERENCE: in Python, those of the chunk that is not full are lost.
    for (size, at) in [(1, 7), (2, 7), (4, 7), (4, 8), (100, 7), (1, 0), (3, 0), (1, 200)] {
        let calls = pool.with_options(chunks_of(size));
        let mut results = calls.imap(square, broken_input(at)).unwrap();
        for n in 0..at {
            assert_eq!(results.next().unwrap().unwrap(), n * n);
        }
        assert_eq!(panic_of(|| results.next()), format!("broken at {at}"));
        assert!(results.next().is_none());

        let mut results = calls.imap_unordered(square, broken_input(at)).unwrap();
        let seen: BTreeSet<u64> = (0..at).map(|_| results.next().unwrap().unwrap()).collect();
        assert_eq!(seen, (0..at).map(|n| n * n).collect());
        assert_eq!(panic_of(|| results.next()), format!("broken at {at}"));
        assert!(results.next().is_none());
    }
    is_sound(&pool);
    pool.close();
    pool.join().unwrap();
}

/// What a value does on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
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

#[test]
fn pl_26_a_callback_gets_the_error_once() {
    let pool = Pool::new(1).unwrap();
    let (sender, told) = mpsc::channel();
    let later = pool.apply_async(fails, (5,)).unwrap();
    later.on_done(move |outcome| {
        let remote = outcome.as_ref().unwrap_err().as_exception().unwrap().clone();
        sender.send(remote.downcast::<KeyError>().unwrap().key).unwrap();
    });
    later.wait();
    assert_eq!(told.iter().collect::<Vec<_>>(), [5]);
}

#[test]
fn pl_27_imap_goes_on_after_an_error() {
    let odd_fail = |n: u64| {
        if n == 3 {
            panic!("panic {n}");
        }
        mp::ensure!(n.is_multiple_of(2), "error {n}");
        Ok(n)
    };
    let pool = Pool::new(2).unwrap();
    // DIFFERENCE: in Python, the iterator ends at the first error of a chunk.
    for size in [1, 2, 3, 100] {
        let results = pool.with_options(chunks_of(size)).imap(odd_fail, 0..10).unwrap();
        for (n, result) in (0..10).zip(results) {
            match result {
                Ok(value) => assert_eq!((value, n % 2), (n, 0)),
                Err(error) => {
                    let remote = exception(error);
                    let kind = if n == 3 { "panic" } else { "error" };
                    assert_eq!(remote.message(), format!("{kind} {n}"));
                    assert_eq!(remote.is_panic(), n == 3);
                }
            }
        }
    }
}

fn waits(begun: Event) -> mp::Result<u64> {
    begun.set();
    loop {
        std::thread::park();
    }
}

/// Tells its pid, and does not end.
fn tells_and_waits(pid: Value<u32>, begun: Event) -> mp::Result<u64> {
    pid.set(std::process::id())?;
    waits(begun)
}

#[test]
fn pl_28_a_worker_that_is_killed_costs_exactly_its_task() {
    let pool = Pool::new(2).unwrap();
    for round in 0..5 {
        let (pid, begun) = (Value::new(0).unwrap(), Event::new().unwrap());
        let doomed = pool.apply_async(tells_and_waits, (pid.clone(), begun.clone())).unwrap();
        let others = pool.with_options(chunks_of(1)).map_async(square, 0..100).unwrap();
        assert!(begun.wait_timeout(LONG).unwrap());
        let pid = pid.get().unwrap();
        signal(pid, if round % 2 == 0 { Signal::KILL } else { Signal::TERM });
        match at_once(|| doomed.get()) {
            Err(PoolError::WorkerDied { pid: dead, exitcode, started: true }) => {
                assert_eq!((dead, exitcode), (pid, Some(if round % 2 == 0 { -9 } else { -15 })));
            }
            other => panic!("{other:?}"),
        }
        let text = doomed.get().unwrap_err().to_string();
        assert!(text.contains(&format!("pid {pid}")) && text.contains("SIG"), "{text}");
        assert_eq!(others.get().unwrap().len(), 100);
        assert!(!pool.worker_pids().contains(&pid));
        is_sound(&pool);
    }
}

#[test]
fn pl_28_pl_29_a_task_that_ends_its_process_fails_with_how_it_did() {
    let pool = Pool::new(2).unwrap();
    let never = |how: i32| -> mp::Result<u64> {
        match how {
            -6 => std::process::abort(),
            -100 => {
                #[expect(unconditional_recursion, reason = "the point")]
                fn deeper(n: u64) -> u64 {
                    std::hint::black_box(deeper(std::hint::black_box(n) + 1)) + 1
                }
                Ok(deeper(0))
            }
            signal if signal < 0 => {
                raise(Signal::from_named_raw(-signal).unwrap());
                loop {
                    std::thread::park();
                }
            }
            code => std::process::exit(code),
        }
    };
    for how in [0, 1, 3, 255, -6, -9, -15, -11, -7] {
        let code = died(pool.apply(never, (how,)));
        assert_eq!(code, Some(how));
        let error = pool.apply_async(never, (how,)).unwrap().get().map(|_| ()).unwrap_err();
        let words = match how {
            -6 => "SIGABRT".to_owned(),
            -9 => "SIGKILL".to_owned(),
            -15 => "SIGTERM".to_owned(),
            -11 => "SIGSEGV".to_owned(),
            -7 => "SIGBUS".to_owned(),
            code => format!("code {code}"),
        };
        assert!(error.to_string().contains(&words), "{error}");
    }
    let code = died(pool.apply(never, (-100,)));
    assert!([Some(-6), Some(-11)].contains(&code), "{code:?}");
    is_sound(&pool);
}

/// Ends the process for item 3.
fn exits_at_3(n: u64) -> mp::Result<u64> {
    if n == 3 {
        std::process::exit(0);
    }
    Ok(n)
}

#[test]
fn pl_28_pl_29_of_many_items_a_death_costs_the_chunk_that_was_run() {
    let pool = Pool::new(2).unwrap();
    for size in [1, 2, 5] {
        let calls = pool.with_options(chunks_of(size));
        assert_eq!(died(calls.map(exits_at_3, 0..20)), Some(0));
        let results = calls.imap(exits_at_3, 0..20).unwrap();
        for (n, result) in results.enumerate() {
            if n / size == 3 / size {
                assert_eq!(died(result), Some(0));
            } else {
                assert_eq!(result.unwrap(), n as u64);
            }
        }
        let results = calls.imap_unordered(exits_at_3, 0..20).unwrap();
        assert_eq!(results.filter(Result::is_ok).count(), 20 - size.min(20));
    }
    is_sound(&pool);
}

#[test]
fn pl_29_an_exit_in_another_thread_of_the_worker_is_one_too() {
    let pool = Pool::new(1).unwrap();
    let exits = || -> mp::Result<()> {
        std::thread::spawn(|| std::process::exit(4));
        loop {
            std::thread::park();
        }
    };
    assert_eq!(died(pool.apply(exits, ())), Some(4));
    is_sound(&pool);
}

#[test]
fn pl_30_workers_that_are_killed_while_idle_block_nobody() {
    let pool = Pool::new(3).unwrap();
    is_sound(&pool);
    for round in 0..10 {
        let pids = pool.worker_pids();
        let victims = &pids[..1 + round % 3];
        victims.iter().for_each(|pid| signal(*pid, Signal::KILL));
        // No task was under way, so none is lost.
        assert_eq!(pool.map(square, 0..50).unwrap().len(), 50);
        victims.iter().for_each(|pid| assert!(ends_within(*pid, LONG).unwrap()));
        assert!(comes_true(|| {
            let now = pool.worker_pids();
            now.len() == 3 && !victims.iter().any(|victim| now.contains(victim))
        }));
    }
}

/// Keeps the messages of this process.
struct Messages(Mutex<Vec<String>>);

static MESSAGES: Messages = Messages(Mutex::new(Vec::new()));

impl log::Log for Messages {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{}: {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

fn keep_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&MESSAGES).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// Whether a message with these words is, or will be, there.
fn is_logged(words: [&str; 2]) -> bool {
    comes_true(|| {
        let messages = MESSAGES.0.lock().unwrap();
        messages.iter().any(|message| words.iter().all(|word| message.contains(word)))
    })
}

#[test]
fn pl_32_f_03_a_callback_that_panics_is_reported_and_stops_nothing() {
    keep_messages();
    let pool = Pool::builder().processes(2).name("panicky").start().unwrap();
    let go = Event::new().unwrap();
    let held = |go: Event| {
        go.wait()?;
        Ok(9_u64)
    };
    let later = pool.apply_async(held, (go.clone(),)).unwrap();
    let (sender, told) = mpsc::channel();
    later.on_done(|_| panic!("a callback panics"));
    let also = sender.clone();
    later.on_done(move |outcome| also.send(*outcome.as_ref().unwrap()).unwrap());
    go.set();
    assert_eq!(*later.get().unwrap(), 9);
    assert_eq!(told.recv_timeout(LONG).unwrap(), 9);
    // Also in the thread that adds it.
    later.on_done(|_| panic!("a late callback panics"));
    let failed = pool.apply_async(fails, (1,)).unwrap();
    failed.on_done(|_| panic!("a callback panics"));
    assert!(failed.get().is_err());
    drop(sender);
    assert!(told.recv().is_err(), "called once");
    assert!(is_logged(["ERROR: panicky", "callback"]));
    is_sound(&pool);
    pool.close();
    pool.join().unwrap();
}

#[test]
fn pl_28_a_death_is_logged_with_the_name_of_the_worker() {
    keep_messages();
    let pool = Pool::builder().processes(1).name("mortal").start().unwrap();
    assert_eq!(died(pool.apply(exits_at_3, (3,))), Some(0));
    assert_eq!(died(pool.apply(|| -> mp::Result<()> { std::process::abort() }, ())), Some(-6));
    assert!(is_logged(["mortal-worker-2", "SIGABRT"]));
}

/// Counts the starts, and then ends as it is told.
fn bad_start(starts: Value<u64>, how: u8) -> mp::Result<()> {
    starts.update(|starts| *starts += 1)?;
    match how {
        0 => mp::bail!("no database"),
        1 => panic!("no database"),
        2 => std::process::exit(7),
        _ => std::process::abort(),
    }
}

#[test]
fn pl_33_x_15_an_initializer_that_fails_everywhere_breaks_the_pool_after_three_starts() {
    keep_messages();
    for how in 0..4 {
        for processes in [1, 8] {
            let starts = Value::new(0_u64).unwrap();
            let name = format!("bad-{how}-{processes}");
            let pool = Pool::builder()
                .processes(processes)
                .name(&name)
                .initializer(bad_start, (starts.clone(), how))
                .start()
                .unwrap();
            let is_expected = |error: &PoolError| match error {
                PoolError::Initializer(remote) => {
                    how < 2
                        && remote.message() == "no database"
                        && remote.is_panic() == (how == 1)
                        && remote.traceback().contains("errors.rs")
                        && error.as_exception().is_some()
                }
                PoolError::Start(cause) => {
                    let text = cause.to_string();
                    how >= 2 && text.contains(if how == 2 { "code 7" } else { "SIGABRT" })
                }
                _ => false,
            };
            // The first call waits for it, and those that come later are refused with the same.
            let pending = pool.apply_async(square, (2,));
            let first = pool.apply(square, (2,)).unwrap_err();
            assert!(is_expected(&first), "{first:?}");
            if let Ok(pending) = pending {
                let error = at_once(|| pending.get()).unwrap_err();
                assert!(is_expected(&error), "{error:?}");
            }
            for _ in 0..2 {
                let calls = pool.with_options(chunks_of(1));
                let errors = [
                    pool.apply(square, (2,)).unwrap_err(),
                    pool.apply_async(square, (2,)).unwrap_err(),
                    calls.map(square, 0..9).unwrap_err(),
                    calls.map_async(square, 0..9).unwrap_err(),
                    calls.imap(square, 0..9).unwrap_err(),
                ];
                errors.iter().for_each(|error| assert!(is_expected(error), "{error:?}"));
            }
            assert!(comes_true(|| pool.worker_pids().is_empty()));
            assert_eq!(starts.get().unwrap(), 3);
            assert!(is_logged(["WARN", &name]));
            if how % 2 == 0 {
                pool.close();
                at_once(|| pool.join()).unwrap();
            }
            at_once(|| drop(pool));
            assert_eq!(starts.get().unwrap(), 3);
        }
    }
}

#[test]
fn pl_33_a_pool_that_breaks_while_nobody_asks_says_so_on_the_first_call() {
    let starts = Value::new(0_u64).unwrap();
    let pool = Pool::builder().processes(2).initializer(bad_start, (starts.clone(), 0));
    let pool = pool.start().unwrap();
    assert!(comes_true(|| starts.get().unwrap() == 3 && pool.worker_pids().is_empty()));
    let error = pool.map(square, 0..3).unwrap_err();
    assert!(matches!(error, PoolError::Initializer(_)), "{error:?}");
    assert_eq!(starts.get().unwrap(), 3);
}

#[test]
fn pl_33_an_initializer_that_fails_twice_costs_two_starts() {
    fn third_time(starts: Value<u64>) -> mp::Result<()> {
        let n = starts.update(|starts| {
            *starts += 1;
            *starts
        })?;
        mp::ensure!(n > 2, "not yet");
        Ok(())
    }
    let starts = Value::new(0_u64).unwrap();
    let pool = Pool::builder().processes(4).initializer(third_time, (starts.clone(),));
    let pool = pool.start().unwrap();
    is_sound(&pool);
    assert!(comes_true(|| starts.get().unwrap() == 6));
}

#[test]
fn pl_33_the_arguments_of_an_initializer_that_do_not_cross_break_the_pool() {
    let picky = |_: Trouble| Ok(());
    let pool = Pool::builder().processes(2).initializer(picky, (Trouble::EncodeFails,)).start();
    assert!(matches!(pool, Err(PoolError::Start(_))), "{pool:?}");
    for trouble in [Trouble::DecodeFails, Trouble::DecodePanics, Trouble::DecodeAborts] {
        let pool = Pool::builder().processes(2).initializer(picky, (trouble,)).start().unwrap();
        let error = pool.apply(square, (1,)).unwrap_err();
        assert!(
            matches!(error, PoolError::Start(_) | PoolError::Initializer(_)),
            "{trouble:?}: {error:?}"
        );
        at_once(|| drop(pool));
    }
}

#[test]
fn pl_33_a_pool_can_be_terminated_while_its_initializers_hang() {
    let hangs = |begun: Event| waits(begun).map(|_| ());
    let begun = Event::new().unwrap();
    let pool = Pool::builder().processes(2).initializer(hangs, (begun.clone(),)).start().unwrap();
    let pending = pool.apply_async(square, (1,)).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    assert!(!pending.ready());
    let pids = pool.worker_pids();
    at_once(|| drop(pool));
    assert!(matches!(pending.get(), Err(PoolError::Terminated)));
    pids.iter().for_each(|pid| assert!(ends_within(*pid, Duration::ZERO).unwrap()));
}

#[test]
fn pl_34_all_tasks_of_a_pool_that_is_terminated_fail_at_once() {
    let pool = Arc::new(Pool::new(1).unwrap());
    let begun = Event::new().unwrap();
    let running = pool.apply_async(waits, (begun.clone(),)).unwrap();
    let pending = pool.apply_async(square, (1,)).unwrap();
    let mapped = pool.map_async(square, 0..1000).unwrap();
    let mut results = pool.imap(square, 0..).unwrap();
    assert!(matches!(results.next_timeout(Duration::ZERO), Err(PoolError::Timeout)));
    let blocked = std::thread::spawn({
        let pool = Arc::clone(&pool);
        move || pool.apply(square, (1,))
    });
    let blocked_map = std::thread::spawn({
        let pool = Arc::clone(&pool);
        move || pool.map(square, 0..100_000)
    });
    assert!(begun.wait_timeout(LONG).unwrap());
    pool.terminate();
    let is_terminated =
        |error: PoolError| assert!(matches!(error, PoolError::Terminated), "{error:?}");
    is_terminated(at_once(|| running.get()).unwrap_err());
    is_terminated(at_once(|| pending.get()).unwrap_err());
    is_terminated(at_once(|| mapped.get()).unwrap_err());
    // Either came too late or was ended.
    let late = |error: &PoolError| matches!(error, PoolError::Terminated | PoolError::Closed);
    assert!(late(&blocked.join().unwrap().unwrap_err()));
    assert!(late(&blocked_map.join().unwrap().unwrap_err()));
    for _ in 0..16 {
        is_terminated(results.next().unwrap().unwrap_err());
    }
    assert!(matches!(results.next(), Some(Err(PoolError::Closed))));
    for error in [
        pool.apply(square, (1,)).unwrap_err(),
        pool.apply_async(square, (1,)).unwrap_err(),
        pool.map(square, 0..3).unwrap_err(),
        pool.map(square, []).unwrap_err(),
        pool.imap(square, 0..3).unwrap_err(),
    ] {
        assert!(matches!(error, PoolError::Closed), "{error:?}");
    }
    pool.join().unwrap();
}

#[test]
fn x_13_a_crash_among_large_tasks_costs_one_of_them() {
    let pool = Pool::new(2).unwrap();
    let first_aborts = |n: usize, bytes: Vec<u8>| {
        if n == 0 {
            std::process::abort();
        }
        Ok(bytes)
    };
    for _ in 0..3 {
        let tasks: Vec<_> = (0..10)
            .map(|n| pool.apply_async(first_aborts, (n, vec![1; 1 << 17])).unwrap())
            .collect();
        for (n, task) in tasks.into_iter().enumerate() {
            match task.into_result() {
                Ok(bytes) => assert!(n > 0 && bytes.len() == 1 << 17),
                outcome => assert_eq!((died(outcome.map(|_| ())), n), (Some(-6), 0)),
            }
        }
    }
}

#[test]
fn x_14_a_crash_after_close_costs_one_task_and_the_pool_comes_to_its_end() {
    let crash = |n: u64, begun: Event, go: Event| -> mp::Result<u64> {
        begun.set();
        go.wait()?;
        if n.is_multiple_of(2) {
            std::process::abort();
        }
        Ok(n)
    };
    for processes in [1, 2] {
        let pool = Pool::new(processes).unwrap();
        let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
        let tasks: Vec<_> = (0..6)
            .map(|n| pool.apply_async(crash, (n, begun.clone(), go.clone())).unwrap())
            .collect();
        assert!(begun.wait_timeout(LONG).unwrap());
        pool.close();
        go.set();
        at_once(|| pool.join()).unwrap();
        for (n, task) in (0..6).zip(tasks) {
            match n % 2 {
                0 => assert_eq!(died(task.into_result()), Some(-6)),
                _ => assert_eq!(task.into_result().unwrap(), n),
            }
        }
        assert!(pool.worker_pids().is_empty());
    }
}
