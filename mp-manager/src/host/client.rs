//! [`Client`]: a process that holds references to objects of this one, and what is known of it.

use std::collections::HashMap;
use std::collections::hash_map;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::host::departure::tell;
use crate::host::entry::Entry;
use crate::hosted::Clients;
use crate::id::{ClientId, ObjectId};
use crate::line::Line;
use crate::reference::Reference;
use crate::sys::packet;

/// A process that holds references, until it is gone.
#[derive(Debug)]
pub(crate) struct Client {
    id: ClientId,
    pid: u32,
    /// What its further connections from another machine show.
    secret: Option<u64>,
    is_gone: AtomicBool,
    /// What ends with the process.
    life: Mutex<Option<Arc<OwnedFd>>>,
    account: Mutex<Account>,
    lines: Mutex<Vec<Weak<Line>>>,
}

/// What a client holds, and what it held.
#[derive(Debug, Default)]
pub(super) struct Account {
    held: HashMap<ObjectId, Grants>,
    /// Those that it has given back, as far as they live and want to hear of its end.
    given_back: HashMap<ObjectId, Weak<Entry>>,
    /// When there are so many of those, it is time to forget the ones that live no more.
    many: usize,
}

/// How often an object was given to a client, and not given back.
#[derive(Debug)]
struct Grants {
    entry: Arc<Entry>,
    count: u64,
}

impl Account {
    fn note_given_back(&mut self, entry: &Arc<Entry>) {
        // If this is the last reference, the object ends first.
        if Arc::strong_count(entry) == 1 || entry.object().cares_for() != Clients::Holders {
            return;
        }
        self.given_back.insert(entry.id(), Arc::downgrade(entry));
        if self.given_back.len() > self.many {
            self.given_back.retain(|_, entry| entry.strong_count() > 0);
            self.many = 64 + 2 * self.given_back.len();
        }
    }

    /// What was held, and what was given back.
    pub(super) fn close(self) -> (Vec<Reference>, Vec<Reference>) {
        let held = self.held.into_values().map(|grants| Reference::Here(grants.entry));
        let given_back = self.given_back.into_values().filter_map(|entry| entry.upgrade());
        (held.collect(), given_back.map(Reference::Here).collect())
    }
}

impl Client {
    pub(crate) fn new(id: ClientId, pid: u32, secret: Option<u64>) -> Client {
        let (account, lines) = (Mutex::default(), Mutex::default());
        let (is_gone, life) = (AtomicBool::new(false), Mutex::default());
        Client { id, pid, secret, is_gone, life, account, lines }
    }

    /// Notes the socket whose other end the process has.
    pub(crate) fn set_life(&self, socket: Arc<OwnedFd>) {
        *self.life.lock() = Some(socket);
    }

    /// Tells the process that it is no client any more; that is then heard as its end.
    pub(crate) fn hang_up(&self) {
        if let Some(socket) = &*self.life.lock() {
            // It may have ended already.
            let _told = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
    }

    pub(crate) fn id(&self) -> ClientId {
        self.id
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn has_secret(&self, secret: u64) -> bool {
        self.secret == Some(secret)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Whether the process is there, as the system says at this moment.
    pub(crate) fn is_there(&self) -> bool {
        let life = self.life.lock().clone();
        !self.is_gone() && !life.is_some_and(packet::has_ended)
    }

    /// The object with this number, if the client holds it.
    pub(crate) fn find(&self, object: ObjectId) -> Option<Arc<Entry>> {
        self.account.lock().held.get(&object).map(|grants| Arc::clone(&grants.entry))
    }

    /// Gives the client what is in a reply; gives the numbers.
    pub(crate) fn grant(&self, references: &[Reference]) -> Vec<ObjectId> {
        if references.is_empty() {
            return Vec::new();
        }
        let entries = references.iter().filter_map(Reference::here);
        let mut account = self.account.lock();
        if self.is_gone() {
            drop(account);
            // They were made for it, maybe, and it has none of them at its end.
            let caring = entries.filter(|entry| entry.object().cares_for() == Clients::Holders);
            caring.for_each(|entry| tell(entry, |object| object.client_gone(self.id)));
            return Vec::new();
        }
        let held = &mut account.held;
        entries
            .map(|entry| {
                let new = || Grants { entry: Arc::clone(entry), count: 0 };
                held.entry(entry.id()).or_insert_with(new).count += 1;
                entry.id()
            })
            .collect()
    }

    /// Takes back what was in a reply that cannot be sent.
    pub(crate) fn does_not_get(&self, granted: &[ObjectId]) {
        for object in granted {
            let reference = self.take_back(*object, 1);
            // If it is the last one, nobody else can know the object: it was made for this client.
            if let Some(entry) = reference.as_ref().and_then(Reference::here)
                && Arc::strong_count(entry) == 1
            {
                tell(entry, |object| object.client_gone(self.id));
            }
        }
    }

    /// The client gives back an object that it was given so often.
    pub(crate) fn hears_back(&self, object: ObjectId, count: u64) {
        let reference = self.take_back(object, count);
        if let Some(Reference::Here(entry)) = &reference {
            entry.object().given_back(self.id);
        }
    }

    /// Takes back what the client gives back: an object that it was given so often. More than it has is all.
    pub(crate) fn take_back(&self, object: ObjectId, count: u64) -> Option<Reference> {
        let mut account = self.account.lock();
        let hash_map::Entry::Occupied(mut grants) = account.held.entry(object) else { return None };
        grants.get_mut().count = grants.get().count.saturating_sub(count);
        if grants.get().count > 0 {
            return None;
        }
        let entry = grants.remove().entry;
        account.note_given_back(&entry);
        Some(Reference::Here(entry))
    }

    /// Has a line end with the client.
    pub(crate) fn add_line(&self, line: &Arc<Line>) {
        let mut lines = self.lines.lock();
        lines.retain(|line| line.strong_count() > 0);
        lines.push(Arc::downgrade(line));
        drop(lines);
        if self.is_gone() {
            line.wake();
        }
    }

    /// Takes everything back: it is gone. Waits for nothing.
    pub(super) fn end(&self) -> Account {
        let account = {
            let mut account = self.account.lock();
            self.is_gone.store(true, Ordering::Release);
            mem::take(&mut *account)
        };
        drop(self.life.lock().take());
        let lines = mem::take(&mut *self.lines.lock());
        for line in lines.iter().filter_map(Weak::upgrade) {
            line.wake();
        }
        account
    }
}
