//! [`ServerProcessBuilder`]: what a server is to be, and its start.

use std::fmt::{self, Debug};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mp_connection::{Address, ConnectionError};
use mp_context::__private::{assert_captures_nothing, captureless, ignore_interrupt};
use mp_context::{Error, Process, ProcessBuilder, ProcessError, Target};
use mp_reduction::DupFd;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::connect::{join_with, receive_welcome};
use crate::error::ManagerError;
use crate::handle::Handle;
use crate::registry;
use crate::server;
use crate::server_process::{Owned, ServerProcess, own_key};
use crate::sys::packet;

/// A server before its start.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// let server = mp::ServerProcess::builder()
///     .name("numbers")
///     .address(("127.0.0.1", 0))
///     .authkey(b"secret")
///     .start()?;
/// let same = mp::ServerProcess::connect(server.address(), b"secret")?;
/// assert_eq!(same.name(), "numbers");
/// assert!(mp::ServerProcess::connect(server.address(), b"guessed").is_err());
/// # Ok::<(), mp::Error>(())
/// ```
#[must_use = "a builder does nothing until `start`"]
pub struct ServerProcessBuilder {
    name: Option<String>,
    cpus: Option<Vec<usize>>,
    authkey: Option<Vec<u8>>,
    address: Option<Result<Address, ConnectionError>>,
    shutdown_limit: Duration,
    start_limit: Duration,
    initializer: Option<Initializer>,
}

/// What runs in the server before it serves: how it is started there, and how it is run here.
struct Initializer {
    launch: Box<dyn FnOnce(Terms, Plan) -> Started + Send>,
    run: Box<dyn FnOnce() -> mp_context::Result<()> + Send>,
}

type Started = Result<Process<()>, ProcessError>;

/// What a server is told at its start.
#[derive(Serialize, Deserialize)]
struct Terms {
    address: Option<Address>,
    authkey: serde_bytes::ByteBuf,
    /// Its first client.
    socket: DupFd,
    pid: u32,
}

/// What its process is to be.
struct Plan {
    name: String,
    cpus: Option<Vec<usize>>,
    start_limit: Duration,
}

impl Debug for ServerProcessBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerProcessBuilder")
            .field("name", &self.name)
            .field("cpu_affinity", &self.cpus)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ServerProcessBuilder {
    pub(super) fn new() -> ServerProcessBuilder {
        ServerProcessBuilder {
            name: None,
            cpus: None,
            authkey: None,
            address: None,
            shutdown_limit: super::SHUTDOWN_LIMIT,
            start_limit: Duration::from_secs(30),
            initializer: None,
        }
    }

    /// Its name, which is that of its process; without one it is `Server-` and a counter.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(name.as_ref().to_owned());
        self
    }

    /// Binds it to processors, counted from 0.
    pub fn cpu_affinity(mut self, cpus: impl IntoIterator<Item = usize>) -> Self {
        self.cpus = Some(cpus.into_iter().collect());
        self
    }

    /// What programs must know that connect to it. Default: the key of this process tree,
    /// [`authkey`](mp_context::CurrentProcess::authkey). Who is given a proxy or a handle needs none.
    pub fn authkey(mut self, authkey: impl AsRef<[u8]>) -> Self {
        self.authkey = Some(authkey.as_ref().to_owned());
        self
    }

    /// Where it listens: a local socket, or a host and a port. Default: a local socket with a name of its own outside of
    /// the file system. In any case nobody of this machine but the same user can connect to a local socket.
    pub fn address<A>(mut self, address: A) -> Self
    where
        A: TryInto<Address>,
        ConnectionError: From<A::Error>,
    {
        self.address = Some(address.try_into().map_err(ConnectionError::from));
        self
    }

    /// What it runs, once, before it serves; when that fails, so does the start.
    pub fn initializer<F, A>(mut self, function: F, args: A) -> Self
    where
        F: Target<A, Output = ()> + Send,
        A: Serialize + DeserializeOwned + Send + Sync + Clone + 'static,
    {
        const { assert_captures_nothing::<F>() };
        let own = args.clone();
        self.initializer = Some(Initializer {
            launch: Box::new(move |terms, plan| launch(function, terms, Some((args,)), plan)),
            run: Box::new(move || function.call(own)),
        });
        self
    }

    /// What it has to end when it is asked, and again when it is terminated. Default: one second.
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.shutdown_limit = limit;
        self
    }

    /// What it has to serve. Default: 30 s.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.start_limit = limit;
        self
    }

    /// Starts it, and returns when it serves.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Start`] when its process does not start, cannot listen at its address or its initializer fails;
    /// [`ManagerError::DuplicateType`] for a program with two managed types of one name; [`ManagerError::Timeout`].
    pub fn start(self) -> Result<ServerProcess, ManagerError> {
        registry::types()?;
        let (address, authkey) = self.listening()?;
        let resources = "make a socket for a server";
        let (control, theirs) = packet::pair().map_err(ManagerError::system(resources))?;
        let (socket, pid) = (DupFd::from(theirs), std::process::id());
        let terms = Terms { address, authkey: authkey.into(), socket, pid };
        let plan =
            Plan { name: own_name(self.name), cpus: self.cpus, start_limit: self.start_limit };
        let started = match self.initializer {
            Some(initializer) => (initializer.launch)(terms, plan),
            None => launch(|| Ok(()), terms, None::<((),)>, plan),
        };
        let process = started.map_err(ManagerError::Start)?;
        let handle = await_service(control, &process, self.start_limit).inspect_err(|_| {
            process.kill();
        })?;
        let owned = Owned { process, shutdown_limit: self.shutdown_limit };
        Ok(ServerProcess::owning(handle, owned))
    }

    /// Makes this process the server, and returns when it is shut down: by a client, with
    /// [`shutdown`](ServerProcess::shutdown). A process can be a server once.
    ///
    /// # Errors
    ///
    /// [`ManagerError::AlreadyServing`], that it cannot listen at the address, and the error of the initializer as
    /// [`ManagerError::Exception`].
    #[doc(alias = "get_server")]
    pub fn serve_forever(self) -> Result<(), ManagerError> {
        let (address, authkey) = self.listening()?;
        if let Some(initializer) = self.initializer {
            (initializer.run)().map_err(|error| {
                let origin = mp_remote_exception::Origin::current();
                let remote = mp_remote_exception::RemoteException::from_raised(&error, origin);
                ManagerError::Exception(remote)
            })?;
        }
        server::begin(&own_name(self.name), address, &authkey)?.wait();
        Ok(())
    }

    fn listening(&self) -> Result<(Option<Address>, Vec<u8>), ManagerError> {
        let address = self.address.clone().transpose()?;
        let authkey = self.authkey.clone();
        Ok((address, authkey.unwrap_or_else(|| own_key().as_bytes().to_owned())))
    }
}

