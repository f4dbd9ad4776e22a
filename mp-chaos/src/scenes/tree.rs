//! A child that has children, which log and count: nobody outlives its parent, and records come in order, all of those who
//! were not killed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use mp::{Process, ProcessError, Value};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Notes, Stage, pause};
use crate::strike::{Struck, killed};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    root: Branch,
}

/// An actor, which starts these children first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Branch {
    actor: usize,
    children: Vec<Branch>,
    steps: Vec<Say>,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Say {
    records: u64,
    bytes: usize,
    pause_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        Script { root: Branch::write(casting, 0) }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Growing> {
        let actors = self.root.all().iter().map(|branch| branch.actor).max().unwrap_or(0) + 1;
        let ledger = Ledger {
            begun: Notes::new(actors)?,
            said: Notes::new(actors)?,
            pids: Notes::new(actors)?,
        };
        let count = Value::new(0)?;
        RECORDS.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let part = Part { branch: self.root.clone(), ledger: ledger.clone(), count: count.clone() };
        company.start(self.root.actor, super::Part::Tree(part))?;
        Ok(Growing { script: self.clone(), ledger, count })
    }
}

impl Branch {
    fn write(casting: &mut Casting, depth: usize) -> Branch {
        let children = match depth {
            0 => casting.some(1, 2, |casting| Branch::write(casting, 1)),
            1 => casting.some(0, 2, |casting| Branch::write(casting, 2)),
            _ => Vec::new(),
        };
        let steps = casting.some(1, 8, |casting| Say {
            records: casting.between(1, 40),
            bytes: casting.one_of(&[0, 20, 3_000]),
            pause_us: casting.one_of(&[0, 100, 1_000]),
        });
        let name = ["root", "branch", "leaf"][depth];
        let actor = casting.actor_in(name, 0..steps.len() as u64, Fate::Mortal, 35);
        Branch { actor, children, steps }
    }

    fn all(&self) -> Vec<&Branch> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Branch::all));
        all
    }
}

/// What is written down; each word by one process alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    begun: Notes,
    said: Notes,
    pids: Notes,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    branch: Branch,
    ledger: Ledger,
    count: Value<u64>,
}

const TARGET: &str = "storm";

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        let Part { branch, ledger, count } = self;
        let actor = branch.actor;
        ledger.pids.set(actor, u64::from(std::process::id()));
        let mut children = Vec::new();
        for child in branch.children {
            let stage = stage.pass_on(child.actor, false)?;
            let part = Part { branch: child, ledger: ledger.clone(), count: count.clone() };
            let part = super::Part::Tree(part);
            children.push(Process::start(super::act, (part, stage))?);
        }
        let mut number = 0;
        for step in branch.steps {
            stage.step()?;
            for _ in 0..step.records {
                ledger.begun.set(actor, number + 1);
                let filler = ".".repeat(step.bytes);
                log::info!(target: TARGET, "{actor} {number} {filler}");
                number += 1;
                ledger.said.set(actor, number);
            }
            count.update(|n| *n += 1)?;
            pause(step.pause_us);
        }
        if stage.spoils(Sabotage::SwallowRecord) {
            ledger.begun.set(actor, number + 1);
            ledger.said.set(actor, number + 1);
        }
        for child in children {
            match child.join() {
                Ok(()) | Err(ProcessError::Signaled { signal: 9, .. }) => {}
                Err(error) => return Err(mp::Error::from(error).context("a child")),
            }
        }
        Ok(Told::Nothing)
    }
}

/// The records that have come, as actor and number.
static RECORDS: Mutex<Vec<(usize, u64)>> = Mutex::new(Vec::new());

/// Keeps the records of storms.
#[derive(Debug)]
pub(crate) struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() != TARGET {
            return;
        }
        let text = record.args().to_string();
        let mut words = text.split(' ');
        let actor = words.next().and_then(|word| word.parse().ok());
        let number = words.next().and_then(|word| word.parse().ok());
        if let (Some(actor), Some(number)) = (actor, number) {
            RECORDS.lock().unwrap_or_else(PoisonError::into_inner).push((actor, number));
        }
    }

    fn flush(&self) {}
}

pub(crate) struct Growing {
    script: Script,
    ledger: Ledger,
    count: Value<u64>,
}

impl Playing for Growing {
    fn check(
        &mut self,
        _: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut came = BTreeMap::<usize, Vec<u64>>::new();
        records.iter().for_each(|&(actor, number)| came.entry(actor).or_default().push(number));
        self.check_records(&self.script.root, &came, &killed(struck), false, problems);
        // Whoever held the lock of the value was killed, if anybody was.
        self.count.update(|n| *n += 1)?;
        Ok(())
    }
}

impl Growing {
    /// `is_cut` says that somebody above was killed, through whom the records come.
    fn check_records(
        &self,
        branch: &Branch,
        came: &BTreeMap<usize, Vec<u64>>,
        killed: &std::collections::BTreeSet<u32>,
        is_cut: bool,
        problems: &mut Vec<String>,
    ) {
        let actor = branch.actor;
        let records = came.get(&actor).map_or(&[][..], Vec::as_slice);
        let (said, begun) = (self.ledger.said.get(actor), self.ledger.begun.get(actor));
        let is_killed =
            u32::try_from(self.ledger.pids.get(actor)).is_ok_and(|pid| killed.contains(&pid));
        let is_in_order = (0..).zip(records).all(|(expected, &number)| expected == number);
        let count = records.len() as u64;
        if !is_in_order || count > begun || !is_cut && count < said {
            problems.push(format!(
                "actor {actor} said {said} records of {begun}; {count} came, in order: {is_in_order}"
            ));
        }
        for child in &branch.children {
            self.check_records(child, came, killed, is_cut || is_killed, problems);
        }
    }
}
