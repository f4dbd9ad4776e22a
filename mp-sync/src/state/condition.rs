//! The condition: who waits, in which order, and who was notified.
//!
//! Everything here happens under the lock of the condition's user, but for a waiter's own sleep. Each
//! waiter has a seat:
//!
//! | state | meaning |
//! |---|---|
//! | `FREE` | nobody's |
//! | `AWAKE` | its owner waits, and is about to sleep or spins |
//! | `ASLEEP` | its owner waits, and sleeps or is about to |
//! | `NOTIFIED` | its owner may go, and is awake or has been woken |
//! | `CALLED` | its owner may go, and is to be woken |
//!
//! The owner takes a seat under the lock, moves it `AWAKE` → `ASLEEP`, and frees it under the lock; whoever
//! notifies moves it to `NOTIFIED` or `CALLED`. It wakes those whom it called, `CALLED` → `NOTIFIED`, once it
//! has given the lock up: who is woken before that may run at once, find the lock held, and go to sleep
//! again. What a notifier that was killed has not woken wakes the next one, or a look of its own.
//!
//! A waiter whose time is over frees its seat, so nothing is left that a notification could be spent on. A
//! seat whose owner was killed in its sleep is found when it is to be woken; one whose owner was killed
//! awake is found by the next who notifies, or by a sleeper that looks around. Its notification goes to
//! the next.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::time::Instant;

use mp_shared_memory::MemberId;

use crate::deadline::{Looks, has_passed};
use crate::peers::Peers;
use crate::prim::{AtomicU32, AtomicU64, Futex};
use crate::spin::Spin;

/// The most threads that can wait on one condition.
pub(crate) const SEATS: usize = if cfg!(mp_loom) { 3 } else { 1000 };

const FREE: u32 = 0;
const AWAKE: u32 = 1;
const ASLEEP: u32 = 2;
const NOTIFIED: u32 = 3;
const CALLED: u32 = 4;

#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
pub(crate) struct ConditionState {
    /// The place of the next waiter in the order.
    next: AtomicU64,
    /// No seat from this one on is taken.
    used: AtomicU32,
    spin: Spin,
    seats: [Seat; SEATS],
}

#[derive(Debug)]
#[cfg_attr(not(mp_loom), repr(C))]
struct Seat {
    state: Futex,
    owner: AtomicU32,
    order: AtomicU64,
}

/// All seats are taken by the living.
#[derive(Debug)]
pub(crate) struct Full;

impl ConditionState {
    /// Takes a seat; under the lock.
    pub(crate) fn sit_down(&self, peers: &impl Peers) -> Result<usize, Full> {
        let used = self.used_seats().len();
        let is_free = |index: &usize| self.seats[*index].state.word.load(Relaxed) == FREE;
        let is_dead = |index: &usize| !self.is_alive(&self.seats[*index], peers);
        let index = match (0..used).find(is_free) {
            Some(index) => index,
            None if used < SEATS => used,
            None => {
                // The seats of the dead are taken without what they were notified of.
                self.pass_on(peers);
                self.wake(peers);
                (0..SEATS).find(is_free).or_else(|| (0..SEATS).find(is_dead)).ok_or(Full)?
            }
        };
        if index == used {
            self.used.store(self.used.load(Relaxed).saturating_add(1), Relaxed);
        }
        let seat = &self.seats[index];
        let order = self.next.load(Relaxed);
        self.next.store(order.wrapping_add(1), Relaxed);
        seat.order.store(order, Relaxed);
        seat.owner.store(peers.me().to_word(), Relaxed);
        seat.state.word.store(AWAKE, Release);
        Ok(index)
    }

