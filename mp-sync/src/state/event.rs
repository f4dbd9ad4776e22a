//! The event word.
//!
//! | bits | meaning |
//! |---|---|
//! | 0 | it is set |
//! | 1 | somebody may be asleep |
//! | 2–31 | how often it became set |
//!
//! Whoever waits remembers the count and is through as soon as it changes, so an event that is set
//! and cleared at once lets everybody through who was waiting. Nobody is counted, so a killed
//! waiter leaves nothing. Each call is a loop over one word without any lock, and so can be made from a
//! signal handler that interrupted another.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Instant;

use crate::deadline::{Looks, has_passed};
use crate::prim::{Futex, Sleep};
use crate::spin::Spin;

const SET: u32 = 1;
const SLEEPERS: u32 = 2;
const ONE_TIME: u32 = 4;
const TIMES: u32 = !(SET | SLEEPERS);

/// An event and its memory of spinning.
#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct EventState {
    word: Futex,
    spin: Spin,
}

impl EventState {
    pub(crate) fn is_set(&self) -> bool {
        self.word.word.load(Acquire) & SET != 0
    }

    /// Sets it and wakes everybody.
    pub(crate) fn set(&self) {
        let mut seen = self.word.word.load(Relaxed);
        while seen & SET == 0 {
            let new = (seen & TIMES).wrapping_add(ONE_TIME) | SET;
            match self.word.word.compare_exchange_weak(seen, new, AcqRel, Relaxed) {
                Ok(_) => {
                    if seen & SLEEPERS != 0 {
                        self.word.wake(u32::MAX);
                    }
                    return;
                }
                Err(now) => seen = now,
            }
        }
    }

    pub(crate) fn clear(&self) {
        self.word.word.fetch_and(!SET, AcqRel);
    }

    /// Sleeps until it is set, or was set at any time since; `false` if `deadline` came first.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> io::Result<bool> {
        self.wait_from(self.word.word.load(Acquire), deadline)
    }

    /// Waits as one who began when the word was `first`.
    fn wait_from(&self, first: u32, deadline: Option<Instant>) -> io::Result<bool> {
        let is_through = |seen: u32| seen & SET != 0 || seen & TIMES != first & TIMES;
        let look = || is_through(self.word.word.load(Acquire)).then_some(());
        if look().is_some() || (!has_passed(deadline) && self.spin.until(look).is_some()) {
            return Ok(true);
        }
        let mut looks = Looks::at_word();
        loop {
            let seen = self.word.word.load(Acquire);
            if is_through(seen) {
                return Ok(true);
            }
            if has_passed(deadline) {
                return Ok(false);
            }
            let marked = seen | SLEEPERS;
            if seen == marked
                || self.word.word.compare_exchange(seen, marked, Relaxed, Relaxed).is_ok()
            {
                let _looked_at_again: Sleep = self.word.sleep(marked, looks.next(deadline))?;
            }
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::prim::AtomicU32;

    #[test]
    fn set_and_clear_are_idempotent_and_the_count_wraps() {
        for start in [0, TIMES] {
            let event = EventState {
                word: Futex { word: AtomicU32::new(start) },
                spin: Spin(AtomicU32::new(0)),
            };
            let soon = || Some(Instant::now() + Duration::from_millis(5));
            assert!(!event.is_set() && !event.wait(soon()).unwrap());
            event.set();
            event.set();
            assert!(event.is_set() && event.wait(None).unwrap() && event.wait(soon()).unwrap());
            event.clear();
            event.clear();
            assert!(!event.is_set() && !event.wait(soon()).unwrap());
        }
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    fn new() -> Arc<EventState> {
        let spin = Spin(crate::prim::AtomicU32::new(0));
        Arc::new(EventState { word: Futex::new(0), spin })
    }

    #[test]
    fn loom_set_lets_two_waiters_through() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let event = new();
            let waiters: Vec<_> = (0..2)
                .map(|_| {
                    let event = Arc::clone(&event);
                    thread::spawn(move || assert!(event.wait(None).unwrap()))
                })
                .collect();
            event.set();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }

    #[test]
    fn loom_set_then_clear_lets_a_waiter_through_who_waited() {
        loom::model(|| {
            let event = new();
            let theirs = Arc::clone(&event);
            let first = event.word.word.load(Acquire);
            let waiter = thread::spawn(move || theirs.wait_from(first, None).unwrap());
            event.set();
            event.clear();
            assert!(waiter.join().unwrap());
        });
    }
}
