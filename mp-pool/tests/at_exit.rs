//! What is asked of a pool when its process is at its end has an answer.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::any::Any;
use std::cell::RefCell;
use std::sync::OnceLock;
use std::thread::JoinHandle;

use mp::{Event, Pool, PoolError, Queue};
use mp_testing::limits::{LONG, ends_in_time};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

/// Nobody drops it.
static POOL: OnceLock<Pool> = OnceLock::new();

thread_local! {
    /// Dropped when its thread, the first of its process, is at its end.
    static AT_EXIT: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Asks {
    Apply,
    ApplyAsync,
    Map,
    Imap,
}

/// Asks at the end.
struct Late {
    asks: Asks,
    answers: Queue<String>,
}

impl Drop for Late {
    fn drop(&mut self) {
        let pool = POOL.get().unwrap();
        let outcome = match self.asks {
            Asks::Apply => pool.apply(successor, (1,)),
            Asks::ApplyAsync => {
                pool.apply_async(successor, (1,)).and_then(|later| later.into_result())
            }
            Asks::Map => pool.map(successor, [1, 2]).map(|results| results[0]),
            Asks::Imap => {
                pool.imap(successor, [1, 2]).and_then(|mut results| results.next().unwrap())
            }
        };
        let is_refused = matches!(outcome, Err(PoolError::Closed));
        let answer = if is_refused { "refused".to_owned() } else { format!("{outcome:?}") };
        self.answers.put(&answer).unwrap();
    }
}

/// Waits at the end for a thread that nobody else waits for.
struct Joins(Option<JoinHandle<()>>);

impl Drop for Joins {
    fn drop(&mut self) {
        self.0.take().unwrap().join().unwrap();
    }
}

fn successor(n: u64) -> mp::Result<u64> {
    Ok(n + 1)
}

#[test]
fn x_10_what_is_submitted_when_the_process_ends_is_done_or_refused() {
    fn ends(asks: Asks, exits: bool, answers: Queue<String>) -> mp::Result<()> {
        let pool = POOL.get_or_init(|| Pool::new(1).unwrap());
        mp::ensure!(pool.apply(successor, (1,))? == 2);
        AT_EXIT.set(Some(Box::new(Late { asks, answers })));
        if exits {
            std::process::exit(0);
        }
        Ok(())
    }
    for asks in [Asks::Apply, Asks::ApplyAsync, Asks::Map, Asks::Imap] {
        for exits in [false, true] {
            let answers = Queue::new().unwrap();
            let p = mp::Process::start(ends, (asks, exits, answers.clone())).unwrap();
            ends_in_time(&p);
            // The call of `exit` comes here first, and then to the children.
            let expected = if exits { "Ok(2)" } else { "refused" };
            assert_eq!(answers.get_timeout(LONG).unwrap(), expected, "{asks:?}, {exits}");
        }
    }
}

#[test]
fn x_10_who_waits_for_a_task_when_the_process_ends_is_told() {
    fn ends(begun: Event, answers: Queue<String>) -> mp::Result<()> {
        let pool = POOL.get_or_init(|| Pool::new(1).unwrap());
        let sleeps = |begun: Event| {
            begun.set();
            loop {
                std::thread::park();
            }
        };
        let running = pool.apply_async(sleeps, (begun.clone(),))?;
        let waiting = pool.apply_async(successor, (1,))?;
        begun.wait()?;
        let waiter = std::thread::spawn(move || {
            for outcome in [running.into_result(), waiting.into_result()] {
                answers.put(&format!("{outcome:?}")).unwrap();
            }
        });
        AT_EXIT.set(Some(Box::new(Joins(Some(waiter)))));
        Ok(())
    }
    let (begun, answers) = (Event::new().unwrap(), Queue::new().unwrap());
    let p = mp::Process::start(ends, (begun, answers.clone())).unwrap();
    ends_in_time(&p);
    for _ in 0..2 {
        assert_eq!(answers.get_timeout(LONG).unwrap(), "Err(Terminated)");
    }
}
