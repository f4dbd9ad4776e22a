//! The actors of a round: starts them, and knows how they ended.

use std::collections::BTreeMap;
use std::io::PipeWriter;
use std::sync::Arc;
use std::time::Duration;

use mp::{Event, Process, ProcessError, Semaphore};

use crate::plan::{Blow, Plan};
use crate::sabotage::Sabotage;
use crate::scenes::{Part, Told, act};
use crate::stage::{Notes, Stage};
use crate::strike::{Striker, Struck};

/// The actors of a round.
pub(crate) struct Company {
    plan: Plan,
    board: Notes,
    line: Option<PipeWriter>,
    there: Semaphore,
    start: Event,
    sabotage: Option<Sabotage>,
    processes: BTreeMap<usize, Arc<Process<Told>>>,
}

/// How an actor ended.
#[derive(Debug)]
pub(crate) enum End<'a> {
    /// By itself, and this is what it tells.
    Well(&'a Told),
    /// By SIGKILL.
    Killed,
    /// In another way.
    Badly(ProcessError),
}

impl Company {
    pub(crate) fn new(
        plan: &Plan,
        line: PipeWriter,
        sabotage: Option<Sabotage>,
    ) -> mp::Result<Company> {
        Ok(Company {
            plan: plan.clone(),
            board: Notes::new(plan.actors.len())?,
            line: Some(line),
            there: Semaphore::new(0)?,
            start: Event::new()?,
            sabotage,
            processes: BTreeMap::new(),
        })
    }

    /// Starts the process of an actor.
    pub(crate) fn start(&mut self, actor: usize, part: Part) -> mp::Result<()> {
        let Some(line) = &self.line else { mp::bail!("the round is over") };
        let stage = Stage {
            actor,
            board: self.board.clone(),
            cues: self.plan.cues(),
            line: line.try_clone()?.into(),
            there: self.there.clone(),
            start: self.start.clone(),
            is_wretched: self.plan.blow(actor).is_some_and(Blow::is_shortage),
            sabotage: self.sabotage,
        };
        let process =
            Process::builder(act, (part, stage)).name(&self.plan.actors[actor]).start()?;
        self.processes.insert(actor, Arc::new(process));
        Ok(())
    }

    /// Lets everybody begin, as soon as all are there or one has ended before: nothing befalls those who still start.
    pub(crate) fn begin(&self) -> mp::Result<()> {
        let mut there = Vec::new();
        while there.len() < self.processes.len() && !self.processes.values().any(|p| p.done()) {
            there.extend(self.there.acquire_timeout(Duration::from_millis(100))?);
        }
        self.start.set();
        Ok(())
    }

    /// How many processes it has.
    pub(crate) fn size(&self) -> usize {
        self.processes.len()
    }

    pub(crate) fn process(&self, actor: usize) -> &Process<Told> {
        &self.processes[&actor]
    }

    pub(crate) fn pid(&self, actor: usize) -> u32 {
        self.process(actor).pid()
    }

    /// Whether all of these have ended.
    pub(crate) fn have_ended(&self, mut actors: impl Iterator<Item = usize>) -> bool {
        actors.all(|actor| self.process(actor).done())
    }

    /// Sleeps until one of these has ended, if one has not, but no longer than `limit`.
    pub(crate) fn wait_for_one(&self, actors: impl Iterator<Item = usize>, limit: Duration) {
        let running: Vec<_> =
            actors.map(|actor| self.process(actor)).filter(|process| process.is_alive()).collect();
        if !running.is_empty() {
            let _which = mp::wait(running, Some(limit), mp::FIRST_COMPLETED);
        }
    }

    /// Sleeps until all of these have ended.
    pub(crate) fn wait_for_all(&self, actors: impl Iterator<Item = usize>) {
        let all: Vec<_> = actors.map(|actor| self.process(actor)).collect();
        let _none_is_left = mp::wait(all, None, mp::ALL_COMPLETED);
    }

    /// Sleeps until everybody has ended.
    pub(crate) fn wait_for_everybody(&self) {
        self.wait_for_all(self.processes.keys().copied());
    }

    /// Ends those who would not end by themselves, after that was noted.
    pub(crate) fn kill(&self, actors: impl Iterator<Item = usize>) {
        actors.for_each(|actor| self.process(actor).kill());
    }

    /// Nobody announces anything any more; what was delivered.
    pub(crate) fn close_line(&mut self, striker: Striker) -> Vec<Struck> {
        self.line = None;
        striker.end()
    }

    /// How an actor that has ended did so.
    pub(crate) fn end(&self, actor: usize) -> End<'_> {
        match self.process(actor).result() {
            Ok(told) => End::Well(told),
            Err(ProcessError::Signaled { signal: 9, .. }) => End::Killed,
            Err(error) => End::Badly(error),
        }
    }

    pub(crate) fn was_killed(&self, actor: usize) -> bool {
        self.process(actor).exitcode() == Some(-9)
    }

    /// What an actor that ended by itself tells.
    pub(crate) fn told(&self, actor: usize) -> Option<&Told> {
        match self.end(actor) {
            End::Well(told) => Some(told),
            _ => None,
        }
    }

    pub(crate) fn sabotage(&self) -> Option<Sabotage> {
        self.sabotage
    }

    /// What is to befall an actor.
    pub(crate) fn blow(&self, actor: usize) -> Option<Blow> {
        self.plan.blow(actor)
    }

    /// Ends that nobody has planned.
    pub(crate) fn check(&self, struck: &[Struck], problems: &mut Vec<String>) {
        let killed = crate::strike::killed(struck);
        for &actor in self.processes.keys() {
            let name = &self.plan.actors[actor];
            match self.end(actor) {
                End::Well(_) => {}
                End::Killed if killed.contains(&self.pid(actor)) => {}
                End::Killed => problems.push(format!("{name} was killed, and not by the plan")),
                End::Badly(error) => {
                    problems.push(format!("{name} ended badly: {error}\n{error:#?}"))
                }
            }
        }
    }

    /// How far everybody has come.
    pub(crate) fn board(plan: &Plan, board: &Notes) -> String {
        let lines = plan.actors.iter().enumerate();
        lines.map(|(actor, name)| format!("  {name}: {} steps\n", board.get(actor))).collect()
    }

    pub(crate) fn notes(&self) -> Notes {
        self.board.clone()
    }
}
