//! [`PoolBuilder`]: what a pool is to be, and its start.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use mp_context::__private::assert_captures_nothing;
use mp_context::{Process, ProcessBuilder, ProcessError, Target, cpu_count};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{PROCESSES, PROCESSORS, PoolError, TASKS_PER_WORKER};
use crate::hub::{Hub, Plan};
use crate::pool::Pool;
use crate::worker::{Terms, work};

/// A pool before its start.
///
/// # Examples
///
/// ```
/// use std::sync::OnceLock;
/// mp::enable_test_support!();
///
/// static WORDS: OnceLock<Vec<String>> = OnceLock::new();
///
/// fn load(text: String) -> mp::Result<()> {
///     WORDS.get_or_init(|| text.split(' ').map(str::to_owned).collect());
///     Ok(())
/// }
///
/// fn word(n: usize) -> mp::Result<String> {
///     let words = WORDS.get().expect("the initializer has run");
///     Ok(words[n].clone())
/// }
///
/// let pool = mp::Pool::builder()
///     .processes(2)
///     .initializer(load, ("to be or not".to_owned(),))
///     .max_tasks_per_child(100)
///     .start()?;
/// assert_eq!(pool.map(word, [3, 1])?, ["not", "be"]);
/// # Ok::<(), mp::Error>(())
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct PoolBuilder {
    processes: usize,
    name: Option<Arc<str>>,
    max_tasks: Option<u64>,
    memory_limit: Option<u64>,
    cpus: Option<Vec<usize>>,
    initializer: Option<Launch>,
}

/// Starts a worker on these processors, with an initializer or without one.
type Launch = Box<dyn Fn(Terms, String, Option<&[usize]>) -> Started + Send + Sync>;

type Started = Result<Process<()>, ProcessError>;

impl Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder")
            .field("processes", &self.processes)
            .field("name", &self.name)
            .field("max_tasks_per_child", &self.max_tasks)
            .field("memory_limit", &self.memory_limit)
            .field("cpu_affinity", &self.cpus)
            .finish_non_exhaustive()
    }
}

impl PoolBuilder {
    pub(crate) fn new() -> PoolBuilder {
        PoolBuilder {
            processes: cpu_count(),
            name: None,
            max_tasks: None,
            memory_limit: None,
            cpus: None,
            initializer: None,
        }
    }

    /// How many workers it has. Default: [`cpu_count`].
    pub fn processes(mut self, processes: usize) -> Self {
        self.processes = processes;
        self
    }

    /// Its name, from which its workers have theirs; without one it is `Pool-` and a counter.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(name.as_ref().into());
        self
    }

    /// What each worker calls before its first task.
    ///
    /// When it fails, panics or ends its worker, another worker is started; when it has failed in three in a row and no worker is
    /// ready, the pool is broken: all calls give [`PoolError::Initializer`]. Therefore not more than three workers are
    /// started before one of them is ready.
    pub fn initializer<F, Args>(mut self, function: F, args: Args) -> Self
    where
        F: Target<Args> + Send + Sync,
        Args: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let args = Arc::new(args);
        self.initializer = Some(Box::new(move |terms, name, cpus| {
            start_worker(function, Some((Arc::clone(&args),)), terms, name, cpus)
        }));
        self
    }

    /// After how many tasks a worker ends and another one takes its place; a chunk of a map is one task. Default: never.
    #[doc(alias = "maxtasksperchild")]
    pub fn max_tasks_per_child(mut self, tasks: u64) -> Self {
        self.max_tasks = Some(tasks);
        self
    }

    /// How many bytes of data a worker can have: its heap and its private memory, not what is shared. An allocation beyond
    /// that fails, which ends a Rust program with SIGABRT: that one task fails with [`PoolError::WorkerDied`].
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    /// Binds the workers to processors, counted from 0.
    pub fn cpu_affinity(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// Starts it; see [`Pool::new`].
    ///
    /// # Errors
    ///
    /// As [`Pool::new`], and [`PoolError::Invalid`] for workers that end before their first task.
    pub fn start(self) -> Result<Pool, PoolError> {
        if self.processes == 0 {
            return Err(PoolError::Invalid { what: PROCESSES });
        }
        if self.max_tasks == Some(0) {
            return Err(PoolError::Invalid { what: TASKS_PER_WORKER });
        }
        if self.cpus.as_ref().is_some_and(Vec::is_empty) {
            return Err(PoolError::Invalid { what: PROCESSORS });
        }
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let name = self
            .name
            .unwrap_or_else(|| format!("Pool-{}", COUNTER.fetch_add(1, Ordering::Relaxed)).into());
        let is_careful = self.initializer.is_some();
        let without: Launch =
            Box::new(|terms, name, cpus| start_worker(|| Ok(()), None, terms, name, cpus));
        let (launch, cpus) = (self.initializer.unwrap_or(without), self.cpus);
        Hub::start(Plan {
            name,
            processes: self.processes,
            max_tasks: self.max_tasks,
            memory_limit: self.memory_limit,
            is_careful,
            start: Box::new(move |terms, name| launch(terms, name, cpus.as_deref())),
        })
        .map(Pool::of)
    }
}

/// Starts a worker.
fn start_worker<F, Args>(
    initializer: F,
    args: Option<(Arc<Args>,)>,
    terms: Terms,
    name: String,
    cpus: Option<&[usize]>,
) -> Started
where
    F: Target<Args>,
    Args: Serialize + DeserializeOwned + 'static,
{
    let _known_by_its_type = initializer;
    let builder = ProcessBuilder::new(work::<F, Args>, (terms, args))
        .name(name)
        .daemon(true)
        .may_have_children(true)
        .process_group(true)
        .on_failure(|_| ());
    match cpus {
        Some(cpus) => builder.cpu_affinity(cpus.iter().copied()).start(),
        None => builder.start(),
    }
}
