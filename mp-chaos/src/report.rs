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

/// Says all that is known of a round that failed.
pub(crate) fn failure(plan: &Plan, outcome: &Outcome, again: &str) {
    let Outcome { struck, board, seen, problems, .. } = outcome;
    eprintln!("FAILED: seed {} round {}\n{plan:#?}", plan.seed, plan.round);
    for Struck { strike, pid } in struck {
        let (name, blow) = (&plan.actors[strike.actor], strike.blow);
        eprintln!("struck: {name} (pid {pid}) at step {}: {blow:?}", strike.step);
    }
    eprint!("steps begun:\n{board}");
    if !seen.is_empty() {
        eprint!("what they wait for:\n{seen}");
    }
    for problem in problems {
        eprintln!("violated: {problem}");
    }
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
