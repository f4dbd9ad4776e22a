//! What was put into a queue and who has got it how often, written down beside the queue.
//!
//! Each word is written by one process alone. The director gets, too, what nobody else has taken: it is the last of the
//! getters.

use serde::{Deserialize, Serialize};

use crate::stage::Notes;

/// Numbered things, from some who put them to some who get them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Deliveries {
    givers: usize,
    getters: usize,
    /// The most things of a giver.
    len: usize,
    /// How often each getter got each thing.
    got: Notes,
    /// One more than the last thing of each giver that each getter got.
    last: Notes,
    /// Whether a getter may have things that it has not noted.
    hands: Notes,
    /// Things of a getter that were not whole or not in order.
    wrong: Notes,
}

/// Whether a thing was put.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Put {
    No,
    /// It was begun; nobody knows how it ended.
    Perhaps,
    Yes,
}

/// What a scene calls its things, and those who put and get them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) thing: &'static str,
    pub(crate) giver: &'static str,
    pub(crate) getter: &'static str,
}

impl Deliveries {
    /// Of so many givers, `len` things of each at most, to so many getters beside the director.
    pub(crate) fn new(givers: usize, len: usize, getters: usize) -> mp::Result<Deliveries> {
        let getters = getters + 1;
        Ok(Deliveries {
            givers,
            getters,
            len,
            got: Notes::new(getters * givers * len)?,
            last: Notes::new(getters * givers)?,
            hands: Notes::new(getters)?,
            wrong: Notes::new(getters)?,
        })
    }

    /// The director, as one of the getters.
    pub(crate) fn director(&self) -> usize {
        self.getters - 1
    }

    /// A getter is about to get things.
    pub(crate) fn reaches_out(&self, getter: usize) {
        self.hands.set(getter, 1);
    }

    /// A getter has noted all that it has.
    pub(crate) fn has_noted_all(&self, getter: usize) {
        self.hands.set(getter, 0);
    }

    /// Whether a getter may have things that it has not noted.
    pub(crate) fn may_have_some(&self, getter: usize) -> bool {
        self.hands.get(getter) != 0
    }

    /// Notes a thing that was got.
    pub(crate) fn note(&self, getter: usize, giver: usize, number: usize, is_whole: bool) {
        if giver >= self.givers || number >= self.len || !is_whole {
            return self.wrong.add(getter, 1);
        }
        let line = getter * self.givers + giver;
        self.got.add(line * self.len + number, 1);
        let number = number as u64;
        if number < self.last.get(line) {
            self.wrong.add(getter, 1);
        }
        self.last.set(line, number + 1);
    }

    /// What was put arrived once and whole, in the order of each giver, but for so many things that may have been lost
    /// with those who had them in their hands.
    pub(crate) fn check(
        &self,
        mut may_be_lost: u64,
        was_put: impl Fn(usize, usize) -> Put,
        words: Words,
        problems: &mut Vec<String>,
    ) {
        let Words { thing, giver, getter } = words;
        let all = (0..self.givers).flat_map(|place| (0..self.len).map(move |n| (place, n)));
        for (place, number) in all {
            let mut tell = |what: &str| {
                problems.push(format!("{thing} {number} of {giver} {place} was {what}"));
            };
            match (self.times_got(place, number), was_put(place, number)) {
                (0, Put::Yes) if may_be_lost > 0 => may_be_lost -= 1,
                (0, Put::Yes) => tell("put and never got"),
                (0, _) | (1, Put::Perhaps | Put::Yes) => {}
                (1, Put::No) => tell("got and never put"),
                (times, _) => tell(&format!("got {times} times")),
            }
        }
        for place in 0..self.getters {
            let wrong = self.wrong.get(place);
            if wrong > 0 {
                problems.push(format!("{getter} {place} got {wrong} damaged or out of order"));
            }
        }
    }

    fn times_got(&self, giver: usize, number: usize) -> u64 {
        let of = |getter| self.got.get((getter * self.givers + giver) * self.len + number);
        (0..self.getters).map(of).sum()
    }
}
