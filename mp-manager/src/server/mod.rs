//! What makes a process a server: a listener, a thread that hears the clients of this machine, and one for each thread
//! that calls.

pub(crate) mod keeper;
pub(crate) mod network;
pub(crate) mod note;
pub(crate) mod serving;
mod window;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use mp_connection::{Address, ConnectionError, Listener};
use parking_lot::{Condvar, Mutex};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::error::ManagerError;
use crate::host::{Host, burial};
use crate::registry;
use crate::server::keeper::{Keeper, Order, SETTLE_LIMIT};
use crate::server::note::ServerInfo;
use crate::server::window::Window;

/// What a server has beside its objects.
#[derive(Debug)]
pub(crate) struct Service {
    info: ServerInfo,
    keeper: Keeper,
    listener: Arc<Listener>,
    window: Mutex<Option<Window>>,
    stopped: Mutex<bool>,
    stop: Condvar,
}

/// Makes this process a server, which listens at `address`, or at one of its own.
///
/// # Errors
///
/// [`ManagerError::AlreadyServing`] if it is one; that it cannot listen there; [`ManagerError::DuplicateType`].
pub(crate) fn begin(
    name: &str,
    address: Option<Address>,
    authkey: &[u8],
) -> Result<&'static Service, ManagerError> {
    registry::types()?;
    raise_limit_of_files();
    let host = Host::here();
    if host.service().is_some() {
        return Err(ManagerError::AlreadyServing);
    }
    let listener = listen(address, authkey)?;
    listener.set_places(places());
    let info = ServerInfo {
        id: host.id(),
        name: name.to_owned(),
        pid: std::process::id(),
        address: listener.address().clone(),
    };
    let keeper = Keeper::start(info.clone())
        .map_err(ManagerError::system("start the thread that hears clients"))?;
    let service = Service {
        window: Mutex::new(Window::open(&info)),
        info,
        keeper,
        listener: Arc::new(listener),
        stopped: Mutex::new(false),
        stop: Condvar::new(),
    };
    let service = host.serve_with(service).ok_or(ManagerError::AlreadyServing)?;
    let thread = std::thread::Builder::new().name("mp-manager accept".to_owned());
    let accepts = thread.spawn(|| network::accept_all(&service.listener, service));
    drop(accepts.map_err(ManagerError::system("start the thread that accepts programs"))?);
    Ok(service)
}

/// So many programs may connect and say nothing before others have to wait: a part of what this process may open.
fn places() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(files / 8).unwrap_or(usize::MAX).clamp(64, 1024)
}

fn listen(address: Option<Address>, authkey: &[u8]) -> Result<Listener, ConnectionError> {
    match address {
        Some(address) => Listener::bind(address, Some(authkey)),
        // A name outside of the file system leaves nothing behind, whatever becomes of this process.
        None => {
            let word = crate::id::random_word().map_err(|source| ConnectionError::Io {
                what: "get random bytes",
                source: Arc::new(source),
            })?;
            let name = format!("mp-manager-{}-{word:016x}", std::process::id());
            Listener::bind(Address::Abstract(name.into_bytes()), Some(authkey))
        }
    }
}

/// A server has some descriptors for each thread that calls it. Programs that use `select` are not run in one.
fn raise_limit_of_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        log::debug!("a server cannot raise its limit of open files: {error}");
    }
}

impl Service {
    pub(crate) fn info(&self) -> &ServerInfo {
        &self.info
    }

    pub(crate) fn order(&self, order: Order) {
        self.keeper.order(order);
    }

    /// Takes who holds the other end of a socket as a client.
    pub(crate) fn adopt(&self, socket: OwnedFd, pid: u32) {
        self.order(Order::Adopt { socket, pid });
    }

    /// Waits until what clients have said, and what they left behind, is dealt with; for a second at most.
    pub(crate) fn settle(&self) {
        self.keeper.settle(SETTLE_LIMIT);
        burial::settle(SETTLE_LIMIT);
    }

    /// Has [`wait`](Service::wait) return.
    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.stop.notify_all();
    }

    /// Sleeps until the server is to stop, stops listening, and parts from all clients.
    pub(crate) fn wait(&self) {
        let mut stopped = self.stopped.lock();
        while !*stopped {
            self.stop.wait(&mut stopped);
        }
        drop(stopped);
        self.listener.close();
        drop(self.window.lock().take());
        Host::here().part_from_all();
    }

    /// Whether nobody is served any more.
    pub(crate) fn is_stopped(&self) -> bool {
        *self.stopped.lock()
    }
}
