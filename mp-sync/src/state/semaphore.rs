//! The semaphore: a count, and who holds how many of the permits that a guard stands for.
//!
//! All of it changes under a lock word of its own, for a count and the record of a holder must change
//! together whoever is killed. A change is first written down (`plan`), then done, then struck out; the
//! next one who finds that the owner of the lock died does what was written down once more, which is
//! the same as once. So a permit is never lost nor doubled.
//!
//! Sleepers sleep on `turn`, which each release changes. A sleeper looks now and then for records of the
//! dead, and gives back what they held.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::compiler_fence;
use std::time::{Duration, Instant};

use mp_shared_memory::MemberId;

use crate::deadline::{Looks, has_passed};
use crate::peers::Peers;
use crate::prim::{AtomicU32, AtomicU64, Futex};
use crate::spin::Spin;
use crate::state::lock::{Got, LockWord};

/// The most processes that can hold permits through guards at once.
pub(crate) const HOLDERS: usize = if cfg!(mp_loom) { 3 } else { 500 };
/// The highest value, as in Python.
pub(crate) const MAX_VALUE: u32 = i32::MAX as u32;
/// What an attempt that must not wait waits at most for the few instructions of another process.
const MOMENT: Duration = Duration::from_millis(20);

#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct SemaphoreState {
    lock: LockWord,
    spin: Spin,
    value: AtomicU32,
    /// The value that no release may exceed.
    bound: AtomicU32,
    /// Changes with each release.
    turn: Futex,
    /// How many sleep, or did when they were killed: never too few.
    sleepers: AtomicU32,
    plan: Plan,
    /// A process in the low half, in the high half how many permits its guards hold; zero is free.
    records: [AtomicU64; HOLDERS],
}

/// A change that is being made.
#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
struct Plan {
    /// 1 while the rest is to be done.
    is_pending: AtomicU32,
    value: AtomicU32,
    record: AtomicU64,
    index: AtomicU32,
}

/// Why a call was refused; nothing has changed.
#[derive(Debug)]
pub(crate) enum Refused {
    BoundExceeded { bound: u32 },
    TooManyHolders,
    System(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Refused {
        Refused::System(error)
    }
}

/// The lock is held.
struct Inside<'a>(&'a SemaphoreState);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.lock.release();
    }
}

impl SemaphoreState {
    /// Sets a new semaphore up, before it is shared.
    pub(crate) fn begin(&self, value: u32, bound: u32) {
        self.value.store(value, Relaxed);
        self.bound.store(bound, Release);
    }

    pub(crate) fn value(&self) -> u32 {
        self.value.load(Acquire)
    }

    pub(crate) fn bound(&self) -> u32 {
        self.bound.load(Relaxed)
    }

    /// Which processes hold permits through guards, and how many, as one sees it who is no peer.
    #[cfg(not(mp_loom))]
    pub(crate) fn holders(&self) -> impl Iterator<Item = (MemberId, u32)> {
        self.records.iter().filter_map(|record| {
            let record = record.load(Acquire);
            #[expect(clippy::cast_possible_truncation, reason = "the two halves of a record")]
            let (process, permits) = (record as u32, (record >> 32) as u32);
            Some((MemberId::from_word(process)?, permits))
        })
    }

    /// Takes a permit; sleeps until there is one, at most until `deadline`. Whether it got it.
    pub(crate) fn acquire(
        &self,
        peers: &impl Peers,
        deadline: Option<Instant>,
    ) -> Result<bool, Refused> {
        let mut looks = Looks::at_others();
        let mut is_asleep = false;
        loop {
            let Some(inside) = self.enter(peers, deadline)? else { return Ok(false) };
            if is_asleep {
                self.sleepers.store(self.sleepers.load(Relaxed).saturating_sub(1), Relaxed);
            }
            if inside.take(peers)? {
                return Ok(true);
            }
            if has_passed(deadline) {
                return Ok(false);
            }
            let turn = self.turn.word.load(Relaxed);
            self.sleepers.store(self.sleepers.load(Relaxed).saturating_add(1), Relaxed);
            is_asleep = true;
            drop(inside);
            let has_turned = || (self.turn.word.load(Acquire) != turn).then_some(());
            if self.spin.until(has_turned).is_none() {
                self.turn.sleep(turn, looks.next(deadline))?;
            }
        }
    }

