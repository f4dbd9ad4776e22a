//! Who this process is, who started it, and whom it started.

use std::fmt::{self, Debug};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::Timespec;

use crate::sys::lifeline::Lifeline;

/// The name of a process that was not started by this library.
const MAIN_NAME: &str = "MainProcess";
/// The length of the key that a main process makes for itself, in bytes.
const AUTHKEY_LEN: usize = 32;

static IDENTITY: OnceLock<Identity> = OnceLock::new();

/// What a process knows of itself.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) name: Arc<str>,
    /// Counters from the main process down; empty there.
    pub(crate) identity: String,
    pub(crate) daemon: bool,
    pub(crate) may_have_children: bool,
    pub(crate) authkey: AuthKey,
    pub(crate) parent: Option<Parent>,
}

#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) name: String,
    pub(crate) pid: u32,
    pub(crate) lifeline: Lifeline,
}

impl Identity {
    /// Sets the identity of a child; called once, before anything may ask for it.
    pub(crate) fn set(self) -> Result<(), String> {
        mp_remote_exception::set_process_name(&self.name);
        IDENTITY.set(self).map_err(|_| {
            "its `main` asked for the current process, or built a process, before `mp::init`"
                .to_owned()
        })
    }

    pub(crate) fn get() -> &'static Identity {
        IDENTITY.get_or_init(|| Identity {
            name: MAIN_NAME.into(),
            identity: String::new(),
            daemon: false,
            may_have_children: true,
            authkey: AuthKey::random(),
            parent: None,
        })
    }
}

/// A secret that a process tree shares, inherited by every child that is started without
/// [another](crate::ProcessBuilder::authkey).
///
/// It cannot be serialised and its debug form hides it: it must not end up in a log or in a message.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey(Arc<[u8]>);

impl AuthKey {
    pub(crate) fn new(bytes: Vec<u8>) -> AuthKey {
        AuthKey(bytes.into())
    }

    fn random() -> AuthKey {
        let mut bytes = vec![0; AUTHKEY_LEN];
        if let Err(error) = getrandom::fill(&mut bytes) {
            panic!("the kernel gives no random numbers: {error}");
        }
        AuthKey::new(bytes)
    }

    /// The bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthKey({} bytes)", self.0.len())
    }
}

/// The process that calls [`current_process`].
#[derive(Clone, Copy, Debug)]
pub struct CurrentProcess(&'static Identity);

/// This process.
///
/// # Examples
///
/// ```
/// let me = mp_context::current_process();
/// assert_eq!(me.name(), "MainProcess");
/// assert_eq!(me.pid(), std::process::id());
/// ```
#[doc(alias = "multiprocessing.current_process")]
pub fn current_process() -> CurrentProcess {
    CurrentProcess(Identity::get())
}

impl CurrentProcess {
    /// The name that the handle in the parent has; `MainProcess` if nobody started this process.
    pub fn name(&self) -> &'static str {
        &self.0.name
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        std::process::id()
    }

    /// Whether it is daemonic: ended with its parent rather than waited for.
    pub fn is_daemon(&self) -> bool {
        self.0.daemon
    }

    /// Always true.
    pub fn is_alive(&self) -> bool {
        true
    }

    /// The key of its process tree.
    pub fn authkey(&self) -> AuthKey {
        self.0.authkey.clone()
    }
}

/// The process that started this one.
#[derive(Clone, Copy, Debug)]
pub struct ParentProcess(&'static Parent);

/// The process that started this one; `None` in a main process.
#[doc(alias = "multiprocessing.parent_process")]
pub fn parent_process() -> Option<ParentProcess> {
    Identity::get().parent.as_ref().map(ParentProcess)
}

impl ParentProcess {
    /// Its name.
    pub fn name(&self) -> &'static str {
        &self.0.name
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.0.pid
    }

    /// Whether it still runs. A child whose parent is gone is itself ended at once, so this is
    /// rarely seen to be false.
    pub fn is_alive(&self) -> bool {
        !self.0.lifeline.is_cut()
    }

    /// Sleeps until the parent is gone or the time is over; tells whether it is gone.
    ///
    /// # When a process dies
    ///
    /// With the parent this process ends as well.
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let spec = left.and_then(|left| Timespec::try_from(left).ok());
            match self.0.lifeline.wait(spec) {
                Ok(true) | Err(_) => return true,
                Ok(false) if left == Some(Duration::ZERO) => return false,
                Ok(false) => {}
            }
        }
    }

    /// Sleeps until the parent is gone.
    pub fn join(&self) {
        while !self.join_timeout(Duration::from_secs(3600)) {}
    }
}

/// A child that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildInfo {
    pub(crate) name: Arc<str>,
    pub(crate) pid: u32,
    pub(crate) daemon: bool,
}

impl ChildInfo {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it is daemonic.
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }
}

/// The number of processors that this process may use: its affinity and the quota of its control
/// group count.
///
/// # Differences from Python
///
/// `os.cpu_count` gives the processors of the machine, also inside a container that may use two.
#[doc(alias = "multiprocessing.cpu_count")]
pub fn cpu_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
