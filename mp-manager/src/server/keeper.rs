//! The thread of a server that hears its clients of this machine: who comes, what they give back, and when they are gone.
//!
//! It never waits for one of them and runs no code of a user, so nobody can delay it.

use std::collections::HashMap;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use mp_reduction::Message;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;

use crate::host::client::Client;
use crate::host::entry::Entry;
use crate::host::{Host, burial, departure};
use crate::id::ClientId;
use crate::line::Line;
use crate::reference::Reference;
use crate::server::note::{Note, Pledge, ServerInfo, Told, Welcome};
use crate::server::{Service, serving};
use crate::sys::packet::{self, Received};

/// What the keeper is told by other threads of its process.
pub(crate) enum Order {
    /// The other end of a socket is in the hands of a new client.
    Adopt { socket: OwnedFd, pid: u32 },
    /// As [`Note::Pledge`], from this process.
    Pledge { number: u64, socket: OwnedFd },
    /// As [`Note::Promise`], from this process.
    Promise { number: u64, entry: Arc<Entry> },
    /// Says when everything that was there to be heard has been.
    Settle(Sender<()>),
}

/// The way to the keeper.
#[derive(Debug)]
pub(crate) struct Keeper {
    orders: Mutex<Sender<Order>>,
    /// Readable while there are orders.
    bell: Arc<OwnedFd>,
}

/// The place of the bell among the sources.
const BELL: u64 = 0;
/// So many things are heard of one source before the others have their turn.
const TURN: usize = 32;

impl Keeper {
    pub(crate) fn start(info: ServerInfo) -> io::Result<Keeper> {
        departure::start()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        watch(&epoll, &*bell, BELL)?;
        let (orders, received) = mpsc::channel();
        let state = State {
            info,
            epoll,
            bell: Arc::clone(&bell),
            orders: received,
            sources: HashMap::new(),
            pledges: HashMap::new(),
            last_source: BELL,
        };
        let thread = std::thread::Builder::new().name("mp-manager keeper".to_owned());
        drop(thread.spawn(move || state.run())?);
        Ok(Keeper { orders: Mutex::new(orders), bell })
    }

    pub(crate) fn order(&self, order: Order) {
        // It ends with the process only.
        let _received = self.orders.lock().send(order);
        let _rung = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
    }

    /// Waits until everything that was there to be heard has been, for at most `limit`.
    pub(crate) fn settle(&self, limit: Duration) {
        let (tell, told) = mpsc::channel();
        self.order(Order::Settle(tell));
        let _in_time = told.recv_timeout(limit);
    }
}

fn watch(epoll: &OwnedFd, socket: impl AsFd, number: u64) -> io::Result<()> {
    let data = epoll::EventData::new_u64(number);
    Ok(epoll::add(epoll, socket, data, epoll::EventFlags::IN)?)
}

/// What it listens to.
struct Source {
    socket: Arc<OwnedFd>,
    kind: SourceKind,
}

enum SourceKind {
    Client(Arc<Client>),
    Pledge { key: (ClientId, u64), promised: Vec<Reference> },
}

struct State {
    info: ServerInfo,
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
    orders: Receiver<Order>,
    sources: HashMap<u64, Source>,
    /// The sources of pledges, by client and number.
    pledges: HashMap<(ClientId, u64), u64>,
    last_source: u64,
}

