//! [`ServerProcess`]: a process that hosts objects.

pub(crate) mod builder;

use std::fmt::{self, Debug};
use std::time::Duration;

use mp_connection::Address;
use mp_context::{AuthKey, Process, ProcessError, current_process};
use mp_sync::parts::after;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::client::connect::connect;
use crate::error::ManagerError;
use crate::handle::Handle;
use crate::host::{Host, ObjectInfo, ask};
use crate::managed::{Args, Manageable, Managed};
use crate::server_process::builder::ServerProcessBuilder;

/// A process that hosts objects, which everybody else calls through proxies.
///
/// A proxy is as good in any process that it is sent to. A thread that calls is served by a thread of the server that is
/// there for it alone, so calls of several threads and processes run at the same time, those of `&mut self` methods of one
/// object one after the other.
///
/// Dropping the handle that started the server shuts it down. A clone of it can be sent to other processes, which then can
/// create objects there; dropping that one does nothing.
///
/// # When a process dies
///
/// When the server dies, calls give [`ManagerError::Disconnected`] at once, those on their way included. When a client
/// dies, the server drops what only that one referred to. When the process that started the server dies, the server ends
/// as every child does.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Counter(std::sync::atomic::AtomicI64);
///
/// #[mp::managed]
/// impl Counter {
///     pub fn new(start: i64) -> Self {
///         Counter(start.into())
///     }
///     pub fn add(&self, n: i64) -> i64 {
///         self.0.fetch_add(n, std::sync::atomic::Ordering::Relaxed) + n
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let counter = server.create(Counter::args(5))?;
/// let p = mp::Process::start(|counter: CounterProxy| Ok(counter.add(3)?), (counter.clone(),))?;
/// assert_eq!(p.into_result()?, 8);
/// assert_eq!(counter.add(1)?, 9);
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "mpservice.multiprocessing.ServerProcess")]
#[doc(alias = "multiprocessing.managers.BaseManager")]
pub struct ServerProcess {
    handle: Handle,
    /// Of the one who started it.
    owned: Option<Owned>,
}

/// The process of a server, in the hands of who started it.
pub(crate) struct Owned {
    pub(crate) process: Process<()>,
    pub(crate) shutdown_limit: Duration,
}

/// What a server has to end by itself when it is asked by one who did not start it.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(1);

impl ServerProcess {
    /// Starts a server with a key of this process tree, which listens at a local address of its own.
    ///
    /// Returns when it serves.
    ///
    /// # Errors
    ///
    /// As [`ServerProcessBuilder::start`].
    pub fn start() -> Result<ServerProcess, ManagerError> {
        ServerProcess::builder().start()
    }

    /// Describes a server.
    pub fn builder() -> ServerProcessBuilder {
        ServerProcessBuilder::new()
    }

    /// Connects to a server that another program has started, over a local socket or the network. On this machine, both
    /// have to be of the same user.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Authentication`] for another key, [`ManagerError::Connection`] when nobody listens there.
    pub fn connect<A>(address: A, authkey: impl AsRef<[u8]>) -> Result<ServerProcess, ManagerError>
    where
        A: TryInto<Address>,
        mp_connection::ConnectionError: From<A::Error>,
    {
        let address = address.try_into().map_err(mp_connection::ConnectionError::from)?;
        let server = connect(address, authkey.as_ref())?;
        Ok(ServerProcess { handle: Handle::There(server), owned: None })
    }

