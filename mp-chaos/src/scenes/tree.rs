//! A child that has children, which log and count: nobody outlives its parent, and records come in order, all of those who
//! were not killed.

use std::collections::{BTreeMap, BTreeSet};
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
            counts_begun: Notes::new(actors)?,
            counted: Notes::new(actors)?,
            pids: Notes::new(actors)?,
            seen_killed: Notes::new(actors)?,
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
        // A leaf starts nobody.
        let fate = if depth == 2 { Fate::Wretched } else { Fate::Cramped };
        let actor = casting.actor_in(name, 0..steps.len() as u64, fate, 35);
        Branch { actor, children, steps }
    }

    fn all(&self) -> Vec<&Branch> {
        let mut all = vec![self];
        all.extend(self.children.iter().flat_map(Branch::all));
        all
    }
}

/// What is written down of each actor; each word by one process alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    /// How many records it has begun to say, and has said.
    begun: Notes,
    said: Notes,
    /// How often it has begun to count, and has counted.
    counts_begun: Notes,
    counted: Notes,
    pids: Notes,
    /// Whether its parent was told that it was killed.
    seen_killed: Notes,
}

/// The record of this number of an actor.
fn text(actor: usize, number: u64, bytes: usize) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    format!("{actor} {number} {}", String::from(letter).repeat(bytes))
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
            let child_actor = child.actor;
            let stage = stage.pass_on(child_actor, false)?;
            let part = Part { branch: child, ledger: ledger.clone(), count: count.clone() };
            let part = super::Part::Tree(part);
            children.push((child_actor, Process::start(super::act, (part, stage))?));
        }
        let mut number = 0;
        for step in branch.steps {
            stage.step()?;
            for _ in 0..step.records {
                ledger.begun.set(actor, number + 1);
                log::info!(target: TARGET, "{}", text(actor, number, step.bytes));
                number += 1;
                ledger.said.set(actor, number);
            }
            ledger.counts_begun.add(actor, 1);
            count.update(|n| *n += 1)?;
            ledger.counted.add(actor, 1);
            pause(step.pause_us);
        }
        if stage.spoils(Sabotage::SwallowRecord) {
            ledger.begun.set(actor, number + 1);
            ledger.said.set(actor, number + 1);
        }
        for (child_actor, child) in children {
            match child.join() {
                Ok(()) => {}
                Err(ProcessError::Signaled { signal: 9, .. }) => {
                    ledger.seen_killed.set(child_actor, 1);
                }
                Err(error) => return Err(mp::Error::from(error).context("a child")),
            }
        }
        Ok(Told::Nothing)
    }
}

/// The records that have come.
static RECORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Keeps the records of storms.
#[derive(Debug)]
pub(crate) struct Keeper;

impl log::Log for Keeper {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target() == TARGET {
            let text = record.args().to_string();
            RECORDS.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        }
    }

    fn flush(&self) {}
}

pub(crate) struct Growing {
    script: Script,
    ledger: Ledger,
    count: Value<u64>,
}

/// What there is to say of all branches.
struct Seen<'a> {
    /// The records of each actor, in the order in which they came.
    came: BTreeMap<usize, Vec<&'a str>>,
    killed: BTreeSet<u32>,
    /// Whether the root has come to its end.
    is_over: bool,
}

impl Playing for Growing {
    fn check(
        &mut self,
        company: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut came = BTreeMap::<usize, Vec<&str>>::new();
        for text in &records {
            match text.split(' ').next().and_then(|word| word.parse().ok()) {
                Some(actor) => came.entry(actor).or_default().push(text),
                None => problems.push(format!("a record of nobody came: {text}")),
            }
        }
        let is_over = company.told(self.script.root.actor).is_some();
        let seen = Seen { came, killed: killed(struck), is_over };
        self.check_branch(&self.script.root, &seen, false, problems);
        self.check_count(problems)
    }
}

impl Growing {
    /// `is_cut` says that somebody above was killed, through whom the records come.
    fn check_branch(
        &self,
        branch: &Branch,
        seen: &Seen<'_>,
        is_cut: bool,
        problems: &mut Vec<String>,
    ) {
        let actor = branch.actor;
        let Ledger { begun, said, counted, pids, seen_killed, .. } = &self.ledger;
        let (said, begun) = (said.get(actor), begun.get(actor));
        let records = seen.came.get(&actor).map_or(&[][..], Vec::as_slice);
        let sizes = branch.steps.iter().flat_map(|step| (0..step.records).map(|_| step.bytes));
        let expected = (0..).zip(sizes).map(|(number, bytes)| text(actor, number, bytes));
        let right = expected.zip(records).take_while(|(expected, came)| expected == *came).count();
        let count = records.len() as u64;
        if right < records.len() || count > begun || !is_cut && count < said {
            let wrong = records.get(right).map(|text| text.chars().take(30).collect::<String>());
            problems.push(format!(
                "actor {actor} said {said} records of {begun}; {count} came, the first that is wrong: {wrong:?}"
            ));
        }
        let is_killed = u32::try_from(pids.get(actor)).is_ok_and(|pid| seen.killed.contains(&pid));
        if seen_killed.get(actor) != 0 && !is_killed {
            problems.push(format!("actor {actor} was killed, and not by the plan"));
        }
        let (counted, steps) = (counted.get(actor), branch.steps.len() as u64);
        if seen.is_over && !is_cut && !is_killed && counted != steps {
            problems.push(format!("actor {actor} has ended after {counted} steps of {steps}"));
        }
        for child in &branch.children {
            self.check_branch(child, seen, is_cut || is_killed, problems);
        }
    }

    /// The count is that of the steps, and at most one more for each who was killed while it counted.
    fn check_count(&self, problems: &mut Vec<String>) -> mp::Result<()> {
        let actors: Vec<usize> = self.script.root.all().iter().map(|branch| branch.actor).collect();
        let sum = |notes: &Notes| actors.iter().map(|&actor| notes.get(actor)).sum::<u64>();
        // In this order, for orphans may be counting until they are ended.
        let least = sum(&self.ledger.counted);
        // Whoever held the lock of the value was killed, if anybody was.
        let count = self.count.update(|n| *n)?;
        let most = sum(&self.ledger.counts_begun);
        if count < least || count > most {
            problems.push(format!("a tree counted {count} steps, {least} were done of {most}"));
        }
        Ok(())
    }
}
