//! How long to spin before going to sleep.
//!
//! A hand-over to a process that spins on another processor takes a fraction of a microsecond, one to a
//! process that sleeps a hundred times that; on one shared processor spinning only keeps the
//! other from running. So each object remembers whether spinning has paid off lately, and an attempt
//! now and then finds out whether that has changed.
//!
//! Who spins does so for about as long as a wake-up takes. Less is not enough for two that pass something
//! to and fro: once both sleep, neither is back before the other has given up, and one pause of the
//! system is enough to get them there.

use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use crate::prim::{AtomicU32, pause};

/// The longest spin, in pauses: some tens of microseconds.
const MAX_PAUSES: u32 = 2000;
/// How many pauses there are between two looks at what others write to: at first, and at last.
const INTERVALS: (u32, u32) = (16, 64);
/// What a success adds to the credit, of which a failure takes one: one in three must succeed.
const SUCCESS: u32 = 2;
/// The highest credit: after so many failures in a row nobody spins.
const MAX_CREDIT: u32 = 16;

/// One in so many waits spins although spinning has not paid off. A process that is bound to one
/// processor tries that less often: whoever it waits for may have the same one, or one of its own.
static ATTEMPT: LazyLock<u32> = LazyLock::new(|| {
    let is_bound = std::thread::available_parallelism().is_ok_and(|n| n.get() == 1);
    if is_bound { 4096 } else { 256 }
});

/// The memory of one object: the credit of spinning in the low half, the number of waits in the high half.
/// Stores of several waiters may overwrite each other; it is an estimate.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Spin(pub(crate) AtomicU32);

impl Spin {
    /// Spins until `ready` gives something, if that is likely to pay off.
    pub fn until<R>(&self, mut ready: impl FnMut() -> Option<R>) -> Option<R> {
        // What is there at once says nothing about spinning.
        ready().or_else(|| self.spin(MAX_PAUSES, (1, 1), ready))
    }

    /// As [`until`](Spin::until), for what was seen to be in use just now: each look takes the cache
    /// line away from the one who uses it, so looks are few and become fewer.
    pub fn until_free<R>(&self, ready: impl FnMut() -> Option<R>) -> Option<R> {
        self.until_within(MAX_PAUSES, ready)
    }

    /// As [`until_free`](Spin::until_free), for what takes others as long as so many pauses.
    pub fn until_within<R>(&self, pauses: u32, ready: impl FnMut() -> Option<R>) -> Option<R> {
        self.spin(pauses, INTERVALS, ready)
    }

    fn spin<R>(
        &self,
        pauses: u32,
        (mut interval, longest): (u32, u32),
        mut ready: impl FnMut() -> Option<R>,
    ) -> Option<R> {
        if cfg!(mp_loom) {
            return ready();
        }
        let memory = self.0.load(Relaxed);
        let (credit, waits) = (memory & 0xffff, memory >> 16);
        let spins = credit > 0 || waits.is_multiple_of(*ATTEMPT);
        let limit = if spins { pauses } else { 0 };
        let (mut used, mut found) = (0, None);
        while found.is_none() && used < limit {
            (0..interval).for_each(|_| pause());
            used += interval;
            interval = (2 * interval).min(longest);
            found = ready();
        }
        let credit = match found {
            Some(_) => (credit + SUCCESS).min(MAX_CREDIT),
            None => credit.saturating_sub(1),
        };
        self.0.store(waits.wrapping_add(1) << 16 | credit, Relaxed);
        found
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;

    #[test]
    fn spinning_that_never_pays_off_stops_and_is_tried_now_and_then() {
        let spin = Spin(AtomicU32::new(0));
        let mut looked = 0_u32;
        let mut wait = || {
            let before = looked;
            let _nothing = spin.until(|| {
                looked += 1;
                None::<()>
            });
            looked - before
        };
        let looks: Vec<u32> = (0..3 * *ATTEMPT).map(|_| wait()).collect();
        let spins = looks.iter().filter(|looks| **looks > 1).count();
        assert!(spins <= 4, "{spins} of {} waits spun in vain", looks.len());
    }

    #[test]
    fn spinning_that_pays_off_goes_on() {
        let spin = Spin(AtomicU32::new(0));
        for round in 0..3 * *ATTEMPT {
            let mut looks = 0;
            let found = spin.until(|| {
                looks += 1;
                (looks > 10).then_some(())
            });
            assert!(found.is_some(), "round {round}");
        }
    }
}
