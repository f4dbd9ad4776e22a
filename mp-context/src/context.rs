//! [`SpawnContext`]: the calls of the library as methods of one object, as Python's contexts are.

use mp_remote_exception::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::builder::ProcessBuilder;
use crate::current::{ChildInfo, CurrentProcess, ParentProcess};
use crate::error::UnknownName;
use crate::target::Target;
use crate::thread::{Thread, ThreadBuilder};

/// The one way to start processes here, as an object.
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// let ctx = mp::get_context("spawn")?;
/// let p = ctx.process(|n: u32| Ok(n + 1), (1,)).name("adder").start()?;
/// assert_eq!(*p.result()?, 2);
/// # Ok::<(), mp::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpawnContext(());

/// The context that the functions of the library use.
pub static MP_SPAWN_CTX: SpawnContext = SpawnContext::new();

const METHODS: [&str; 1] = ["spawn"];

impl SpawnContext {
    /// A context; all are alike.
    pub const fn new() -> SpawnContext {
        SpawnContext(())
    }

    /// Describes a process; see [`Process::builder`](crate::Process::builder).
    pub fn process<F, Args, T>(&self, target: F, args: Args) -> ProcessBuilder<F, Args>
    where
        F: Target<Args, Output = T>,
        Args: Serialize + DeserializeOwned,
        T: Serialize + DeserializeOwned,
    {
        ProcessBuilder::new(target, args)
    }

    /// Describes a thread; see [`Thread::builder`].
    pub fn thread<F, T>(&self, target: F) -> ThreadBuilder<F>
    where
        F: FnOnce() -> Result<T> + Send + 'static,
        T: Send + 'static,
    {
        Thread::<T>::builder(target)
    }

    /// See [`current_process`](crate::current_process).
    pub fn current_process(&self) -> CurrentProcess {
        crate::current_process()
    }

    /// See [`parent_process`](crate::parent_process).
    pub fn parent_process(&self) -> Option<ParentProcess> {
        crate::parent_process()
    }

    /// See [`active_children`](crate::active_children).
    pub fn active_children(&self) -> Vec<ChildInfo> {
        crate::active_children()
    }

    /// See [`cpu_count`](crate::cpu_count).
    pub fn cpu_count(&self) -> usize {
        crate::cpu_count()
    }

    /// Always `spawn`.
    pub fn get_start_method(&self) -> &'static str {
        get_start_method()
    }
}

/// The context of a way to start processes; there is only `spawn`.
///
/// # Errors
///
/// [`UnknownName`] for any other: a forked copy of a program with threads is not sound.
pub fn get_context(method: &str) -> std::result::Result<SpawnContext, UnknownName> {
    if METHODS.contains(&method) {
        return Ok(SpawnContext::new());
    }
    let value = method.to_owned();
    Err(UnknownName { what: "start method", value, expected: METHODS[0] })
}

/// The way in which processes are started: always `spawn`.
pub fn get_start_method() -> &'static str {
    METHODS[0]
}

/// All ways to start processes.
pub fn get_all_start_methods() -> [&'static str; 1] {
    METHODS
}
