//! The window of a server: where whoever looks into the session from outside is told what objects there are.
//!
//! It is a socket of its own, which asks for no key, but only programs of the same user are told anything. They are told
//! types, numbers and counts; no code of a user runs for it.

use std::io;
use std::sync::Arc;

use mp_connection::{Address, Connection, ConnectionError, Listener};
use mp_shared_memory::look::{Notice, Topic};

use crate::host::{Host, burial};
use crate::look::View;
use crate::server::network;
use crate::server::note::ServerInfo;

/// Open from the beginning of a server to its end.
#[derive(Debug)]
pub(super) struct Window {
    listener: Arc<Listener>,
    /// Says where it is.
    _shown: Notice,
}

impl Window {
    /// Opens it; a server that cannot have one shows nothing of its objects.
    pub(super) fn open(info: &ServerInfo) -> Option<Window> {
        let opened = Window::try_open(info);
        opened.inspect_err(|error| log::debug!("a server shows no objects: {error}")).ok()
    }

    fn try_open(info: &ServerInfo) -> io::Result<Window> {
        let address =
            format!("mp-window-{}-{:016x}", std::process::id(), crate::id::random_word()?);
        let shown = Notice::post(Topic::Server, &address, 0).map_err(io::Error::other)?;
        let bound = Listener::bind(Address::Abstract(address.into_bytes()), None);
        let listener = Arc::new(bound.map_err(io::Error::other)?);
        let thread = std::thread::Builder::new().name("mp-manager window".to_owned());
        let (accepting, info) = (Arc::clone(&listener), info.clone());
        drop(thread.spawn(move || show_to_all(&accepting, &info))?);
        Ok(Window { listener, _shown: shown })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.listener.close();
    }
}

fn show_to_all(listener: &Listener, info: &ServerInfo) {
    loop {
        match listener.accept() {
            Ok(connection) => {
                // One who does not listen holds nobody up.
                let (info, looker) = (info.clone(), std::thread::Builder::new());
                let shows = looker.name("mp-manager look".to_owned()).spawn(move || {
                    burial::leave_to_another();
                    if let Err(error) = show(&connection, &info) {
                        log::debug!("a server has shown its objects in vain: {error}");
                    }
                });
                if let Err(error) = shows {
                    log::debug!("a server has no thread to show its objects: {error}");
                }
            }
            Err(ConnectionError::Closed) => return,
            Err(error) => {
                log::debug!("a server cannot show its objects: {error}");
                std::thread::park_timeout(network::SHORTAGE_PAUSE);
            }
        }
    }
}

fn show(connection: &Connection, info: &ServerInfo) -> Result<(), ConnectionError> {
    if !network::is_trusted(connection)? {
        return Ok(());
    }
    let host = Host::here();
    let (objects, clients) = (host.counts(), host.pids());
    let address = info.address.to_string();
    connection.send(&View { name: info.name.clone(), pid: info.pid, address, clients, objects })
}
