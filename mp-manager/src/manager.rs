//! [`Manager`]: a server that offers what Python's `SyncManager` does.

use std::fmt::{self, Debug};
use std::ops::Deref;

use mp_connection::{Address, ConnectionError};
use serde::{Deserialize, Serialize};

use crate::error::ManagerError;
use crate::server_process::ServerProcess;

/// A [`ServerProcess`] with lists, dicts, values and all the other types of Python's managers; it has the methods of a
/// `ServerProcess` as well.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let manager = mp::Manager::start()?;
/// let words = manager.list::<String>()?;
/// let p = mp::Process::start(
///     |words: mp::ListProxy<String>| Ok(words.push("hello".to_owned())?),
///     (words.clone(),),
/// )?;
/// p.join()?;
/// assert_eq!(words.to_vec()?, ["hello"]);
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "multiprocessing.Manager")]
#[doc(alias = "multiprocessing.managers.SyncManager")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Manager(ServerProcess);

/// What Python calls it.
pub type SyncManager = Manager;

impl Manager {
    /// Starts one with a key of this process tree, which listens at a local address of its own.
    ///
    /// # Errors
    ///
    /// As [`ServerProcess::start`].
    pub fn start() -> Result<Manager, ManagerError> {
        ServerProcess::start().map(Manager)
    }

    /// Connects to one; see [`ServerProcess::connect`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn connect<A>(address: A, authkey: impl AsRef<[u8]>) -> Result<Manager, ManagerError>
    where
        A: TryInto<Address>,
        ConnectionError: From<A::Error>,
    {
        ServerProcess::connect(address, authkey).map(Manager)
    }
}

/// Every server is one: `ServerProcess::builder().name("…").start()?.into()`.
impl From<ServerProcess> for Manager {
    fn from(server: ServerProcess) -> Manager {
        Manager(server)
    }
}

impl Deref for Manager {
    type Target = ServerProcess;

    fn deref(&self) -> &ServerProcess {
        &self.0
    }
}

impl Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}
