//! How long to spin before going to sleep.
//!
//! A hand-over to a process that spins on another processor takes a fraction of a microsecond, one to a
//! process that sleeps a hundred times that; on one shared processor spinning only keeps the
//! other from running. So each object remembers whether spinning has paid off lately, and for how
//! long: the estimate follows the successes, and failures take it down to nothing, from where an
//! attempt now and then finds out whether things have changed. An attempt outlasts a wake-up: two that
//! pass something to and fro and both sleep come to spin only if one of them holds out until the
//! other is awake.

use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use crate::prim::{AtomicU32, pause};

/// The longest spin, in pauses: some tens of microseconds, as long as it takes to wake a process on an
/// idle processor.
const MAX_PAUSES: u32 = 2000;
/// What is added to the estimate, in pauses, so that a slower success is still one.
const MARGIN: u32 = 20;
/// A success counts as at least so many pauses: it takes several failures in a row to forget it.
const LEAST_SUCCESS: u32 = 4;
/// One in so many waits spins although spinning has not paid off.
const ATTEMPT: u32 = 256;
/// The most pauses between two looks at what others write to.
const MAX_INTERVAL: u32 = 32;
/// The estimate is kept in fractions, so that it can fall below one.
const SCALE: u32 = 16;

/// Whether there is another processor for whoever is waited for.
static HAS_COMPANY: LazyLock<bool> =
    LazyLock::new(|| std::thread::available_parallelism().is_ok_and(|n| n.get() > 1));

/// The memory of one object: the estimate in the low half, the number of waits in the high half.
/// Stores of several waiters may overwrite each other; it is an estimate.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Spin(pub(crate) AtomicU32);

impl Spin {
    /// Spins until `ready` gives something, for as long as that is likely to pay off.
    pub(crate) fn until<R>(&self, ready: impl FnMut() -> Option<R>) -> Option<R> {
        self.spin(1, ready)
    }

    /// As [`until`](Spin::until), for what the one who is waited for goes on using: each look takes
    /// the cache line away from it, so they become rarer.
    pub(crate) fn until_free<R>(&self, ready: impl FnMut() -> Option<R>) -> Option<R> {
        self.spin(MAX_INTERVAL, ready)
    }

    fn spin<R>(&self, max_interval: u32, mut ready: impl FnMut() -> Option<R>) -> Option<R> {
        if cfg!(mp_loom) || !*HAS_COMPANY {
            return ready();
        }
        let memory = self.0.load(Relaxed);
        let (estimate, waits) = (memory & 0xffff, memory >> 16);
        let limit = match estimate / SCALE {
            0 if waits.is_multiple_of(ATTEMPT) => MAX_PAUSES,
            0 => 0,
            pauses => (2 * pauses + MARGIN).min(MAX_PAUSES),
        };
        let (mut used, mut interval) = (0, 1);
        let mut found = ready();
        while found.is_none() && used < limit {
            (0..interval).for_each(|_| pause());
            used += interval;
            interval = (2 * interval).min(max_interval);
            found = ready();
        }
        let target = if found.is_some() { SCALE * used.max(LEAST_SUCCESS) } else { 0 };
        let moved = estimate.wrapping_add_signed(step(estimate, target)) & 0xffff;
        self.0.store(waits.wrapping_add(1) << 16 | moved, Relaxed);
        found
    }
}

/// An eighth of the way from `from` to `to`, at least one.
fn step(from: u32, to: u32) -> i32 {
    let way = to.cast_signed() - from.cast_signed();
    if way.abs() < 8 { way.signum() } else { way / 8 }
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
        let looks: Vec<u32> = (0..3 * ATTEMPT).map(|_| wait()).collect();
        let spins = looks.iter().filter(|looks| **looks > 1).count();
        assert!(spins <= 4, "{spins} of {} waits spun in vain", looks.len());
    }

    #[test]
    fn spinning_that_pays_off_goes_on() {
        let spin = Spin(AtomicU32::new(0));
        for round in 0..1000 {
            let mut looks = 0;
            let found = spin.until(|| {
                looks += 1;
                (looks > 10).then_some(())
            });
            assert!(round < 2 * ATTEMPT || found.is_some() || !*HAS_COMPANY, "round {round}");
        }
    }
}
