//! How a server is told things beside calls, and its end is heard of: [`Local`] for one of this machine, [`Network`] for one
//! on another.
//!
//! A thread of each waits for the end, which it notes in [`Life`]. How a route comes to be is left to
//! [`connect`](crate::client::connect), and what is told over it to [`Server`](crate::client::server::Server).

use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use mp_connection::{Address, Client, Connection, ConnectionError, Waitable};
use mp_sync::parts::after;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFlags, eventfd};

use crate::client::lines::Lines;
use crate::error::ManagerError;
use crate::id::ObjectId;
use crate::server::note::{Membership, Note, Opened, Opening, Release, Told};
use crate::sys::network;
use crate::sys::packet::{self, Received};

/// What a server has to take this process as a client.
pub(super) const WELCOME_LIMIT: Duration = Duration::from_secs(10);

/// How the server is told things beside calls.
pub(super) enum Route {
    /// Through shared memory and a socket.
    Local(Arc<Local>),
    /// Over connections.
    Network(Network),
    /// It had ended before this process came to know it: a message led to it that was longer under way.
    Ended,
}

/// How long one waits for room in a socket before the rest is left to another thread, which a process that ends does not
/// wait for.
const PATIENCE: Duration = Duration::from_millis(100);
/// So many objects are given back in one packet.
const MOST_IN_PACKET: usize = 500;

/// The socket of this process to a server of this machine.
pub(super) struct Local {
    control: OwnedFd,
    /// Readable when the thread that waits here has to look what else there is.
    bell: OwnedFd,
    /// What there was no room for.
    unsent: Mutex<Vec<(ObjectId, u64)>>,
    /// Held by one who waits for room.
    settling: Mutex<()>,
    is_closed: AtomicBool,
}

/// What further connections are made with.
pub(super) struct Network {
    control: Connection,
    releases: Sender<Release>,
    pub(super) membership: Membership,
    pub(super) authkey: Box<[u8]>,
}

/// Whether the server lives.
#[derive(Debug, Default)]
pub(super) struct Life {
    is_gone: AtomicBool,
}

impl Life {
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    pub(super) fn end(&self, lines: &Lines) {
        self.is_gone.store(true, Ordering::Release);
        lines.wake_all();
    }
}

impl Route {
    /// Gives an object back, hardly ever waiting.
    pub(super) fn release(&self, object: ObjectId, count: u64) {
        match self {
            Route::Local(local) => local.release(object, count),
            Route::Network(network) => {
                let _sent = network.releases.send(Release { object, count });
            }
            Route::Ended => {}
        }
    }

    /// Waits until the server of this machine can hear all that was given back.
    pub(super) fn settle(&self) {
        if let Route::Local(local) = self {
            local.settle();
        }
    }

    /// Sleeps until the server has closed its end, at most until `deadline`; whether it has.
    pub(super) fn wait_until_closed(&self, deadline: Option<Instant>) -> io::Result<bool> {
        let is_closed = |socket: BorrowedFd<'_>| {
            let ready = packet::wait(&[(socket, PollFlags::RDHUP)], deadline)?;
            Ok(!ready[0].is_empty())
        };
        match self {
            Route::Local(local) => is_closed(local.control.as_fd()),
            Route::Network(network) => {
                let descriptor = network.control.descriptor().map_err(io::Error::other)?;
                is_closed(descriptor.as_fd())
            }
            Route::Ended => Ok(true),
        }
    }

    /// Has the server hear that this process is no client of it any more.
    pub(super) fn close(&self) {
        match self {
            Route::Local(local) => local.close(),
            Route::Network(network) => network.control.close(),
            Route::Ended => {}
        }
    }
}

impl Local {
    /// Over a socket whose other end the server has.
    pub(super) fn open(
        control: OwnedFd,
        life: &Arc<Life>,
        lines: &Arc<Lines>,
    ) -> Result<Arc<Local>, ManagerError> {
        let resources = ManagerError::system("make a descriptor for a server");
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(resources)?;
        let (unsent, settling) = (Mutex::default(), Mutex::default());
        let is_closed = AtomicBool::new(false);
        let local = Arc::new(Local { control, bell, unsent, settling, is_closed });
        let watched = (Arc::clone(&local), Arc::clone(life), Arc::clone(lines));
        spawn("mp-manager watch", move || watch(&watched.0, &watched.1, &watched.2))?;
        Ok(local)
    }

    /// Tells the server something, waiting for room.
    pub(super) fn tell(&self, note: &Note) -> io::Result<()> {
        packet::send(&self.control, note, true)
    }