    pub(crate) fn owning(handle: Handle, owned: Owned) -> ServerProcess {
        ServerProcess { handle, owned: Some(owned) }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Has the server make an object, and gives a proxy to it. The arguments are those of the constructor:
    /// `Counter::args(5)` for `Counter::new(5)`.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Exception`] when the constructor fails or panics; [`ManagerError::UnknownType`] when the server is
    /// another program that does not have the type.
    pub fn create<T: Manageable>(&self, args: Args<T>) -> Result<Managed<T>, ManagerError> {
        let arguments = (args.encode)(self.handle.id()).map_err(ManagerError::Encode)?;
        self.handle.create(arguments)
    }

    /// Its name.
    pub fn name(&self) -> String {
        match &self.handle {
            Handle::There(server) => server.info().name.clone(),
            Handle::Here => crate::proxy::here_name(),
        }
    }

    /// The pid of its process, on its machine.
    pub fn pid(&self) -> u32 {
        match &self.handle {
            Handle::There(server) => server.info().pid,
            Handle::Here => std::process::id(),
        }
    }

    /// Where it listens, for [`connect`](ServerProcess::connect) of other programs.
    ///
    /// # Panics
    ///
    /// Never: a handle inside of a process exists only in a server.
    pub fn address(&self) -> Address {
        match &self.handle {
            Handle::There(server) => server.info().address.clone(),
            Handle::Here => Host::here()
                .service()
                .map_or(Address::Unnamed, |service| service.info().address.clone()),
        }
    }

    /// Whether it can be called.
    pub fn is_alive(&self) -> bool {
        match &self.handle {
            Handle::There(server) => !server.is_gone(),
            Handle::Here => true,
        }
    }

    /// The exit code of its process, if this handle started it and it has ended; negative for a signal.
    pub fn exitcode(&self) -> Option<i32> {
        self.owned.as_ref().and_then(|owned| owned.process.exitcode())
    }

    /// The objects that live there, in the order in which they came.
    ///
    /// What this process has dropped, and what processes held that have ended, is not among them any more; over the network
    /// that takes a moment.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn debug_info(&self) -> Result<Vec<ObjectInfo>, ManagerError> {
        if let Handle::There(server) = &self.handle {
            server.settle();
        }
        self.handle.ask(ask::DEBUG_INFO, self.handle.encode(&())?, None)
    }

    /// The number of objects that live there.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn number_of_objects(&self) -> Result<usize, ManagerError> {
        Ok(self.debug_info()?.len())
    }

    /// Sleeps until the server has ended, without asking it to.
    ///
    /// The handle that started the server waits for its process, and [`exitcode`](ServerProcess::exitcode) tells then how it
    /// ended; log records of the server may be handled by the calling thread meanwhile, so hold no lock here that the logger
    /// takes. Any other handle, a clone of that one included, waits until nobody is served any more: the process ends a moment
    /// later, or goes on after [`serve_forever`](ServerProcessBuilder::serve_forever). In any case
    /// [`is_alive`](ServerProcess::is_alive) is false from then on.
    ///
    /// # When a process dies
    ///
    /// A server that is killed has ended, at once and for all handles, and that is no error. For a handle that is connected over
    /// the network the loss of the connection is the end of the server, for it cannot be told from that: also when the network
    /// fails for half a minute while the server goes on.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Value`], at once, inside of the server itself, which would wait for its own end, and, for the handle
    /// that started the server, in a logger that handles records of processes; [`ManagerError::System`] when the system
    /// cannot wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// mp::enable_test_support!();
    ///
    /// let server = mp::ServerProcess::start()?;
    /// assert!(!server.join_timeout(Duration::from_millis(1))?);
    /// let other = server.clone();
    /// let asks = std::thread::spawn(move || other.shutdown());
    /// server.join()?;
    /// assert_eq!(server.exitcode(), Some(0));
    /// asks.join().expect("it does not panic")?;
    /// # Ok::<(), mp::Error>(())
    /// ```
    pub fn join(&self) -> Result<(), ManagerError> {
        self.wait(None).map(drop)
    }

    /// Sleeps until the server has ended or the time is over; `Ok(false)` if it still serves. See
    /// [`join`](ServerProcess::join).
    ///
    /// # Errors
    ///
    /// As [`join`](ServerProcess::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, ManagerError> {
        self.wait(Some(timeout))
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<bool, ManagerError> {
        let Handle::There(server) = &self.handle else {
            let what = format!("server '{}' cannot wait for its own end", self.name());
            return Err(ManagerError::Value(what));
        };
        let Some(owned) = &self.owned else {
            return server.wait_until_gone(timeout.and_then(after));
        };
        let has_ended = owned.wait(timeout)?;
        if has_ended {
            server.is_gone_within(Duration::ZERO); // so that `is_alive` knows
        }
        Ok(has_ended)
    }

    /// Ends the server, whatever its methods do just now, and waits for that. A server that has ended is no error.
    ///
    /// Who started it sees to it: a server that does not end within a second (see
    /// [`shutdown_timeout`](ServerProcessBuilder::shutdown_timeout)) gets SIGTERM, and SIGKILL after as long again.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Timeout`] for a handle that did not start it: it is still there after a second.
    pub fn shutdown(&self) -> Result<(), ManagerError> {
        let limit = self.owned.as_ref().map_or(SHUTDOWN_LIMIT, |owned| owned.shutdown_limit);
        let asked: Result<(), ManagerError> = match &self.handle {
            Handle::There(server) if server.is_gone() => Ok(()),
            handle => handle.ask(ask::SHUTDOWN, handle.encode(&())?, Some(limit)),
        };
        match (&self.handle, &self.owned) {
            (handle, Some(owned)) => {
                owned.end();
                if let Handle::There(server) = handle {
                    server.is_gone_within(Duration::ZERO); // so that `is_alive` knows
                }
                Ok(())
            }
            (Handle::There(server), None) => match asked {
                Err(error @ ManagerError::Timeout { .. }) => Err(error),
                _ if server.is_gone_within(limit) => Ok(()),
                _ => {
                    let what = format!("the end of server '{}'", server.info().name);
                    Err(ManagerError::Timeout { what, limit })
                }
            },
            (Handle::Here, None) => {
                if let Some(service) = Host::here().service() {
                    service.stop();
                }
                asked
            }
        }
    }
}

