//! The tasks of a pool that have no outcome: those that wait for their turn, and those that are on their way.
//!
//! Only so many are on their way as keep the workers busy. The others stay here, where they can be cancelled at no cost and
//! take no shared memory.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::claim::NUMBERS;

/// So many bytes on their way are enough for any workers.
const MOST_WEIGHT: usize = 8 << 20;

/// What tells a task from all others of its pool; those that came later have higher ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u64);

impl std::fmt::Display for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a task is that is on its way: its claim, and with what that can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) ticket: u32,
}

/// The tasks without an outcome.
#[derive(Debug)]
pub(crate) struct Desk<T> {
    waiting: BTreeMap<Turn, T>,
    under_way: Vec<Option<UnderWay<T>>>,
    free: Vec<u32>,
    next_turn: u64,
    next_ticket: u32,
    deadlines: BTreeSet<(Instant, Place)>,
    /// How many bytes those on their way have.
    weight: usize,
}

/// A task on its way.
#[derive(Debug)]
pub(crate) struct UnderWay<T> {
    pub(crate) turn: Turn,
    ticket: u32,
    deadline: Option<Instant>,
    weight: usize,
    pub(crate) task: T,
}

impl<T> Desk<T> {
    /// Of a pool with at most so many tasks on their way.
    pub(crate) fn new(slots: u32) -> Desk<T> {
        Desk {
            waiting: BTreeMap::new(),
            under_way: (0..slots).map(|_| None).collect(),
            free: (0..slots).rev().collect(),
            next_turn: 0,
            next_ticket: 0,
            deadlines: BTreeSet::new(),
            weight: 0,
        }
    }

    /// The turn of a new task.
    pub(crate) fn new_turn(&mut self) -> Turn {
        self.next_turn += 1;
        Turn(self.next_turn)
    }

    /// Has a task wait for its turn, which is before that of all later ones.
    pub(crate) fn wait(&mut self, turn: Turn, task: T) {
        self.waiting.insert(turn, task);
    }

    /// How many tasks there have ever been.
    pub(crate) fn turns(&self) -> u64 {
        self.next_turn
    }

    /// How many tasks wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether there is room for a task on its way: a slot, and not too many bytes, unless there are no more than `few`.
    pub(crate) fn has_room(&self, few: usize) -> bool {
        let under_way = self.under_way.len() - self.free.len();
        !self.free.is_empty() && (self.weight < MOST_WEIGHT || under_way < few)
    }

    /// The task whose turn it is.
    pub(crate) fn next(&mut self) -> Option<(Turn, T)> {
        self.waiting.pop_first()
    }

    /// How many tasks can be on their way.
    pub(crate) fn slots(&self) -> u64 {
        self.under_way.len() as u64
    }

