//! [`RunnerError`].

use std::sync::Arc;

use mp_context::{ProcessError, RemoteException};
use mp_queues::QueueError;
use mp_reduction::EncodeError;

/// Why a [`ProcessRunner`](crate::ProcessRunner) did not do what it was told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The call returned an error or panicked. The process goes on with the next call.
    #[error("{}", raised(.0))]
    Exception(RemoteException),
    /// The object could not be made: [`new`](crate::ProcessRunnee::new) returned an error or panicked. The
    /// process has ended, and every call has this error.
    #[error("failed to set up a runner: {}", raised(.0))]
    Setup(RemoteException),
    /// The object did not end well: [`finish`](crate::ProcessRunnee::finish), or its destructor, returned an
    /// error or panicked. All calls were done before.
    #[error("failed to finish a runner: {}", raised(.0))]
    Finish(RemoteException),
    /// The process did not start, or it died. The inner error names it and says how.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The arguments of a call cannot be encoded. The runner is as it was.
    #[error("cannot encode the arguments of a call")]
    Encode(#[source] EncodeError),
    /// The process could not decode the arguments of the call. It goes on with the next one.
    #[error("process '{name}' (pid {pid}) cannot decode the arguments of a call: {reason}")]
    ArgumentsLost {
        /// The name of the process.
        name: Arc<str>,
        /// Its pid.
        pid: u32,
        /// Why not.
        reason: String,
    },
    /// The call was done, but what it returned could not be encoded there, or not be decoded here. The
    /// process goes on with the next one.
    #[error("cannot pass the result of a call from process '{name}' (pid {pid}): {reason}")]
    ResultLost {
        /// The name of the process.
        name: Arc<str>,
        /// Its pid.
        pid: u32,
        /// Why not.
        reason: String,
    },
    /// There is no call whose result could be waited for.
    #[error("there is no call to rejoin")]
    NoCall,
    /// The call was not done when the time was over; it goes on.
    #[error("the call was not done when the time was over")]
    Timeout,
    /// The runner was joined: it takes no calls any more, and the results of all others were given.
    #[error("the runner was joined, and takes no more calls")]
    Joined,
    /// The system has no room for a call, or for the result of one here. The runner is as it was.
    #[error("cannot use the queues of a runner")]
    Queue(#[from] QueueError),
}

impl RunnerError {
    /// What was raised in the process, by a call or by the making or the end of the object.
    pub fn as_exception(&self) -> Option<&RemoteException> {
        match self {
            RunnerError::Exception(remote)
            | RunnerError::Setup(remote)
            | RunnerError::Finish(remote) => Some(remote),
            RunnerError::Process(error) => error.as_exception(),
            _ => None,
        }
    }
}

mp_remote_exception::carrier!(|error| error.downcast_ref::<RunnerError>()?.as_exception());

/// The same words as for any process.
fn raised(remote: &RemoteException) -> ProcessError {
    ProcessError::Exception(remote.clone())
}
