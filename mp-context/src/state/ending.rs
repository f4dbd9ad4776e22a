//! How a process ended, decided from everything that is known of it. Pure.

use std::time::Duration;

use mp_reduction::Message;
use mp_remote_exception::RemoteException;

use crate::error::{ProcessError, ProcessId, StartError, TransferError, Value};

/// What the child said of its end.
#[derive(Debug)]
pub(crate) enum Report {
    Returned(Message),
    Raised(RemoteException),
    /// The arguments could not be decoded there.
    ArgumentsUndecodable(String),
    /// The result could not be encoded there.
    ResultUnencodable(String),
    /// It would not run the call.
    Refused(String),
}

/// What the system said of its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Exited(i32),
    Signaled {
        signal: i32,
        core_dumped: bool,
    },
    /// Other code of this program collected it.
    Unknown,
}

impl Status {
    /// As Python gives it: the code, or minus the signal.
    pub(crate) fn exitcode(self) -> Option<i32> {
        match self {
            Status::Exited(code) => Some(code),
            Status::Signaled { signal, .. } => Some(-signal),
            Status::Unknown => None,
        }
    }
}

/// Everything that is known of a process when it is gone.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) report: Option<Report>,
    pub(crate) status: Status,
    /// Whether it read its call.
    pub(crate) took_call: bool,
    /// Set when it was killed for not taking its call in this time.
    pub(crate) stalled: Option<Duration>,
    /// What was wrong with the bytes that it sent.
    pub(crate) broken: Option<String>,
}

impl Evidence {
    /// The encoded result, or why there is none.
    ///
    /// What the child said counts more than how it went afterwards: a result that was
    /// delivered is a result, also if an exit handler crashes later.
    pub(crate) fn decide(self, process: ProcessId) -> Result<Message, ProcessError> {
        let transfer =
            |value, reason| TransferError { process: process.name().into(), value, reason };
        let error = match self.report {
            Some(Report::Returned(message)) => return Ok(message),
            Some(Report::Raised(remote)) => ProcessError::Exception(remote),
            Some(Report::ArgumentsUndecodable(reason)) => {
                ProcessError::Decode(transfer(Value::Arguments, reason))
            }
            Some(Report::ResultUnencodable(reason)) => {
                ProcessError::Encode(transfer(Value::Result, reason))
            }
            Some(Report::Refused(reason)) => StartError::Refused { process, reason }.into(),
            None => self.silent_end(process),
        };
        Err(error)
    }

    fn silent_end(self, process: ProcessId) -> ProcessError {
        match (self.stalled, self.broken, self.status) {
            (Some(limit), ..) => StartError::Stalled { process, limit }.into(),
            (None, Some(reason), _) => ProcessError::Protocol { process, reason },
            (None, None, Status::Exited(code)) if !self.took_call => {
                StartError::ExitedEarly { process, code }.into()
            }
            (None, None, Status::Exited(code)) => ProcessError::Exited { process, code },
            (None, None, Status::Signaled { signal, core_dumped }) => {
                ProcessError::Signaled { process, signal, core_dumped }
            }
            (None, None, Status::Unknown) => ProcessError::StatusUnknown { process },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(evidence: Evidence) -> Result<Message, ProcessError> {
        evidence.decide(ProcessId::new("w".into(), 7))
    }

    fn silent(status: Status) -> Evidence {
        Evidence { report: None, status, took_call: true, stalled: None, broken: None }
    }

    #[test]
    fn a_delivered_result_outlives_a_crash_at_exit() {
        let message = mp_reduction::encode(&5).unwrap();
        let status = Status::Signaled { signal: 11, core_dumped: false };
        let evidence = Evidence { report: Some(Report::Returned(message)), ..silent(status) };
        assert_eq!(decide(evidence).unwrap().decode::<i32>().unwrap(), 5);
    }

    #[test]
    fn every_silent_end_is_told_apart_and_names_the_process() {
        let killed = Status::Signaled { signal: 9, core_dumped: false };
        let cases = [
            (silent(Status::Exited(0)), "process 'w' (pid 7) exited with code 0 without a result"),
            (silent(killed), "process 'w' (pid 7) was ended by SIGKILL"),
            (
                silent(Status::Signaled { signal: 6, core_dumped: true }),
                "process 'w' (pid 7) was ended by SIGABRT (core dumped)",
            ),
            (
                silent(Status::Unknown),
                "process 'w' (pid 7) ended, but its exit status was collected by other code of this program",
            ),
            (
                Evidence { took_call: false, ..silent(Status::Exited(3)) },
                "process 'w' (pid 7) ended with code 3 before it called `mp::init`; is that the first line of `main`?",
            ),
            (
                Evidence { took_call: false, ..silent(killed) },
                "process 'w' (pid 7) was ended by SIGKILL",
            ),
            (
                Evidence { stalled: Some(Duration::from_secs(2)), ..silent(killed) },
                "process 'w' (pid 7) did not come to `mp::init` within 2s and was killed",
            ),
            (
                Evidence { broken: Some("x".to_owned()), ..silent(killed) },
                "process 'w' (pid 7) sent a broken message: x",
            ),
        ];
        for (evidence, expected) in cases {
            assert_eq!(decide(evidence).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn the_exit_code_is_that_of_python() {
        assert_eq!(Status::Exited(3).exitcode(), Some(3));
        assert_eq!(Status::Signaled { signal: 15, core_dumped: false }.exitcode(), Some(-15));
        assert_eq!(Status::Unknown.exitcode(), None);
    }
}