    /// Sleeps in the seat until it is notified, at most until `deadline`; without the lock.
    ///
    /// `look_around` is called now and then; it is to try for the lock and [`pass_on`](Self::pass_on), and says
    /// whether the sleep is to end.
    pub(crate) fn sleep(
        &self,
        index: usize,
        deadline: Option<Instant>,
        look_around: impl Fn() -> bool,
    ) -> io::Result<()> {
        let seat = &self.seats[index];
        let is_notified = || (seat.state.word.load(Acquire) >= NOTIFIED).then_some(());
        if has_passed(deadline) || self.spin.until(is_notified).is_some() {
            return Ok(());
        }
        let mut looks = Looks::at_word();
        // Fails if it was notified just now.
        let _sleeps = seat.state.word.compare_exchange(AWAKE, ASLEEP, AcqRel, Acquire);
        while is_notified().is_none() && !has_passed(deadline) {
            if seat.state.sleep(ASLEEP, looks.next(deadline))? == crate::prim::Sleep::TimedOut
                && !has_passed(deadline)
                && look_around()
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gives the seat back, under the lock; whether it was notified.
    pub(crate) fn stand_up(&self, index: usize) -> bool {
        let is_notified = self.seats[index].state.word.swap(FREE, AcqRel) >= NOTIFIED;
        // After a peak, nobody looks at the seats that were taken then.
        let is_taken = |seat: &Seat| seat.state.word.load(Relaxed) != FREE;
        let used = self.used_seats().iter().rposition(is_taken).map_or(0, |last| last + 1);
        self.used.store(u32::try_from(used).unwrap_or(u32::MAX), Relaxed);
        is_notified
    }

    /// Notifies up to `count` waiters, the longest first; under the lock, after which
    /// [`wake`](Self::wake) is to be called.
    pub(crate) fn notify(&self, peers: &impl Peers, count: usize) {
        self.pass_on(peers);
        self.notify_longest(count);
    }

    /// Wakes those who were notified in their sleep; best without the lock. Whether one of them is
    /// dead: then its notification is to be [passed on](Self::pass_on).
    pub(crate) fn wake(&self, peers: &impl Peers) -> bool {
        let mut is_one_dead = false;
        for seat in self.used_seats() {
            let state = &seat.state.word;
            let is_called = state.load(Relaxed) == CALLED
                && state.compare_exchange(CALLED, NOTIFIED, AcqRel, Relaxed).is_ok();
            // Whom the kernel had in its books lived at that moment.
            if is_called && seat.state.wake(1) == 0 && !self.is_alive(seat, peers) {
                is_one_dead = true;
            }
        }
        is_one_dead
    }

    /// Notifies somebody else in place of each waiter that was killed after it was notified; under
    /// the lock, after which [`wake`](Self::wake) is to be called.
    pub(crate) fn pass_on(&self, peers: &impl Peers) {
        loop {
            let mut lost = 0;
            for seat in self.used_seats() {
                if seat.state.word.load(Acquire) >= NOTIFIED && !self.is_alive(seat, peers) {
                    seat.state.word.store(FREE, Release);
                    lost += 1;
                }
            }
            if lost == 0 {
                return;
            }
            // Among those may be some who are dead, too.
            self.notify_longest(lost);
        }
    }

    fn notify_longest(&self, count: usize) {
        for _ in 0..count {
            let Some(seat) = self.longest_waiter() else { return };
            let state = &seat.state.word;
            // Fails if it sleeps, and then only who has the lock moves it on.
            if state.compare_exchange(AWAKE, NOTIFIED, AcqRel, Relaxed).is_err() {
                state.store(CALLED, Release);
            }
        }
    }

    fn longest_waiter(&self) -> Option<&Seat> {
        let waits = |seat: &&Seat| matches!(seat.state.word.load(Relaxed), AWAKE | ASLEEP);
        self.used_seats().iter().filter(waits).min_by_key(|seat| seat.order.load(Relaxed))
    }

    fn used_seats(&self) -> &[Seat] {
        &self.seats[..(self.used.load(Relaxed) as usize).min(SEATS)]
    }

    fn is_alive(&self, seat: &Seat, peers: &impl Peers) -> bool {
        let owner = MemberId::from_word(seat.owner.load(Relaxed));
        owner.is_some_and(|owner| owner == peers.me() || peers.is_alive(owner))
    }

    /// How many wait and were not notified; exact under the lock.
    pub(crate) fn waiting(&self) -> usize {
        self.used_seats()
            .iter()
            .filter(|seat| matches!(seat.state.word.load(Relaxed), AWAKE | ASLEEP))
            .count()
    }
}

#[cfg(test)]
impl ConditionState {
    pub(crate) fn new() -> ConditionState {
        let seat = |_| Seat {
            #[cfg(mp_loom)]
            state: Futex::new(FREE),
            #[cfg(not(mp_loom))]
            state: Futex { word: AtomicU32::new(FREE) },
            owner: AtomicU32::new(0),
            order: AtomicU64::new(0),
        };
        ConditionState {
            next: AtomicU64::new(0),
            used: AtomicU32::new(0),
            spin: Spin(AtomicU32::new(0)),
            seats: std::array::from_fn(seat),
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;
    use crate::peers::mock::Mock;

    #[test]
    fn the_longest_waiters_are_notified_and_no_more_than_asked() {
        let (c, me) = (ConditionState::new(), Mock(1, 9));
        let seats: Vec<_> = (0..4).map(|_| c.sit_down(&me).unwrap()).collect();
        c.stand_up(seats[0]); // its time was over
        c.notify(&me, 2);
        assert_eq!(c.waiting(), 1);
        assert_eq!(
            seats[1..].iter().map(|s| c.stand_up(*s)).collect::<Vec<_>>(),
            [true, true, false]
        );
        c.notify(&me, 5);
        let late = c.sit_down(&me).unwrap();
        assert!(!c.stand_up(late), "nothing is remembered");
    }

    #[test]
    fn the_dead_take_no_notification_with_them() {
        let c = ConditionState::new();
        let everybody = Mock(1, 9);
        c.sit_down(&Mock(7, 9)).unwrap();
        c.sit_down(&Mock(8, 9)).unwrap();
        let mine = c.sit_down(&everybody).unwrap();
        c.notify(&everybody, 1); // to 7, who is killed then
        let survivors = Mock(1, 7);
        c.pass_on(&survivors); // 8 is dead, too
        assert!(c.stand_up(mine));
        assert_eq!(c.waiting(), 0);
    }

    #[test]
    fn seats_of_the_dead_are_taken_when_all_are() {
        let c = ConditionState::new();
        for _ in 0..SEATS {
            c.sit_down(&Mock(7, 9)).unwrap();
        }
        c.sit_down(&Mock(1, 9)).unwrap_err();
        c.sit_down(&Mock(1, 7)).unwrap();
    }
}

#[cfg(all(test, mp_loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::peers::mock::Mock;
    use crate::state::lock::LockWord;

    struct Shared {
        lock: LockWord,
        condition: ConditionState,
        items: AtomicU32,
    }

    fn take_item(shared: &Shared, me: Mock) {
        shared.lock.acquire(&me, None).unwrap();
        while shared.items.load(Relaxed) == 0 {
            let seat = shared.condition.sit_down(&me).unwrap();
            shared.lock.release();
            shared.condition.sleep(seat, None, || false).unwrap();
            shared.lock.acquire(&me, None).unwrap();
            assert!(shared.condition.stand_up(seat), "woken without a notification");
        }
        shared.items.store(shared.items.load(Relaxed) - 1, Relaxed);
        shared.lock.release();
    }

    #[test]
    fn loom_no_notification_is_lost() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(|| {
            let shared = Arc::new(Shared {
                lock: LockWord::default(),
                condition: ConditionState::new(),
                items: AtomicU32::new(0),
            });
            let waiters: Vec<_> = (2..4)
                .map(|number| {
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || take_item(&shared, Mock(number, 8)))
                })
                .collect();
            let me = Mock(1, 8);
            for _ in 0..2 {
                shared.lock.acquire(&me, None).unwrap();
                shared.items.store(shared.items.load(Relaxed) + 1, Relaxed);
                shared.condition.notify(&me, 1);
                shared.lock.release();
                assert!(!shared.condition.wake(&me), "all live");
            }
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
    }
}