impl Owned {
    /// Sleeps until the process has ended, in whatever way; whether it has.
    fn wait(&self, timeout: Option<Duration>) -> Result<bool, ManagerError> {
        let joined = match timeout {
            Some(timeout) => self.process.join_timeout(timeout),
            None => self.process.join().map(|()| true),
        };
        match joined {
            Ok(has_ended) => Ok(has_ended),
            Err(error @ ProcessError::InLogger { .. }) => {
                Err(ManagerError::Value(error.to_string()))
            }
            Err(_) => Ok(true),
        }
    }

    /// Waits for the end of the process, and brings it about if it does not come.
    fn end(&self) {
        let has_ended = || !matches!(self.process.join_timeout(self.shutdown_limit), Ok(false));
        if has_ended() {
            return;
        }
        log::warn!("server {:?} does not end: it is terminated", self.process.name());
        self.process.terminate();
        if has_ended() {
            return;
        }
        self.process.kill();
        // How it ended is what the caller wanted.
        let _ended = self.process.join();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Not a copy of the handle in a process that other code has forked from this one.
        let is_own = matches!(&self.handle, Handle::There(server) if server.is_own());
        if self.owned.is_some()
            && is_own
            && let Err(error) = self.shutdown()
        {
            log::warn!("a server cannot be shut down: {error}");
        }
    }
}

/// Another handle, for another process or part of the program: dropping it ends nothing.
impl Clone for ServerProcess {
    fn clone(&self) -> ServerProcess {
        ServerProcess { handle: self.handle.clone(), owned: None }
    }
}

impl Debug for ServerProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_alive() { "started" } else { "ended" };
        let (name, pid, address) = (self.name(), self.pid(), self.address());
        write!(f, "<ServerProcess name='{name}' pid={pid} address={address} {state}>")
    }
}

impl Serialize for ServerProcess {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ServerProcess {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ServerProcess, D::Error> {
        Ok(ServerProcess { handle: Handle::deserialize(deserializer)?, owned: None })
    }
}

/// The key of this process tree.
pub(crate) fn own_key() -> AuthKey {
    current_process().authkey()
}
