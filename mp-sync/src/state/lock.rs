//! The lock word.
//!
//! | bits | meaning |
//! |---|---|
//! | 0–29 | the owner, zero if it is free |
//! | 30 | the owner gave up its guard: anybody may release |
//! | 31 | somebody may be asleep |
//!
//! Moves: free → owned by whoever stores itself; owned → free by a swap, which also tells whether to wake
//! somebody; owned by the dead → owned by the one waiter whose exchange succeeds. Whoever has slept
//! sets bit 31 with its own name, because there may be more sleepers than the one who was woken. A
//! waiter that is killed after it was woken takes a wake-up with it; the other sleepers find the word
//! free at their next look.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use mp_shared_memory::MemberId;

use crate::deadline::{Looks, has_passed};
use crate::peers::Peers;
use crate::prim::{Futex, Sleep};
use crate::spin::Spin;

const LEAKED: u32 = 1 << 30;
const SLEEPERS: u32 = 1 << 31;

/// A lock and its memory of spinning; by default free.
#[derive(Debug, Default)]
#[cfg_attr(not(mp_loom), repr(C))]
pub struct LockWord {
    word: Futex,
    spin: Spin,
}

/// How a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Got {
    /// It was free.
    Clean,
    /// Its owner died with it.
    From(MemberId),
}

impl LockWord {
    /// Takes it if it is free, or if its owner is dead.
    pub fn try_acquire(&self, peers: &impl Peers) -> Option<Got> {
        let me = peers.me().to_word();
        loop {
            let seen = match self.word.word.compare_exchange(0, me, Acquire, Relaxed) {
                Ok(_) => return Some(Got::Clean),
                Err(seen) => seen,
            };
            let owner = MemberId::from_word(seen);
            if owner.is_some_and(|owner| peers.is_alive(owner)) {
                return None;
            }
            let taken = me | seen & SLEEPERS;
            if self.word.word.compare_exchange(seen, taken, Acquire, Relaxed).is_ok() {
                return Some(owner.map_or(Got::Clean, Got::From));
            }
        }
    }

    /// Takes it if it is free, and leaves it to others to take it over from the dead.
    pub(crate) fn try_acquire_free(&self, peers: &impl Peers) -> bool {
        let me = peers.me().to_word();
        self.word.word.compare_exchange(0, me, Acquire, Relaxed).is_ok()
    }

    /// Sleeps until it is taken, at most until `deadline`; `None` if that came first.
    ///
    /// # Errors
    ///
    /// When the system lets nobody sleep.
    pub fn acquire(
        &self,
        peers: &impl Peers,
        deadline: Option<Instant>,
    ) -> io::Result<Option<Got>> {
        let me = peers.me().to_word();
        if self.word.word.compare_exchange(0, me, Acquire, Relaxed).is_ok() {
            return Ok(Some(Got::Clean));
        }
        let spun = self.spin.until_free(|| {
            let seen = self.word.word.load(Relaxed);
            let is_free = MemberId::from_word(seen).is_none();
            let take = || self.word.word.compare_exchange(seen, me | seen, Acquire, Relaxed);
            (is_free && take().is_ok()).then_some(())
        });
        if spun.is_some() {
            return Ok(Some(Got::Clean));
        }
        self.sleep(peers, deadline)
    }

    fn sleep(&self, peers: &impl Peers, deadline: Option<Instant>) -> io::Result<Option<Got>> {
        let me = peers.me().to_word() | SLEEPERS;
        let mut looks = Looks::at_others();
        loop {
            let seen = self.word.word.load(Relaxed);
            let Some(owner) = MemberId::from_word(seen) else {
                if self.word.word.compare_exchange(seen, me, Acquire, Relaxed).is_ok() {
                    return Ok(Some(Got::Clean));
                }
                continue;
            };
            let marked = seen | SLEEPERS;
            if seen != marked
                && self.word.word.compare_exchange(seen, marked, Relaxed, Relaxed).is_err()
            {
                continue;
            }
            if self.word.sleep(marked, looks.next(deadline))? == Sleep::TimedOut {
                if !peers.is_alive(owner)
                    && self.word.word.compare_exchange(marked, me, Acquire, Relaxed).is_ok()
                {
                    return Ok(Some(Got::From(owner)));
                }
                if has_passed(deadline) {
                    return Ok(None);
                }
            }
        }
    }

    /// Frees it and wakes somebody; the caller has it.
    pub fn release(&self) {
        if self.word.word.swap(0, Release) & SLEEPERS != 0 {
            self.word.wake(1);
        }
    }

    /// Lets anybody release it; the caller has it.
    pub(crate) fn leak(&self) {
        self.word.word.fetch_or(LEAKED, AcqRel);
    }