    /// How many tasks there are.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.under_way.len() - self.free.len()
    }

    /// Notes that a task of so many bytes is on its way; gives it back if there is no slot.
    pub(crate) fn send(&mut self, turn: Turn, task: T, weight: usize) -> Result<Place, T> {
        let Some(slot) = self.free.pop() else { return Err(task) };
        let ticket = self.next_ticket;
        self.next_ticket = (ticket + 1) % NUMBERS;
        self.under_way[slot as usize] =
            Some(UnderWay { turn, ticket, deadline: None, weight, task });
        self.weight += weight;
        Ok(Place { slot, ticket })
    }

    /// The task at a place, if it still is there.
    pub(crate) fn get_mut(&mut self, place: Place) -> Option<&mut UnderWay<T>> {
        let task = self.under_way.get_mut(place.slot as usize)?.as_mut();
        task.filter(|task| task.ticket == place.ticket)
    }

    /// Takes the task from a place: it has an outcome, or waits again.
    pub(crate) fn take(&mut self, place: Place) -> Option<UnderWay<T>> {
        self.get_mut(place)?;
        let task = self.under_way[place.slot as usize].take()?;
        self.free.push(place.slot);
        self.weight -= task.weight;
        if let Some(deadline) = task.deadline {
            self.deadlines.remove(&(deadline, place));
        }
        Some(task)
    }

    /// Notes until when the task at a place may run.
    pub(crate) fn set_deadline(&mut self, place: Place, deadline: Instant) {
        if let Some(task) = self.get_mut(place)
            && task.deadline.is_none()
        {
            task.deadline = Some(deadline);
            self.deadlines.insert((deadline, place));
        }
    }

    pub(crate) fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// A task whose deadline has come; each once.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Place> {
        let (deadline, _) = self.deadlines.first()?;
        if *deadline > now {
            return None;
        }
        self.deadlines.pop_first().map(|(_, place)| place)
    }

    /// The places of all tasks that are on their way.
    pub(crate) fn places(&self) -> Vec<Place> {
        let places = self.under_way.iter().zip(0..);
        places
            .filter_map(|(task, slot)| Some(Place { slot, ticket: task.as_ref()?.ticket }))
            .collect()
    }

    /// Where the task of a turn is on its way.
    pub(crate) fn place_of(&self, turn: Turn) -> Option<Place> {
        let mut places = self.under_way.iter().zip(0..);
        places.find_map(|(task, slot)| {
            let task = task.as_ref().filter(|task| task.turn == turn)?;
            Some(Place { slot, ticket: task.ticket })
        })
    }

    /// Takes a task that waits for its turn.
    pub(crate) fn take_waiting(&mut self, turn: Turn) -> Option<T> {
        self.waiting.remove(&turn)
    }

    /// Takes all tasks, in the order of their turns.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        let under_way = self.places().into_iter().filter_map(|place| self.take(place));
        let mut all: Vec<(Turn, T)> = under_way.map(|task| (task.turn, task.task)).collect();
        all.extend(std::mem::take(&mut self.waiting));
        all.sort_unstable_by_key(|(turn, _)| *turn);
        all.into_iter().map(|(_, task)| task).collect()
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_task_is_found_at_its_place_until_it_is_taken_and_another_is_not_taken_for_it() {
        let mut desk = Desk::new(1);
        let turns = [desk.new_turn(), desk.new_turn()];
        let first = desk.send(turns[0], "first", MOST_WEIGHT).unwrap();
        assert_eq!(desk.send(turns[1], "second", 0), Err("second"));
        assert_eq!(desk.place_of(turns[0]), Some(first));
        assert_eq!(desk.take(first).unwrap().task, "first");
        assert!(desk.take(first).is_none());
        let second = desk.send(turns[1], "second", 0).unwrap();
        assert_eq!(first.slot, second.slot);
        assert!(desk.get_mut(first).is_none() && desk.get_mut(second).is_some());
    }

    #[test]
    fn long_tasks_are_on_their_way_by_weight_but_never_too_few() {
        let mut desk = Desk::new(8);
        let places: Vec<Place> = (0..3)
            .map(|_| {
                assert!(desk.has_room(3));
                let turn = desk.new_turn();
                desk.send(turn, (), MOST_WEIGHT).unwrap()
            })
            .collect();
        assert!(!desk.has_room(3));
        places.iter().for_each(|place| assert!(desk.take(*place).is_some()));
        assert!(desk.has_room(0));
    }

    #[test]
    fn deadlines_come_in_order_each_once_and_go_with_their_task() {
        let (mut desk, start) = (Desk::new(3), Instant::now());
        let places = [30, 10, 20].map(|ms| {
            let turn = desk.new_turn();
            let place = desk.send(turn, ms, 0).unwrap();
            desk.set_deadline(place, start + Duration::from_millis(ms));
            desk.set_deadline(place, start);
            place
        });
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(desk.first_deadline(), Some(at(10)));
        assert_eq!(desk.expired(at(9)), None);
        assert_eq!(desk.expired(at(10)), Some(places[1]));
        assert_eq!(desk.expired(at(10)), None);
        desk.take(places[2]).unwrap();
        assert_eq!(desk.first_deadline(), Some(at(30)));
        desk.take(places[1]).unwrap();
        assert_eq!(desk.expired(at(99)), Some(places[0]));
    }

    proptest! {
        /// Whatever is done, every task is in one place, and the waiting ones go in the order of their turns.
        #[test]
        fn no_task_is_lost_or_doubled(moves in proptest::collection::vec((any::<u8>(), 0..1_usize << 20), 0..200)) {
            let mut desk = Desk::new(4);
            let (mut known, mut away) = (Vec::new(), Vec::new());
            for (kind, pick) in moves {
                match kind % 5 {
                    0 | 1 => {
                        let turn = desk.new_turn();
                        desk.wait(turn, turn);
                        known.push(turn);
                    }
                    2 => while desk.has_room(1) {
                        let Some((turn, task)) = desk.next() else { break };
                        away.push(desk.send(turn, task, pick).unwrap());
                    },
                    3 if !away.is_empty() => {
                        let place = away.swap_remove(pick % away.len());
                        let task = desk.take(place).unwrap();
                        if pick % 2 == 0 {
                            desk.wait(task.turn, task.task);
                        } else {
                            known.retain(|turn| *turn != task.turn);
                        }
                    }
                    _ if !known.is_empty() => {
                        let turn = known[pick % known.len()];
                        if desk.take_waiting(turn).is_some() {
                            known.retain(|other| *other != turn);
                        }
                    }
                    _ => {}
                }
                prop_assert_eq!(desk.len(), known.len());
            }
            prop_assert_eq!(desk.take_all(), known);
            prop_assert_eq!(desk.len(), 0);
        }
    }
}
