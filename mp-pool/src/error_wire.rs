//! [`PoolErrorWire`]: a [`PoolError`] on its way to another process.

use mp_queues::QueueError;
use mp_remote_exception::RemoteException;
use serde::{Deserialize, Serialize};

use crate::error::{AT_LEAST_ONE, PoolError};

/// A [`PoolError`] as a value that crosses.
///
/// What tells of a task arrives as it was. What tells of the system or the program that has the pool arrives as a
/// [`PoolError::Transfer`] of the same text, unless it is one that a program may handle: no room, a number that cannot be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PoolErrorWire(Form);

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Form {
    Exception(RemoteException),
    WorkerDied {
        pid: u32,
        exitcode: Option<i32>,
        started: bool,
    },
    TimedOut,
    Cancelled,
    Timeout,
    Terminated,
    Closed,
    StillOpen,
    Initializer(RemoteException),
    Transfer {
        worker: String,
        what: String,
    },
    NoSpace {
        asked: u64,
        available: u64,
    },
    /// The place of what was wrong in [`AT_LEAST_ONE`].
    Invalid(usize),
    InCallback,
    /// What the pool cannot do, and why.
    Cannot(String),
}

impl PoolErrorWire {
    /// What crosses of an error.
    pub fn new(error: &PoolError) -> PoolErrorWire {
        PoolErrorWire(match error {
            PoolError::Exception(remote) => Form::Exception(remote.clone()),
            PoolError::WorkerDied { pid, exitcode, started } => {
                Form::WorkerDied { pid: *pid, exitcode: *exitcode, started: *started }
            }
            PoolError::TimedOut => Form::TimedOut,
            PoolError::Cancelled => Form::Cancelled,
            PoolError::Timeout => Form::Timeout,
            PoolError::Terminated => Form::Terminated,
            PoolError::Closed => Form::Closed,
            PoolError::StillOpen => Form::StillOpen,
            PoolError::Initializer(remote) => Form::Initializer(remote.clone()),
            PoolError::Transfer { worker, what } => {
                Form::Transfer { worker: worker.clone(), what: what.clone() }
            }
            PoolError::Queue(QueueError::NoSpace { asked, available }) => {
                Form::NoSpace { asked: *asked, available: *available }
            }
            PoolError::Invalid { what } => {
                match AT_LEAST_ONE.iter().position(|known| known == what) {
                    Some(known) => Form::Invalid(known),
                    None => Form::Cannot(format!("cannot be so: {error}")),
                }
            }
            PoolError::InCallback => Form::InCallback,
            PoolError::Start(cause) => {
                Form::Cannot(format!("cannot start its workers: {}", mp_reduction::in_full(cause)))
            }
            PoolError::Resources { what, source } => {
                Form::Cannot(format!("cannot be made: no {what}: {source}"))
            }
            PoolError::FunctionOutsideProgram { function } => {
                Form::Cannot(format!("cannot call {function}: not part of the program itself"))
            }
            PoolError::Encode(_) | PoolError::Decode(_) | PoolError::Queue(_) => {
                Form::Cannot(mp_reduction::in_full(error))
            }
        })
    }

    /// The error that has crossed.
    pub fn into_error(self) -> PoolError {
        match self.0 {
            Form::Exception(remote) => PoolError::Exception(remote),
            Form::WorkerDied { pid, exitcode, started } => {
                PoolError::WorkerDied { pid, exitcode, started }
            }
            Form::TimedOut => PoolError::TimedOut,
            Form::Cancelled => PoolError::Cancelled,
            Form::Timeout => PoolError::Timeout,
            Form::Terminated => PoolError::Terminated,
            Form::Closed => PoolError::Closed,
            Form::StillOpen => PoolError::StillOpen,
            Form::Initializer(remote) => PoolError::Initializer(remote),
            Form::Transfer { worker, what } => PoolError::Transfer { worker, what },
            Form::NoSpace { asked, available } => {
                PoolError::Queue(QueueError::NoSpace { asked, available })
            }
            Form::Invalid(known) => {
                PoolError::Invalid { what: AT_LEAST_ONE.get(known).copied().unwrap_or("a number") }
            }
            Form::InCallback => PoolError::InCallback,
            Form::Cannot(what) => PoolError::Transfer { worker: "the pool".to_owned(), what },
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use std::io;
    use std::sync::Arc;

    use mp_context::ProcessError;
    use mp_reduction::encode;

    use super::*;

    fn crossed(error: &PoolError) -> PoolError {
        let message = encode(&PoolErrorWire::new(error)).expect("it is encoded");
        message.decode::<PoolErrorWire>().expect("it is decoded").into_error()
    }

    #[test]
    fn what_tells_of_a_task_arrives_as_it_was() {
        let remote = || RemoteException::new("x".parse::<i32>().unwrap_err());
        let (worker, what) = ("Pool-1-worker-1".to_owned(), "cannot pass the result".to_owned());
        let errors = [
            PoolError::Exception(remote()),
            PoolError::WorkerDied { pid: 7, exitcode: Some(-9), started: true },
            PoolError::WorkerDied { pid: 7, exitcode: None, started: false },
            PoolError::TimedOut,
            PoolError::Cancelled,
            PoolError::Timeout,
            PoolError::Terminated,
            PoolError::Closed,
            PoolError::StillOpen,
            PoolError::Initializer(remote()),
            PoolError::Transfer { worker, what },
            PoolError::Queue(QueueError::NoSpace { asked: 1 << 40, available: 3 }),
            PoolError::InCallback,
        ];
        let invalid = AT_LEAST_ONE.map(|what| PoolError::Invalid { what });
        for error in errors.into_iter().chain(invalid) {
            assert_eq!(format!("{:?}", crossed(&error)), format!("{error:?}"));
        }
    }

    #[test]
    fn what_tells_of_the_process_of_the_pool_arrives_as_text() {
        let source = Arc::new(io::Error::other("too many"));
        let unencodable = encode(&Unencodable);
        let cases = [
            (
                PoolError::Start(ProcessError::Timeout),
                "the pool cannot start its workers: the process was still running when",
            ),
            (
                PoolError::Resources { what: "thread", source },
                "the pool cannot be made: no thread: too many",
            ),
            (
                PoolError::FunctionOutsideProgram { function: "f" },
                "the pool cannot call f: not part of the program itself",
            ),
            (
                PoolError::Queue(QueueError::Damaged),
                "the pool cannot pass the task or its result: the queue is damaged",
            ),
            (
                PoolError::Encode(unencodable.unwrap_err()),
                "the pool cannot pass the arguments of the task: cannot encode a value of type",
            ),
        ];
        for (error, text) in cases {
            let error = crossed(&error);
            assert!(
                matches!(error, PoolError::Transfer { .. }) && error.to_string().starts_with(text),
                "{error}"
            );
        }
    }

    struct Unencodable;

    impl Serialize for Unencodable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
}