    /// Gives an object back, hardly ever waiting.
    fn release(&self, object: ObjectId, count: u64) {
        let mut unsent = self.unsent.lock();
        if unsent.is_empty() {
            let note = Note::Release(vec![(object, count)]);
            let full = |sent: &io::Result<()>| {
                sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            };
            let mut sent = packet::send(&self.control, &note, false);
            if full(&sent) {
                // A server that runs makes room at once. One that does not costs this once, until it runs again.
                let room = [(self.control.as_fd(), PollFlags::OUT)];
                let _waited = packet::wait(&room, after(PATIENCE));
                sent = packet::send(&self.control, &note, false);
            }
            if !full(&sent) {
                // Who is gone has it back.
                return;
            }
            self.ring();
        }
        unsent.push((object, count));
    }

    /// Sends what there was no room for, as far as there is room now.
    fn send_unsent(&self) {
        let mut unsent = self.unsent.lock();
        while !unsent.is_empty() {
            let some = unsent.len().min(MOST_IN_PACKET);
            let note = Note::Release(unsent[..some].to_vec());
            match packet::send(&self.control, &note, false) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                _ => drop(unsent.drain(..some)),
            }
        }
    }

    /// Sends what there was no room for, waiting for it; whoever gives something back meanwhile does not wait.
    fn settle(&self) {
        let _one_at_a_time = self.settling.lock();
        let unsent = mem::take(&mut *self.unsent.lock());
        for some in unsent.chunks(MOST_IN_PACKET) {
            // Who is gone has it back.
            let _sent = self.tell(&Note::Release(some.to_vec()));
        }
    }

    fn ring(&self) {
        let _rung = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        // The server hears it now, not when the thread here has ended.
        let _closed = rustix::net::shutdown(&self.control, rustix::net::Shutdown::Both);
        self.ring();
    }
}

/// Waits for the end of a server of this machine, and sends what there was no room for.
fn watch(local: &Local, life: &Life, lines: &Lines) {
    loop {
        let mut events = PollFlags::IN;
        if !local.unsent.lock().is_empty() {
            events |= PollFlags::OUT;
        }
        let sockets = [(local.control.as_fd(), events), (local.bell.as_fd(), PollFlags::IN)];
        let Ok(ready) = packet::wait(&sockets, None) else { break };
        if local.is_closed.load(Ordering::Acquire) {
            return;
        }
        if ready[1].contains(PollFlags::IN) {
            let _rung = rustix::io::read(&local.bell, &mut [0; 8]);
        }
        if ready[0].intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            match packet::receive(&local.control) {
                Ok(Received::Nothing | Received::Lost) => {}
                Ok(Received::Message(message)) => {
                    if let Ok(Told::Unheard) = message.decode() {
                        lines.refuse_unanswered();
                    }
                }
                Ok(Received::End) | Err(_) => break,
            }
        }
        local.send_unsent();
    }
    life.end(lines);
}

impl Network {
    /// Over the connection on which the server has taken this process as a client.
    pub(super) fn open(
        control: Connection,
        membership: Membership,
        authkey: &[u8],
        life: &Arc<Life>,
        lines: &Arc<Lines>,
    ) -> Result<Network, ManagerError> {
        let (releases, to_send) = mpsc::channel::<Release>();
        let watched = (control.clone(), Arc::clone(life), Arc::clone(lines));
        spawn("mp-manager watch", move || {
            // Nothing ever comes but the end.
            let _end = watched.0.recv_bytes_limited(0);
            watched.1.end(&watched.2);
        })?;
        let sending = control.clone();
        spawn("mp-manager release", move || {
            // When the other side is gone, there is nothing to give back.
            while to_send.recv().is_ok_and(|release| sending.send(&release).is_ok()) {}
        })?;
        Ok(Network { control, releases, membership, authkey: authkey.into() })
    }

    /// A further connection to the server; `None` when it does not answer in time.
    pub(super) fn further(
        &self,
        address: &Address,
        opening: &Opening,
    ) -> Result<Option<Connection>, ConnectionError> {
        let connection = Client::connect(address, Some(&self.authkey))?;
        network::watch_over(&connection);
        connection.send(opening)?;
        if !connection.poll(Some(WELCOME_LIMIT))? {
            return Ok(None);
        }
        match connection.recv()? {
            Opened::Done => Ok(Some(connection)),
            Opened::Client { .. } | Opened::Refused => Err(ConnectionError::EndOfFile),
        }
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), ManagerError> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    let failed = ManagerError::system("start a thread that watches over a server");
    thread.spawn(run).map(drop).map_err(failed)
}
