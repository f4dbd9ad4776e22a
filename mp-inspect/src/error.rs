//! [`InspectError`]: why a session cannot be looked into.

use std::io;
use std::sync::Arc;

/// Why a session cannot be looked into.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no such process.
    #[error("there is no process with pid {pid}")]
    NoProcess {
        /// The pid.
        pid: u32,
    },
    /// The process uses nothing of this library, or of another version of it.
    #[error(
        "process {pid} ({program}) is in no session: it has started no process and shares nothing, or uses another \
         version of this library"
    )]
    NoSession {
        /// The pid.
        pid: u32,
        /// What it runs.
        program: String,
    },
    /// The system does not let this process look at that one.
    #[error("process {pid} ({program}) must not be looked at by this user")]
    NotPermitted {
        /// The pid.
        pid: u32,
        /// What it runs.
        program: String,
    },
    /// The system did not do what was needed.
    #[error("cannot {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What the system said.
        source: Arc<io::Error>,
    },
}