    /// Frees it if its owner has leaked it, whoever that is; whether it had.
    pub(crate) fn release_leaked(&self) -> bool {
        let mut seen = self.word.word.load(Relaxed);
        while seen & LEAKED != 0 {
            match self.word.word.compare_exchange_weak(seen, 0, AcqRel, Relaxed) {
                Ok(_) => {
                    if seen & SLEEPERS != 0 {
                        self.word.wake(1);
                    }
                    return true;
                }
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Whether its owner has leaked it.
    #[cfg(not(mp_loom))]
    pub(crate) fn is_leaked(&self) -> bool {
        self.word.word.load(Acquire) & LEAKED != 0
    }

    /// Who has it.
    pub fn owner(&self) -> Option<MemberId> {
        MemberId::from_word(self.word.word.load(Acquire))
    }
}

#[cfg(all(test, mp_loom))]
impl LockWord {
    pub(crate) fn owned_by(word: u32) -> LockWord {
        LockWord { word: Futex::new(word), spin: Spin::default() }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peers::mock::Mock;

    fn lock_with(word: u32) -> LockWord {
        let lock = LockWord::default();
        lock.word.word.store(word, Relaxed);
        lock
    }

    #[test]
    fn a_free_lock_is_taken_and_a_held_one_is_not() {
        let lock = lock_with(0);
        assert_eq!(lock.try_acquire(&Mock(1, 9)), Some(Got::Clean));
        assert_eq!(lock.try_acquire(&Mock(2, 9)), None);
        assert_eq!(lock.try_acquire(&Mock(1, 9)), None, "not even by its owner");
        assert_eq!(lock.owner(), Some(Mock::id(1)));
        let deadline = Some(Instant::now() + Duration::from_millis(5));
        assert_eq!(lock.acquire(&Mock(2, 9), deadline).unwrap(), None);
        lock.release();
        assert_eq!(lock.owner(), None);
    }

    #[test]
    fn a_dead_owner_is_told_to_exactly_one() {
        let lock = lock_with(Mock::id(7).to_word() | SLEEPERS | LEAKED);
        assert_eq!(lock.try_acquire(&Mock(1, 5)), Some(Got::From(Mock::id(7))));
        assert!(!lock.release_leaked(), "the new owner has a guard");
        lock.release();
        assert_eq!(lock.acquire(&Mock(2, 5), None).unwrap(), Some(Got::Clean));
    }

    #[test]
    fn a_dead_owner_is_found_by_who_sleeps() {
        let lock = lock_with(Mock::id(7).to_word());
        assert_eq!(lock.acquire(&Mock(1, 5), None).unwrap(), Some(Got::From(Mock::id(7))));
    }

    #[test]
    fn only_a_leaked_lock_is_released_by_others() {
        let lock = lock_with(0);
        assert!(!lock.release_leaked());
        lock.try_acquire(&Mock(1, 9));
        assert!(!lock.release_leaked());
        lock.leak();
        assert!(lock.release_leaked() && !lock.release_leaked());
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;
    use crate::peers::mock::Mock;

    struct Shared {
        lock: LockWord,
        inside: AtomicUsize,
    }

    fn take_turns(number: u32, rounds: u32, shared: &Shared) {
        for _ in 0..rounds {
            let got = shared.lock.acquire(&Mock(number, 8), None).unwrap().unwrap();
            assert_eq!(got, Got::Clean);
            assert_eq!(shared.inside.fetch_add(1, Relaxed), 0, "two are inside");
            shared.inside.fetch_sub(1, Relaxed);
            shared.lock.release();
        }
    }

    /// Every thread gets the lock, alone, and none sleeps for ever.
    fn excludes(threads: u32, rounds: u32) {
        let shared = Arc::new(Shared { lock: LockWord::default(), inside: AtomicUsize::new(0) });
        let others: Vec<_> = (2..=threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || take_turns(number, rounds, &shared))
            })
            .collect();
        take_turns(1, rounds, &shared);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(shared.lock.owner(), None);
    }

    /// Of two who find a dead owner, one takes over, and says so; the other gets the lock after it.
    #[test]
    fn loom_one_of_two_takes_over_from_the_dead() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let lock = Arc::new(LockWord::owned_by(Mock::id(7).to_word()));
            let theirs = Arc::clone(&lock);
            let take = |number: u32, lock: &LockWord| {
                let got = loop {
                    match lock.try_acquire(&Mock(number, 5)) {
                        Some(got) => break got,
                        None => thread::yield_now(),
                    }
                };
                lock.release();
                u32::from(got != Got::Clean)
            };
            let other = thread::spawn(move || take(2, &theirs));
            let mine = take(1, &lock);
            assert_eq!(mine + other.join().unwrap(), 1, "deaths told");
        });
    }

    #[test]
    fn loom_two_threads_take_turns() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(|| excludes(2, 2));
    }

    #[test]
    fn loom_three_threads_take_turns() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| excludes(3, 1));
    }
}
