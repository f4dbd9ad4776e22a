//! Blocks of shared memory go through a queue: what was put arrives once and whole, or was in the hands of one who was
//! killed, and all of it is freed.

use std::os::unix::process::parent_id;
use std::time::Duration;

use mp::{Queue, QueueError, SharedMemory, SharedMemoryError};
use serde::{Deserialize, Serialize};

use super::deliveries::{Deliveries, Put, Words};
use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::stage::{Notes, Stage};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    makers: Vec<Maker>,
    users: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Maker {
    actor: usize,
    /// The sizes of the blocks.
    blocks: Vec<usize>,
}

/// The names of blocks begin like this, and with the pid of the director.
pub(crate) const NAMED: &str = "mp-chaos-";
/// The most blocks of one maker.
const MOST_BLOCKS: usize = 25;

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let makers = casting.some(1, 2, |casting| {
            let sizes = [1, 5_000, 100_000, 3_000_000, 10_000_000];
            let blocks = casting.some(3, MOST_BLOCKS, |casting| casting.one_of(&sizes));
            let actor = casting.actor("maker", blocks.len() as u64, Fate::Wretched);
            Maker { actor, blocks }
        });
        let users = casting.some(1, 2, |casting| casting.actor("user", 15, Fate::Wretched));
        Script { makers, users }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Sharing> {
        let (queue, is_over) = (Queue::new()?, Notes::new(1)?);
        let (makers, users) = (self.makers.len(), self.users.len());
        let ledger = Ledger {
            deliveries: Deliveries::new(makers, MOST_BLOCKS, users)?,
            puts: Notes::new(makers * MOST_BLOCKS)?,
            missed: Notes::new(users)?,
        };
        for (place, maker) in self.makers.iter().enumerate() {
            let blocks = maker.blocks.clone();
            let making = Making { queue: queue.clone(), ledger: ledger.clone(), place, blocks };
            company.start(maker.actor, super::Part::Memory(Part::Makes(making)))?;
        }
        for (place, user) in self.users.iter().enumerate() {
            let (queue, ledger, is_over) = (queue.clone(), ledger.clone(), is_over.clone());
            let using = Using { queue, ledger, place, is_over };
            company.start(*user, super::Part::Memory(Part::Uses(using)))?;
        }
        Ok(Sharing { script: self.clone(), queue, ledger, is_over })
    }
}

/// A block on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Item {
    /// The place of its maker, and which of its blocks it is.
    maker: usize,
    number: usize,
    block: SharedMemory,
}

/// As many bytes are read or written at once: a starved process has memory for them.
const PIECE: usize = 4_096;

impl Item {
    /// Makes a block, all of which is full of one byte.
    fn make(maker: usize, number: usize, size: usize) -> Result<Item, SharedMemoryError> {
        let block = SharedMemory::create(size)?;
        let item = Item { maker, number, block };
        let piece = [item.byte(); PIECE];
        for at in (0..size).step_by(PIECE) {
            item.block.write_at(at, &piece[..PIECE.min(size - at)])?;
        }
        Ok(item)
    }

    fn byte(&self) -> u8 {
        1 | (self.maker * MOST_BLOCKS + self.number).to_ne_bytes()[0] << 1
    }

