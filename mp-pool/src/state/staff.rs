//! The workers of a pool: how many there are to be, which of them are on their way in or out, and when so many could
//! not even begin that there is no point in starting more.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::claim::NUMBERS;

/// After so many starts in a row that came to nothing by themselves, the pool is broken, if it has no other workers.
const MOST_FAILURES: u32 = 3;
/// How many starts that came to nothing for want of something in the system, or by a signal from outside, count as one.
const OUTSIDE: u32 = 4;
/// How long it waits after one of those, and after too many of the others.
const PAUSE: Duration = Duration::from_millis(10);
/// What that grows to at most: so many times doubled.
const MOST_DOUBLINGS: u32 = 6;

/// What a worker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not said that it is ready.
    Starting,
    Ready,
    /// It takes no more tasks.
    Leaving,
}

#[derive(Debug)]
pub(crate) struct Staff<W> {
    size: usize,
    /// Whether the first workers are started a few at a time, until one is ready.
    is_careful: bool,
    workers: BTreeMap<u32, (Stage, W)>,
    next: u32,
    any_was_ready: bool,
    /// Starts in a row that came to nothing, in parts of one that counts whole.
    failures: u32,
    /// Before then no more are started.
    pause_until: Option<Instant>,
}

impl<W> Staff<W> {
    /// Of `size` workers, whose start may well fail in each of them alike if `is_careful`.
    pub(crate) fn new(size: usize, is_careful: bool) -> Staff<W> {
        Staff {
            size,
            is_careful,
            workers: BTreeMap::new(),
            next: 0,
            any_was_ready: false,
            failures: 0,
            pause_until: None,
        }
    }

    /// How many are to be started now, when there is work for so many.
    pub(crate) fn vacancies(&mut self, work: usize, now: Instant) -> usize {
        if self.pause_until.is_some_and(|pause| now < pause) {
            return 0;
        }
        // Also if nobody is missing: who waits for the end of the pause is not to look again and again.
        self.pause_until = None;
        let missing = self.size.min(work).saturating_sub(self.active());
        if missing == 0 {
            return 0;
        }
        if self.is_careful && !self.any_was_ready {
            let failures = self.failures / OUTSIDE;
            let tries = (MOST_FAILURES as usize).saturating_sub(failures as usize);
            return missing.min(tries.saturating_sub(self.active()));
        }
        missing
    }

    /// Whether workers are to be started as soon as one says that it is ready.
    pub(crate) fn awaits_the_first(&self) -> bool {
        self.is_careful
            && !self.any_was_ready
            && !self.workers.is_empty()
            && self.active() < self.size
    }

    fn active(&self) -> usize {
        self.workers.values().filter(|(stage, _)| *stage != Stage::Leaving).count()
    }

    /// When vacancies are to be looked at again.
    pub(crate) fn pause(&self) -> Option<Instant> {
        self.pause_until
    }

    /// Enters a worker that is about to be started, under a number of its own.
    pub(crate) fn enter(&mut self, worker: W) -> u32 {
        let number = self.next;
        self.next = (number + 1) % NUMBERS;
        self.workers.insert(number, (Stage::Starting, worker));
        number
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut W> {
        self.workers.get_mut(&number).map(|(_, worker)| worker)
    }

    pub(crate) fn is_ready(&mut self, number: u32) {
        if let Some((stage, _)) = self.workers.get_mut(&number) {
            *stage = Stage::Ready;
            self.any_was_ready = true;
            self.failures = 0;
            self.pause_until = None;
        }
    }

    pub(crate) fn is_leaving(&mut self, number: u32) {
        if let Some((stage, _)) = self.workers.get_mut(&number) {
            *stage = Stage::Leaving;
        }
    }

    /// Takes out a worker that has ended or was not started after all; with what it was at. If it was not ready, that is a
    /// failure, perhaps `from_outside`.
    pub(crate) fn leave(
        &mut self,
        number: u32,
        from_outside: bool,
        now: Instant,
    ) -> Option<(Stage, W)> {
        let left = self.workers.remove(&number)?;
        if left.0 == Stage::Starting {
            self.failures = self.failures.saturating_add(if from_outside { 1 } else { OUTSIDE });
            let pauses = if from_outside {
                self.failures.checked_sub(1)
            } else {
                self.failures.checked_sub(MOST_FAILURES * OUTSIDE)
            };
            if let Some(pauses) = pauses {
                self.pause_until = now.checked_add(PAUSE * (1 << pauses.min(MOST_DOUBLINGS)));
            }
        }
        Some(left)
    }

    /// Whether nobody works and nobody will.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.failures >= MOST_FAILURES * OUTSIDE && self.active() == 0
    }

