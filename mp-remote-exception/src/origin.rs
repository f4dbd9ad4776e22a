//! Who raised an error: process, pid, thread.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

static PROCESS_NAME: OnceLock<String> = OnceLock::new();

/// Names this process in the traces of errors that it sends; the first call wins.
///
/// `mp-context` calls it in every process that it starts. Unset, the name is `MainProcess`.
pub fn set_process_name(name: &str) {
    PROCESS_NAME.get_or_init(|| name.to_owned());
}

/// Where an error was raised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    process: String,
    pid: u32,
    thread: Option<String>,
}

impl Origin {
    /// The process that calls this.
    pub fn current() -> Origin {
        let process = PROCESS_NAME.get().map_or("MainProcess", String::as_str);
        Origin { process: process.to_owned(), pid: std::process::id(), thread: None }
    }

    /// A thread of this process; such an error never crossed a process boundary.
    pub fn current_thread(name: &str) -> Origin {
        Origin { thread: Some(name.to_owned()), ..Origin::current() }
    }

    /// The name of the process.
    pub fn process_name(&self) -> &str {
        &self.process
    }

    /// The pid of the process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The name of the thread, when the error was raised in a thread of its own process.
    pub fn thread_name(&self) -> Option<&str> {
        self.thread.as_deref()
    }

    /// What heads the block of a trace.
    pub(crate) fn heading(&self) -> &str {
        self.thread.as_deref().unwrap_or(&self.process)
    }
}
