//! What a task or the input raises, and a value that does not cross, are told of the call that they are of.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mp::{Event, ManagerError, PoolError, RemoteException, TaskOptions};
use serde::{Deserialize, Serialize, Serializer};

use crate::{is_as_new, manager, refusal, square};

fn exception<T: Debug>(outcome: Result<T, ManagerError>) -> RemoteException {
    match refusal(outcome) {
        PoolError::Exception(remote) => remote,
        other => panic!("{other:?}"),
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("no square of {0}")]
struct NoSquare(u64);

fn small_square(n: u64) -> mp::Result<u64> {
    mp::ensure!(n != 13, "unlucky");
    n.checked_mul(n).ok_or_else(|| mp::Error::typed(NoSquare(n)))
}
const RAISED_AT: u32 = line!() - 2;

#[test]
fn pl_20_an_error_comes_with_its_value_and_its_trace_and_a_panic_says_so() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let error = pool.apply(small_square, (u64::MAX,)).unwrap_err();
    assert!(error.to_string().starts_with("the task failed: no square of"), "{error}");
    let remote = exception(Err::<(), _>(error));
    assert_eq!(remote.downcast::<NoSquare>(), Some(NoSquare(u64::MAX)));
    assert!(remote.process_name().contains("-worker-"), "{}", remote.process_name());
    let trace = remote.traceback().to_string();
    assert!(trace.contains(&format!("managed_pool/errors.rs\", line {RAISED_AT}, in")), "{trace}");
    let panicked = exception(pool.apply(|n: u64| -> mp::Result<u64> { panic!("no {n}") }, (7,)));
    assert!(panicked.is_panic() && panicked.message() == "no 7");
    let result = pool.apply_async(small_square, (13,)).unwrap();
    assert_eq!(exception(result.get()).message(), "unlucky");
    assert_eq!(exception(result.get()).message(), "unlucky", "the same on every call");
    assert_eq!(result.successful().unwrap(), Some(false));
    let mut imap = pool.imap(small_square, [2, 13, 3]).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 4);
    assert_eq!(exception(imap.next().unwrap()).message(), "unlucky");
    assert_eq!(imap.next().unwrap().unwrap(), 9);
    assert!(imap.next().is_none());
}

#[test]
fn pl_21_a_map_gives_the_error_that_came_first_when_all_chunks_are_finished() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let go = Event::new().unwrap();
    // The first item fails when it is known that the second one has.
    let fails = |(waits, go): (bool, Event)| -> mp::Result<()> {
        if waits {
            go.wait()?;
        }
        mp::bail!("{waits} {}", "long".repeat(1 << 18))
    };
    let items = [true, false].map(|waits| (waits, go.clone()));
    let tells = move |_| go.set();
    let options = TaskOptions::new().chunksize(1).progress(tells);
    let error = exception(pool.with_options(options).map(fails, items));
    assert!(error.message().starts_with("false long"), "{error}");
    is_as_new(&pool);
    pool.close().unwrap();
    pool.join().unwrap();
}

#[test]
fn pl_22_pl_23_a_panic_of_the_input_comes_out() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let fails_at = |at: u64| (0..).inspect(move |n| assert!(*n != at, "no more"));
    for at in [0, 5] {
        let map = || pool.map(square, fails_at(at).take(50));
        assert!(catch_unwind(AssertUnwindSafe(map)).is_err());
        for is_ordered in [true, false] {
            let mut imap = match is_ordered {
                true => pool.imap(square, fails_at(at)),
                false => pool.imap_unordered(square, fails_at(at)),
            }
            .unwrap();
            let mut before: Vec<u64> = (0..at).map(|_| imap.next().unwrap().unwrap()).collect();
            before.sort_unstable();
            assert!(before.into_iter().eq((0..at).map(|n| n * n)));
            assert!(catch_unwind(AssertUnwindSafe(|| imap.next())).is_err());
            assert!(imap.next().is_none());
        }
    }
    is_as_new(&pool);
}

/// Crosses only if it is even.
#[derive(Debug, PartialEq, Deserialize)]
struct Even(u64);

impl Serialize for Even {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % 2 == 1 {
            return Err(serde::ser::Error::custom("odd"));
        }
        self.0.serialize(serializer)
    }
}

#[test]
fn pl_24_pl_25_what_cannot_be_encoded_says_so_and_the_pool_goes_on() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let half = |n: Even| Ok(n.0 / 2);
    assert!(matches!(refusal(pool.apply(half, (Even(1),))), PoolError::Encode(_)));
    assert!(matches!(refusal(pool.apply_async(half, (Even(1),))), PoolError::Encode(_)));
    assert!(matches!(refusal(pool.map(half, [Even(2), Even(1)])), PoolError::Encode(_)));
    let mut imap = pool.imap(half, [Even(2), Even(1), Even(4)]).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 1);
    assert!(matches!(refusal(imap.next().unwrap()), PoolError::Encode(_)));
    assert_eq!(imap.next().unwrap().unwrap(), 2);
    assert!(imap.next().is_none());
    let twice = |n: u64| Ok(Even(n));
    for _ in 0..20 {
        let error = refusal(pool.apply(twice, (1,)));
        let text = error.to_string();
        assert!(matches!(error, PoolError::Transfer { .. }), "{error:?}");
        assert!(text.contains("cannot pass the result") && text.contains("odd"), "{text}");
    }
    assert_eq!(pool.apply(twice, (2,)).unwrap(), Even(2));
    is_as_new(&pool);
}