impl State {
    fn run(mut self) {
        burial::leave_to_another();
        let mut waiting: Vec<Sender<()>> = Vec::new();
        loop {
            // Whoever waits for silence is told at the first.
            let limit = if waiting.is_empty() { None } else { Some(Timespec::default()) };
            let mut events = Vec::with_capacity(64);
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                limit.as_ref(),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    log::error!("a server cannot hear its clients any more: {error}");
                    return;
                }
            }
            if events.is_empty() {
                for tell in waiting.drain(..) {
                    let _listens = tell.send(());
                }
            }
            for event in events {
                match event.data.u64() {
                    BELL => self.obey(&mut waiting),
                    number => self.hear(number),
                }
            }
        }
    }

    fn obey(&mut self, waiting: &mut Vec<Sender<()>>) {
        let _rung = rustix::io::read(&*self.bell, &mut [0; 8]);
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Adopt { socket, pid } => self.adopt(socket, pid),
                Order::Pledge { number, socket } => {
                    self.pledge((ClientId::SERVER, number), Arc::new(socket));
                }
                Order::Promise { number, entry } => {
                    self.promise((ClientId::SERVER, number), entry);
                }
                Order::Settle(tell) => waiting.push(tell),
            }
        }
    }

    fn add(&mut self, socket: Arc<OwnedFd>, kind: SourceKind) -> io::Result<u64> {
        self.last_source += 1;
        watch(&self.epoll, &socket, self.last_source)?;
        self.sources.insert(self.last_source, Source { socket, kind });
        Ok(self.last_source)
    }

    fn adopt(&mut self, socket: OwnedFd, pid: u32) {
        let host = Host::here();
        if host.service().is_some_and(Service::is_stopped) {
            return;
        }
        let (client, socket) = (host.admit(pid, None), Arc::new(socket));
        client.set_life(Arc::clone(&socket));
        let welcome = Welcome { server: self.info.clone(), client: client.id() };
        let sent = packet::send(&socket, &welcome, false);
        let added = sent.and_then(|()| self.add(socket, SourceKind::Client(Arc::clone(&client))));
        if let Err(error) = added {
            // It sees the end of its socket.
            log::warn!("a server cannot take process {pid} as a client: {error}");
            host.dismiss(&client);
        }
    }

    /// Whether it is kept.
    fn pledge(&mut self, key: (ClientId, u64), socket: Arc<OwnedFd>) -> bool {
        let kind = SourceKind::Pledge { key, promised: Vec::new() };
        match self.add(socket, kind) {
            Ok(number) => {
                self.pledges.insert(key, number);
                true
            }
            Err(error) => {
                log::warn!("a server cannot watch over proxies in a message: {error}");
                false
            }
        }
    }

    fn promise(&mut self, key: (ClientId, u64), entry: Arc<Entry>) {
        let reference = Reference::Here(entry);
        let source = self.pledges.get(&key).and_then(|number| self.sources.get_mut(number));
        if let Some(Source { kind: SourceKind::Pledge { promised, .. }, .. }) = source {
            promised.push(reference);
        }
    }

    /// Hears what a source says, up to its end.
    fn hear(&mut self, number: u64) {
        for _ in 0..TURN {
            let Some(source) = self.sources.get(&number) else { return };
            match packet::receive(&source.socket) {
                Ok(Received::Nothing) => return,
                Ok(Received::Message(message)) => {
                    let client = match &source.kind {
                        SourceKind::Client(client) => Some(Arc::clone(client)),
                        SourceKind::Pledge { .. } => None,
                    };
                    if let Err(error) = self.take(client, &message) {
                        self.has_not_heard(number, &error);
                    }
                }
                Ok(Received::Lost) => {
                    self.has_not_heard(number, &"it can open no more files (RLIMIT_NOFILE)");
                }
                Ok(Received::End) => return self.end(number),
                Err(error) => {
                    log::warn!("a server cannot hear one of its clients: {error}");
                    return self.end(number);
                }
            }
        }
    }

    /// Tells a client that it was told something in vain, which does not cost it what it holds.
    fn has_not_heard(&self, number: u64, why: &dyn Display) {
        log::warn!("a server cannot take what it is told: {why}");
        if let Some(Source { socket, kind: SourceKind::Client(_) }) = self.sources.get(&number) {
            // One that does not listen has other worries.
            let _told = packet::send(socket, &Told::Unheard, false);
        }
    }

    fn take(
        &mut self,
        client: Option<Arc<Client>>,
        message: &Message,
    ) -> Result<(), mp_reduction::DecodeError> {
        match (message.decode::<Note>()?, client) {
            (Note::Adopt { socket, pid }, _) => self.adopt(socket.into(), pid),
            (Note::Open { line, thread }, Some(client)) => {
                serving::start(&client, Line::Shared(*line), thread);
            }
            (Note::Release(objects), Some(client)) => {
                for (object, count) in objects {
                    client.hears_back(object, count);
                }
            }
            (Note::Pledge { number, socket }, Some(client)) => {
                let socket = Arc::new(socket.into::<OwnedFd>());
                if self.pledge((client.id(), number), Arc::clone(&socket)) {
                    // If it is not heard, its sender is gone.
                    let _told = packet::send(&socket, &Pledge, false);
                }
            }
            (Note::Promise { number, object }, Some(client)) => {
                if let Some(entry) = client.find(object) {
                    self.promise((client.id(), number), entry);
                }
            }
            // Over the socket of a pledge nobody can be told anything but that.
            (_, None) => {}
        }
        Ok(())
    }

    fn end(&mut self, number: u64) {
        let Some(Source { socket, kind }) = self.sources.remove(&number) else { return };
        let _removed = epoll::delete(&self.epoll, &socket);
        match kind {
            SourceKind::Client(client) => Host::here().dismiss(&client),
            SourceKind::Pledge { key, promised } => {
                self.pledges.remove(&key);
                drop(promised);
            }
        }
    }
}

/// How long somebody waits for [`settle`](Keeper::settle).
pub(crate) const SETTLE_LIMIT: Duration = Duration::from_secs(1);