fn own_name(name: Option<String>) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(1);
    name.unwrap_or_else(|| format!("Server-{}", COUNTER.fetch_add(1, Ordering::Relaxed)))
}

/// Starts the process of a server.
fn launch<F, A>(initializer: F, terms: Terms, args: Option<(A,)>, plan: Plan) -> Started
where
    F: Target<A, Output = ()>,
    A: Serialize + DeserializeOwned + 'static,
{
    let _known_by_its_type = initializer;
    let builder = ProcessBuilder::new(serve::<F, A>, (terms, args))
        .name(plan.name)
        .daemon(true)
        .may_have_children(true)
        .start_timeout(plan.start_limit)
        .on_failure(|_| ());
    match plan.cpus {
        Some(cpus) => builder.cpu_affinity(cpus).start(),
        None => builder.start(),
    }
}

/// The target of a server.
fn serve<F, A>(terms: Terms, args: Option<(A,)>) -> mp_context::Result<()>
where
    F: Target<A, Output = ()>,
{
    ignore_interrupt();
    let Terms { address, authkey, socket, pid } = terms;
    if let Some((args,)) = args {
        captureless::<F>().call(args)?;
    }
    let name = mp_context::current_process().name();
    let service = server::begin(name, address, &authkey).map_err(Error::from)?;
    service.adopt(socket.into::<OwnedFd>(), pid);
    service.wait();
    Ok(())
}

/// Waits until a server serves, or has ended without.
fn await_service(
    control: OwnedFd,
    process: &Process<()>,
    limit: Duration,
) -> Result<Handle, ManagerError> {
    let begin = Instant::now();
    match receive_welcome(&control, limit) {
        Ok(welcome) => join_with(control, welcome).map(Handle::There),
        Err(ManagerError::Disconnected { .. }) => {
            let left = limit.saturating_sub(begin.elapsed());
            match process.join_timeout(left) {
                Err(error) => Err(ManagerError::Start(error)),
                Ok(_) => {
                    let what = format!("the start of server '{}'", process.name());
                    Err(ManagerError::Timeout { what, limit })
                }
            }
        }
        Err(error) => Err(error),
    }
}
