//! Blocks of shared memory go through a queue: what is in them arrives, and all of them are freed.

use std::time::Duration;

use mp::{Queue, QueueError, SharedMemory};
use serde::{Deserialize, Serialize};

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

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let makers = casting.some(1, 2, |casting| {
            let blocks =
                casting.some(3, 25, |casting| casting.one_of(&[1, 5_000, 100_000, 3_000_000]));
            let actor = casting.actor("maker", blocks.len() as u64, Fate::Wretched);
            Maker { actor, blocks }
        });
        let users = casting.some(1, 2, |casting| casting.actor("user", 15, Fate::Wretched));
        Script { makers, users }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Sharing> {
        let (queue, is_over) = (Queue::new()?, Notes::new(1)?);
        for maker in &self.makers {
            let part = Part::Makes { queue: queue.clone(), blocks: maker.blocks.clone() };
            company.start(maker.actor, super::Part::Memory(part))?;
        }
        for user in &self.users {
            let part = Part::Uses { queue: queue.clone(), is_over: is_over.clone() };
            company.start(*user, super::Part::Memory(part))?;
        }
        Ok(Sharing { script: self.clone(), queue, is_over })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Makes { queue: Queue<SharedMemory>, blocks: Vec<usize> },
    Uses { queue: Queue<SharedMemory>, is_over: Notes },
}

/// The byte that all of a block is full of.
fn byte_of(size: usize) -> u8 {
    size.to_ne_bytes()[0] | 1
}

/// Whether a block is what its maker has made of it.
fn is_whole(block: &SharedMemory) -> mp::Result<bool> {
    let mut bytes = vec![0; block.size()];
    block.read_at(0, &mut bytes)?;
    Ok(bytes.iter().all(|&byte| byte == byte_of(bytes.len())))
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        match self {
            Part::Makes { queue, blocks } => {
                for size in blocks {
                    stage.step()?;
                    let block = match SharedMemory::create(size) {
                        Ok(block) => block,
                        Err(_) if stage.is_wretched => continue,
                        Err(error) => return Err(mp::Error::from(error).context("a block")),
                    };
                    block.write_at(0, &vec![byte_of(size); size])?;
                    match queue.put(&block) {
                        Ok(()) => {}
                        Err(_) if stage.is_wretched => {}
                        Err(error) => return Err(mp::Error::from(error).context("a put")),
                    }
                }
            }
            Part::Uses { queue, is_over } => loop {
                stage.step()?;
                match queue.get_timeout(Duration::from_millis(5)) {
                    Ok(block) => {
                        mp::ensure!(is_whole(&block)?, "a block is damaged");
                    }
                    Err(QueueError::Empty) if is_over.get(0) != 0 => break,
                    Err(QueueError::Empty) => {}
                    Err(_) if stage.is_wretched => {}
                    Err(error) => return Err(mp::Error::from(error).context("a get")),
                }
            },
        }
        Ok(Told::Nothing)
    }
}

pub(crate) struct Sharing {
    script: Script,
    queue: Queue<SharedMemory>,
    is_over: Notes,
}

impl Playing for Sharing {
    fn attend(&mut self, company: &Company, _: &mut Vec<String>) -> mp::Result<()> {
        company.wait_for_all(self.script.makers.iter().map(|maker| maker.actor));
        self.is_over.set(0, 1);
        company.wait_for_all(self.script.users.iter().copied());
        Ok(())
    }

    fn check(&mut self, _: &Company, _: &[Struck], problems: &mut Vec<String>) -> mp::Result<()> {
        loop {
            match self.queue.get_nowait() {
                Ok(block) if is_whole(&block)? => {}
                Ok(block) => problems.push(format!("a block is damaged: {block:?}")),
                Err(QueueError::Empty) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
