//! The process of a runner is killed in its calls or between them: the results of all before come in order, and then its
//! death.

use mp::{ProcessError, ProcessRunnee, ProcessRunner, RunnerError};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::stage::{Notes, Stage, pause};
use crate::strike::{Struck, killed};

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    owner: usize,
    runner: usize,
    calls: u64,
    /// How many are handed over before the first is rejoined.
    ahead: u64,
    pause_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let calls = casting.between(2, 200);
        Script {
            owner: casting.actor_in("owner", 0..calls, Fate::Mortal, 20),
            runner: casting.actor("runner", calls, Fate::Mortal),
            calls,
            ahead: casting.one_of(&[1, 1, 7, calls]),
            pause_us: casting.one_of(&[0, 0, 100]),
        }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Running> {
        let Script { runner, calls, ahead, pause_us, .. } = *self;
        let received = Notes::new(1)?;
        let noted = received.clone();
        let part = Part { runner, calls, ahead, pause_us, received: noted };
        company.start(self.owner, super::Part::Runner(part))?;
        Ok(Running { script: self.clone(), received })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    runner: usize,
    calls: u64,
    ahead: u64,
    pause_us: u64,
    /// How many results have come.
    received: Notes,
}

/// Counts its calls.
struct Counter {
    stage: Stage,
    pause_us: u64,
    calls: u64,
}

impl ProcessRunnee for Counter {
    type Init = (Stage, u64);
    type Args = u64;
    type Out = (u64, u64);

    fn new((stage, pause_us): (Stage, u64)) -> mp::Result<Counter> {
        Ok(Counter { stage, pause_us, calls: 0 })
    }

    fn call(&mut self, number: u64) -> mp::Result<(u64, u64)> {
        self.stage.step()?;
        pause(self.pause_us);
        self.calls += 1;
        Ok((number, self.calls))
    }
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        let init = (stage.pass_on(self.runner, false)?, self.pause_us);
        let runner = ProcessRunner::start::<Counter>(init)?;
        let (mut handed_over, mut death) = (0, None);
        for number in 0..self.calls {
            stage.step()?;
            while death.is_none() && handed_over < self.calls && handed_over < number + self.ahead {
                match runner.restart(handed_over) {
                    Ok(()) => handed_over += 1,
                    // The results of those before are still there.
                    Err(RunnerError::Process(error)) => death = Some(error),
                    Err(error) => return Err(mp::Error::from(error).context("a restart")),
                }
            }
            if let Some(error) = &death
                && number == handed_over
            {
                return end(error);
            }
            match runner.rejoin() {
                Ok(result) => {
                    mp::ensure!(result == (number, number + 1), "call {number} gave {result:?}");
                    self.received.set(0, number + 1);
                }
                Err(RunnerError::Process(error)) => return end(&error),
                Err(error) => return Err(mp::Error::from(error).context("a rejoin")),
            }
        }
        match runner.join() {
            Ok(()) => Ok(Told::Nothing),
            Err(RunnerError::Process(error)) => end(&error),
            Err(error) => Err(mp::Error::from(error).context("the end of a runner")),
        }
    }
}

/// The process of the runner has ended.
fn end(error: &ProcessError) -> mp::Result<Told> {
    match error {
        ProcessError::Signaled { process, signal: 9, .. } => {
            Ok(Told::Killed { pid: process.pid() })
        }
        other => Err(mp::Error::from(other.clone()).context("a runner")),
    }
}

pub(crate) struct Running {
    script: Script,
    received: Notes,
}

impl Playing for Running {
    fn check(
        &mut self,
        company: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let Script { owner, runner, calls, .. } = self.script;
        // The calls that the runner has begun, and so the results of all of them but the last are there.
        let (begun, received) = (company.notes().get(runner), self.received.get(0));
        let least = match company.told(owner) {
            Some(Told::Killed { pid }) => {
                if !killed(struck).contains(pid) {
                    problems.push(format!("a runner (pid {pid}) was killed, and not by the plan"));
                }
                begun.saturating_sub(1)
            }
            Some(_) => calls,
            // The owner was killed.
            None => 0,
        };
        if received < least || received > begun {
            problems.push(format!(
                "{received} results of a runner came, which has begun {begun} calls of {calls}"
            ));
        }
        Ok(())
    }
}
