//! What is said of a round that failed, and of a run at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::options::Options;
use crate::plan::Plan;
use crate::round::Outcome;
use crate::strike::Struck;

/// How to repeat exactly this round.
pub(crate) fn again(plan: &Plan, options: &Options) -> String {
    let only = options.only.map(|kind| format!(" --only {}", kind.word())).unwrap_or_default();
    format!("cargo xtask chaos --seed {} --round {}{only}", plan.seed, plan.round)
}

fn opening(plan: &Plan) -> String {
    format!("FAILED: seed {} round {}\n{plan:#?}\n", plan.seed, plan.round)
}

/// Says what does not hold after a round.
pub(crate) fn failure(plan: &Plan, outcome: &Outcome, again: &str) {
    eprint!("{}", opening(plan));
    for Struck { strike, pid } in &outcome.struck {
        let (name, blow) = (&plan.actors[strike.actor], strike.blow);
        eprintln!("struck: {name} (pid {pid}) at step {}: {blow:?}", strike.step);
    }
    for problem in &outcome.problems {
        eprintln!("violated: {problem}");
    }
    eprintln!("again: {again}");
}

/// Says who hangs.
pub(crate) fn hang(plan: &Plan, board: &str, seen: &str, again: &str) {
    eprint!("{}steps begun:\n{board}what they wait for:\n{seen}", opening(plan));
    eprintln!("violated: the round hangs");
    eprintln!("again: {again}");
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rounds: u64,
    processes: usize,
    strikes: BTreeMap<&'static str, usize>,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.rounds += 1;
        self.processes += outcome.processes;
        for struck in &outcome.struck {
            *self.strikes.entry(struck.strike.blow.name()).or_default() += 1;
        }
    }

    /// The line at the end.
    pub(crate) fn line(&self, seed: u64, took: Duration) -> String {
        let Tally { rounds, processes, strikes } = self;
        let strikes: String =
            strikes.iter().map(|(name, count)| format!(", {count} {name}")).collect();
        let seconds = took.as_secs_f64();
        format!("{rounds} rounds, {processes} processes{strikes}, seed {seed}, {seconds:.1} s")
    }
}

/// What a process runs, as it was called.
pub(crate) fn command_line(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ")
}