    /// Whether a block is what its maker has made of it.
    fn is_whole(&self) -> mp::Result<bool> {
        let (mut piece, expected, size) = ([0; PIECE], [self.byte(); PIECE], self.block.size());
        for at in (0..size).step_by(PIECE) {
            let part = &mut piece[..PIECE.min(size - at)];
            self.block.read_at(at, part)?;
            if *part != expected[..part.len()] {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is written down beside the queue. Each word is written by one process alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    deliveries: Deliveries,
    /// For each block: whether it was begun to be put, was put, or was not put after all.
    puts: Notes,
    /// Blocks that a user was told of and could not take for want of something.
    missed: Notes,
}

/// What a word of `puts` says.
const BEGUN: u64 = 1;
const PUT: u64 = 2;
const REFUSED: u64 = 3;

const WORDS: Words = Words { thing: "block", giver: "maker", getter: "user" };

impl Ledger {
    fn note_got(&self, getter: usize, item: &Item) -> mp::Result<()> {
        self.deliveries.note(getter, item.maker, item.number, item.is_whole()?);
        Ok(())
    }

    fn was_put(&self, maker: usize, number: usize) -> Put {
        match self.puts.get(maker * MOST_BLOCKS + number) {
            PUT => Put::Yes,
            BEGUN => Put::Perhaps,
            _ => Put::No,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Makes(Making),
    Uses(Using),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Making {
    queue: Queue<Item>,
    ledger: Ledger,
    place: usize,
    blocks: Vec<usize>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Using {
    queue: Queue<Item>,
    ledger: Ledger,
    place: usize,
    is_over: Notes,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        match self {
            Part::Makes(making) => making.play(stage)?,
            Part::Uses(using) => using.play(stage)?,
        }
        Ok(Told::Nothing)
    }
}

impl Making {
    fn play(self, stage: &Stage) -> mp::Result<()> {
        let Making { queue, ledger, place, blocks } = self;
        // Nobody else has them, so their names go with this process, however it ends.
        let mut named = Vec::new();
        for (number, size) in blocks.into_iter().enumerate() {
            stage.step()?;
            if number % 4 == 0 {
                let (director, me) = (parent_id(), std::process::id());
                let name = format!("{NAMED}{director}-{me}-{number}");
                match SharedMemory::create_named(&name, size) {
                    Ok(block) => named.push(block),
                    Err(error) if stage.excuses(&error) => {}
                    Err(error) => return Err(mp::Error::from(error).context("a named block")),
                }
            }
            let item = match Item::make(place, number, size) {
                Ok(item) => item,
                Err(error) if stage.excuses(&error) => continue,
                Err(error) => return Err(mp::Error::from(error).context("a block")),
            };
            let at = place * MOST_BLOCKS + number;
            ledger.puts.set(at, BEGUN);
            match queue.put(&item) {
                Ok(()) => ledger.puts.set(at, PUT),
                Err(error) if stage.excuses(&error) => {
                    ledger.puts.set(at, REFUSED);
                }
                Err(error) => return Err(mp::Error::from(error).context("a put")),
            }
        }
        Ok(())
    }
}

impl Using {
    fn play(self, stage: &Stage) -> mp::Result<()> {
        let Using { queue, ledger, place, is_over } = self;
        loop {
            stage.step()?;
            ledger.deliveries.reaches_out(place);
            match queue.get_timeout(Duration::from_millis(5)) {
                Ok(item) => ledger.note_got(place, &item)?,
                Err(QueueError::Empty) if is_over.get(0) != 0 => return Ok(()),
                Err(QueueError::Empty) => {}
                // It was taken off, and cannot be had.
                Err(QueueError::Decode(error)) if stage.excuses(&error) => {
                    ledger.missed.add(place, 1);
                }
                Err(error) if stage.excuses(&error) => {}
                Err(error) => return Err(mp::Error::from(error).context("a get")),
            }
            ledger.deliveries.has_noted_all(place);
        }
    }
}

pub(crate) struct Sharing {
    script: Script,
    queue: Queue<Item>,
    ledger: Ledger,
    is_over: Notes,
}

impl Playing for Sharing {
    fn attend(&mut self, company: &Company, _: &mut Vec<String>) -> mp::Result<()> {
        company.wait_for_all(self.script.makers.iter().map(|maker| maker.actor));
        self.is_over.set(0, 1);
        company.wait_for_all(self.script.users.iter().copied());
        Ok(())
    }

    fn check(
        &mut self,
        company: &Company,
        _: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let Ledger { deliveries, missed, .. } = &self.ledger;
        loop {
            match self.queue.get_nowait() {
                Ok(item) => self.ledger.note_got(deliveries.director(), &item)?,
                Err(QueueError::Empty) => break,
                Err(error) => return Err(error.into()),
            }
        }
        // What killed users may have had in their hands, and what starved ones could not take.
        let users = self.script.users.iter().enumerate();
        let may_be_lost = users.map(|(place, &user)| {
            let had_one = company.was_killed(user) && deliveries.may_have_some(place);
            u64::from(had_one) + missed.get(place)
        });
        let was_put = |maker, number| self.ledger.was_put(maker, number);
        deliveries.check(may_be_lost.sum(), was_put, WORDS, problems);
        Ok(())
    }
}