    /// Nobody is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// How many of them will take a message that tells to end.
    pub(crate) fn takers(&self) -> usize {
        self.active()
    }

    /// How many there are, of all kinds.
    pub(crate) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn numbers(&self) -> Vec<u32> {
        self.workers.keys().copied().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &W> {
        self.workers.values().map(|(_, worker)| worker)
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_filled_at_once_and_then_as_workers_leave() {
        let (mut staff, now) = (Staff::new(3, false), Instant::now());
        assert_eq!(staff.vacancies(9, now), 3);
        let numbers = [(); 3].map(|()| staff.enter(()));
        assert_eq!(staff.vacancies(9, now), 0);
        numbers.iter().for_each(|number| staff.is_ready(*number));
        staff.is_leaving(numbers[1]);
        assert_eq!(staff.vacancies(9, now), 1);
        assert_eq!(staff.vacancies(2, now), 0, "there is no work for a third");
        assert_eq!(staff.leave(numbers[1], false, now), Some((Stage::Leaving, ())));
        assert_eq!(staff.vacancies(9, now), 1);
        assert_eq!(staff.leave(numbers[1], false, now), None);
    }

    #[test]
    fn careful_starts_are_three_at_most_until_one_is_ready() {
        let (mut staff, now) = (Staff::new(8, true), Instant::now());
        assert_eq!(staff.vacancies(9, now), 3);
        let numbers = [(); 3].map(|()| staff.enter(()));
        assert_eq!(staff.vacancies(9, now), 0);
        staff.leave(numbers[0], false, now);
        assert_eq!(staff.vacancies(9, now), 0);
        staff.leave(numbers[1], false, now);
        assert!(!staff.is_hopeless() && staff.awaits_the_first());
        staff.is_ready(numbers[2]);
        assert!(!staff.awaits_the_first());
        assert_eq!(staff.vacancies(9, now), 7);
    }

    #[test]
    fn three_failures_in_a_row_are_the_end_unless_somebody_works() {
        let (mut staff, now) = (Staff::new(2, true), Instant::now());
        for _ in 0..3 {
            assert_eq!(staff.vacancies(2, now).min(1), 1);
            assert!(!staff.is_hopeless());
            let number = staff.enter(());
            staff.leave(number, false, now);
        }
        assert!(staff.is_hopeless());

        let mut staff = Staff::new(2, false);
        let works = staff.enter(());
        staff.is_ready(works);
        for _ in 0..3 {
            let number = staff.enter(());
            staff.leave(number, false, now);
        }
        assert!(!staff.is_hopeless());
        assert_eq!(staff.vacancies(2, now), 0);
        assert_eq!(staff.pause(), Some(now + PAUSE));
        assert_eq!(staff.vacancies(2, now + PAUSE), 1);
    }

    #[test]
    fn a_pause_is_over_once_though_there_is_no_work_for_anybody() {
        let (mut staff, now) = (Staff::new(1, false), Instant::now());
        let number = staff.enter(());
        staff.leave(number, true, now);
        assert_eq!(staff.pause(), Some(now + PAUSE));
        assert_eq!(staff.vacancies(0, now + PAUSE), 0);
        assert_eq!(staff.pause(), None);
    }

    #[test]
    fn failures_from_outside_pause_from_the_first_on_and_a_dozen_are_the_end() {
        let (mut staff, mut now) = (Staff::new(1, false), Instant::now());
        for failures in 0..MOST_FAILURES * OUTSIDE {
            assert!(!staff.is_hopeless(), "after {failures}");
            assert_eq!(staff.vacancies(1, now), 1);
            let number = staff.enter(());
            staff.leave(number, true, now);
            assert_eq!(staff.vacancies(1, now), 0);
            now = staff.pause().unwrap();
        }
        assert!(staff.is_hopeless());
    }
}
