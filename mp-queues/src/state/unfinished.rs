//! Items that were put and not yet reported as done, and who waits until there are none.
//!
//! Only what was done is counted here, for what was put is counted by the tail anyway. So a put adds no
//! step that a kill could come before.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Instant;

use mp_sync::parts::{AtomicU64, Futex, Looks, Sleep, Spin, has_passed};

/// Somebody may sleep until nothing is unfinished.
const SLEEPERS: u32 = 1;
/// How often nothing was left, in the other bits.
const ONE_TIME: u32 = 2;

#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct Unfinished {
    done: AtomicU64,
    finished: Futex,
    spin: Spin,
}

impl Unfinished {
    /// How many of `put` are not done.
    pub(crate) fn count(&self, put: u64) -> u64 {
        put.saturating_sub(self.done.load(Acquire))
    }

    /// How many of `put` are not done, once any was, as one sees it who is no peer.
    #[cfg(not(mp_loom))]
    pub(crate) fn seen(&self, put: u64) -> Option<u64> {
        Some(self.done.load(Acquire)).filter(|done| *done > 0).map(|done| put.saturating_sub(done))
    }

    /// One more is done; `false` if that is more than were put.
    pub(crate) fn task_done(&self, put: impl Fn() -> u64) -> bool {
        let mut done = self.done.load(Relaxed);
        loop {
            if done >= put() {
                return false;
            }
            match self.done.compare_exchange_weak(done, done + 1, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => done = now,
            }
        }
        if done + 1 >= put() {
            self.tell();
        }
        true
    }

    /// Lets those who wait look again.
    fn tell(&self) {
        let word = &self.finished.word;
        let mut seen = word.load(Relaxed);
        loop {
            let new = (seen & !SLEEPERS).wrapping_add(ONE_TIME);
            match word.compare_exchange_weak(seen, new, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        if seen & SLEEPERS != 0 {
            self.finished.wake(u32::MAX);
        }
    }

    /// Lets all who sleep look around.
    pub(crate) fn wake_all(&self) {
        self.finished.wake(u32::MAX);
    }

    /// Waits until all of what was put is done; `false` if `deadline` came first, or if `look`, which is asked now and
    /// then, says to give up.
    pub(crate) fn join(
        &self,
        put: impl Fn() -> u64,
        deadline: Option<Instant>,
        mut look: impl FnMut() -> bool,
    ) -> io::Result<bool> {
        let is_over = || self.count(put()) == 0;
        if is_over() || self.spin.until(|| is_over().then_some(())).is_some() {
            return Ok(true);
        }
        let mut looks = Looks::at_word();
        loop {
            let seen = self.finished.word.load(Acquire);
            if is_over() {
                return Ok(true);
            }
            if has_passed(deadline) || look() {
                return Ok(false);
            }
            let marked = seen | SLEEPERS;
            if seen == marked
                || self.finished.word.compare_exchange(seen, marked, AcqRel, Relaxed).is_ok()
            {
                let _looked_at_again: Sleep = self.finished.sleep(marked, looks.next(deadline))?;
            }
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_is_done_than_was_put() {
        let unfinished = Unfinished::default();
        let soon = || Some(Instant::now() + Duration::from_millis(5));
        assert!(unfinished.join(|| 0, None, || false).unwrap());
        assert!(!unfinished.task_done(|| 0));
        assert!(!unfinished.join(|| 2, soon(), || false).unwrap());
        assert!(unfinished.task_done(|| 2) && unfinished.task_done(|| 2));
        assert!(!unfinished.task_done(|| 2));
        assert!(unfinished.join(|| 2, None, || false).unwrap());
        assert_eq!(unfinished.count(1), 0, "a put that was counted and not made");
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    #[test]
    fn loom_the_last_done_wakes_two_joiners() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let unfinished = Arc::new(Unfinished::default());
            let joiners: Vec<_> = (0..2)
                .map(|_| {
                    let unfinished = Arc::clone(&unfinished);
                    thread::spawn(move || assert!(unfinished.join(|| 1, None, || false).unwrap()))
                })
                .collect();
            assert!(unfinished.task_done(|| 1));
            joiners.into_iter().for_each(|joiner| joiner.join().unwrap());
        });
    }
}