    /// Takes a permit if there is one.
    pub(crate) fn try_acquire(&self, peers: &impl Peers) -> Result<bool, Refused> {
        match self.enter(peers, Some(Instant::now()))? {
            Some(inside) => inside.take(peers),
            None => Ok(false),
        }
    }

    /// Adds permits and wakes as many sleepers.
    pub(crate) fn release(&self, peers: &impl Peers, count: u32) -> Result<(), Refused> {
        self.give(peers, count, false)
    }

    /// Gives a permit of a guard back.
    pub(crate) fn release_guard(&self, peers: &impl Peers) -> Result<(), Refused> {
        self.give(peers, 1, true)
    }

    /// A permit of a guard is from now on that of nobody: it stays taken when this process dies.
    pub(crate) fn forget(&self, peers: &impl Peers) -> Result<(), Refused> {
        let inside = self.enter_for_long(peers)?;
        inside.drop_record(peers, self.value.load(Relaxed));
        Ok(())
    }

    fn give(&self, peers: &impl Peers, count: u32, from_guard: bool) -> Result<(), Refused> {
        let inside = self.enter_for_long(peers)?;
        let (value, bound) = (self.value.load(Relaxed), self.bound());
        let new = value.checked_add(count).filter(|new| *new <= bound);
        if from_guard {
            // The permit is no longer held in any case, or it would be given back twice at the end.
            inside.drop_record(peers, new.unwrap_or(value));
        } else {
            // What guards hold they give back themselves: only others can be missing.
            let held = if bound < MAX_VALUE { inside.held() } else { 0 };
            let new = new.filter(|new| new.checked_add(held).is_some_and(|all| all <= bound));
            self.value.store(new.ok_or(Refused::BoundExceeded { bound })?, Relaxed);
        }
        self.turn.word.store(self.turn.word.load(Relaxed).wrapping_add(1), Release);
        let has_sleepers = self.sleepers.load(Relaxed) > 0;
        drop(inside);
        if has_sleepers {
            self.turn.wake(count);
        }
        Ok(())
    }

    /// Takes the lock, which is held for some instructions only, and finishes what a dead owner began;
    /// `None` if that took beyond the deadline.
    fn enter(
        &self,
        peers: &impl Peers,
        deadline: Option<Instant>,
    ) -> io::Result<Option<Inside<'_>>> {
        let patience = deadline.map(|deadline| deadline.max(Instant::now() + MOMENT));
        let Some(got) = self.lock.acquire(peers, patience)? else { return Ok(None) };
        if got != Got::Clean && self.plan.is_pending.load(Acquire) != 0 {
            self.carry_out();
        }
        Ok(Some(Inside(self)))
    }

    fn enter_for_long(&self, peers: &impl Peers) -> io::Result<Inside<'_>> {
        loop {
            if let Some(inside) = self.enter(peers, None)? {
                return Ok(inside);
            }
        }
    }

    fn carry_out(&self) {
        let index = self.plan.index.load(Relaxed) as usize;
        if let Some(record) = self.records.get(index) {
            self.value.store(self.plan.value.load(Relaxed), Relaxed);
            record.store(self.plan.record.load(Relaxed), Relaxed);
        }
        self.plan.is_pending.store(0, Release);
    }
}

impl Inside<'_> {
    /// Changes the value and a record together.
    fn change(&self, value: u32, index: usize, record: u64) {
        let plan = &self.0.plan;
        plan.value.store(value, Relaxed);
        plan.record.store(record, Relaxed);
        plan.index.store(u32::try_from(index).unwrap_or(u32::MAX), Relaxed);
        plan.is_pending.store(1, Release);
        // A release keeps what is before it there; what follows must stay behind it, too. No processor reorders what
        // a process has done before it is killed, but a compiler might.
        compiler_fence(SeqCst);
        self.0.carry_out();
    }

    /// Takes a permit for this process, after asking the dead for theirs if there is none.
    fn take(&self, peers: &impl Peers) -> Result<bool, Refused> {
        if self.0.value.load(Relaxed) == 0 {
            self.give_back_of_the_dead(peers);
        }
        let value = self.0.value.load(Relaxed);
        if value == 0 {
            return Ok(false);
        }
        let me = peers.me();
        let (index, held) = match self.record_of(me) {
            Some(found) => found,
            None => {
                if self.free_record().is_none() {
                    self.give_back_of_the_dead(peers);
                }
                (self.free_record().ok_or(Refused::TooManyHolders)?, 0)
            }
        };
        let value = self.0.value.load(Relaxed);
        self.change(value.saturating_sub(1), index, record(me, held.saturating_add(1)));
        Ok(true)
    }

    /// This process holds one less; the value becomes `value`.
    fn drop_record(&self, peers: &impl Peers, value: u32) {
        let me = peers.me();
        match self.record_of(me) {
            Some((index, held)) if held > 1 => self.change(value, index, record(me, held - 1)),
            Some((index, _)) => self.change(value, index, 0),
            None => self.0.value.store(value, Relaxed),
        }
    }

    fn give_back_of_the_dead(&self, peers: &impl Peers) {
        for (index, word) in self.0.records.iter().enumerate() {
            if let Some((owner, held)) = parts(word.load(Relaxed))
                && !peers.is_alive(owner)
            {
                let value = self.0.value.load(Relaxed).saturating_add(held);
                self.change(value.min(self.0.bound()), index, 0);
            }
        }
    }

    /// How many permits guards hold, those of the dead included.
    fn held(&self) -> u32 {
        let parts = self.0.records.iter().filter_map(|word| parts(word.load(Relaxed)));
        parts.fold(0, |sum, (_, held)| sum.saturating_add(held))
    }

    fn record_of(&self, id: MemberId) -> Option<(usize, u32)> {
        self.0.records.iter().enumerate().find_map(|(index, word)| {
            parts(word.load(Relaxed))
                .filter(|(owner, _)| *owner == id)
                .map(|(_, held)| (index, held))
        })
    }

    fn free_record(&self) -> Option<usize> {
        self.0.records.iter().position(|word| parts(word.load(Relaxed)).is_none())
    }
}

fn record(owner: MemberId, held: u32) -> u64 {
    u64::from(held) << 32 | u64::from(owner.to_word())
}

fn parts(record: u64) -> Option<(MemberId, u32)> {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let (owner, held) = (record as u32, (record >> 32) as u32);
    MemberId::from_word(owner).map(|owner| (owner, held))
}

#[cfg(test)]
impl SemaphoreState {
    pub(crate) fn new(value: u32, bound: u32) -> SemaphoreState {
        let zero = || AtomicU32::new(0);
        let plan =
            Plan { is_pending: zero(), value: zero(), record: AtomicU64::new(0), index: zero() };
        let state = SemaphoreState {
            #[cfg(mp_loom)]
            lock: LockWord::default(),
            #[cfg(not(mp_loom))]
            lock: LockWord::default(),
            spin: Spin(zero()),
            value: zero(),
            bound: zero(),
            #[cfg(mp_loom)]
            turn: Futex::new(0),
            #[cfg(not(mp_loom))]
            turn: Futex { word: zero() },
            sleepers: zero(),
            plan,
            records: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        state.begin(value, bound);
        state
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::peers::mock::Mock;

    #[test]
    fn permits_of_the_dead_come_back_and_forgotten_ones_do_not() {
        let s = SemaphoreState::new(3, 3);
        let (dying, living) = (Mock(5, 9), Mock(1, 5));
        for _ in 0..3 {
            assert!(s.try_acquire(&dying).unwrap());
        }
        s.forget(&dying).unwrap();
        assert!(!s.try_acquire(&Mock(1, 9)).unwrap(), "all live");
        assert!(s.acquire(&living, None).unwrap(), "process 5 is dead now");
        assert!(s.try_acquire(&living).unwrap() && !s.try_acquire(&living).unwrap());
    }

    #[test]
    fn a_change_that_was_cut_short_is_done_once() {
        let s = SemaphoreState::new(2, 2);
        // The owner of the lock died after it had written its plan down and changed the value.
        s.plan.value.store(1, Relaxed);
        s.plan.record.store(record(Mock::id(5), 1), Relaxed);
        s.plan.is_pending.store(1, Relaxed);
        s.value.store(1, Relaxed);
        s.lock.try_acquire(&Mock(5, 9)).unwrap();
        let living = Mock(1, 5);
        assert!(s.try_acquire(&living).unwrap() && s.try_acquire(&living).unwrap());
        assert!(!s.try_acquire(&living).unwrap());
        s.release_guard(&living).unwrap();
        s.release_guard(&living).unwrap();
        assert_eq!(s.value(), 2);
    }

    #[test]
    fn permits_that_guards_hold_cannot_be_released_by_others() {
        let (s, me) = (SemaphoreState::new(2, 2), Mock(1, 9));
        assert!(s.try_acquire(&me).unwrap() && s.try_acquire(&me).unwrap());
        assert!(matches!(s.release(&me, 1), Err(Refused::BoundExceeded { bound: 2 })));
        s.forget(&me).unwrap();
        s.release(&me, 1).unwrap();
        assert!(s.release(&me, 1).is_err());
        s.release_guard(&me).unwrap();
        assert_eq!(s.value(), 2);
    }

    proptest! {
        /// Whatever live and dying processes do, permits are neither lost nor made.
        #[test]
        fn permits_are_conserved(moves: Vec<(u32, u8)>) {
            let s = SemaphoreState::new(4, 4);
            let mut held = [0_u32; 4];
            for (who, what) in moves {
                let who = 1 + who % 3;
                let me = Mock(who, 9);
                match what % 2 {
                    0 => {
                        let free = 4 - held.iter().sum::<u32>();
                        let got = s.try_acquire(&me).unwrap();
                        prop_assert_eq!(got, free > 0);
                        held[who as usize] += u32::from(got);
                    }
                    _ if held[who as usize] > 0 => {
                        s.release_guard(&me).unwrap();
                        held[who as usize] -= 1;
                    }
                    _ => {}
                }
                prop_assert_eq!(s.value() + held.iter().sum::<u32>(), 4);
            }
            // Now 2 and 3 die.
            let living = Mock(1, 2);
            let mut got = 0;
            while s.try_acquire(&living).unwrap() {
                got += 1;
            }
            prop_assert_eq!(got + held[1], 4);
        }
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::peers::mock::Mock;

    #[test]
    fn loom_a_release_is_never_lost() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let s = Arc::new(SemaphoreState::new(0, MAX_VALUE));
            let theirs = Arc::clone(&s);
            let waiter = thread::spawn(move || {
                assert!(theirs.acquire(&Mock(2, 8), None).unwrap());
            });
            s.release(&Mock(1, 8), 1).unwrap();
            waiter.join().unwrap();
            assert_eq!(s.value(), 0);
        });
    }

    #[test]
    fn loom_one_permit_goes_round() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let s = Arc::new(SemaphoreState::new(1, 1));
            let theirs = Arc::clone(&s);
            let other = thread::spawn(move || {
                let me = Mock(2, 8);
                assert!(theirs.acquire(&me, None).unwrap());
                theirs.release_guard(&me).unwrap();
            });
            let me = Mock(1, 8);
            assert!(s.acquire(&me, None).unwrap());
            s.release_guard(&me).unwrap();
            other.join().unwrap();
            assert_eq!(s.value(), 1);
        });
    }
}
