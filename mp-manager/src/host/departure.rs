//! What is left to do when a client is gone, and when the keeper has dropped an object.
//!
//! The keeper notes that a client is gone and hears the others again. Here its objects are told, of which any may be in a
//! method that takes its time, and what it held is dropped: one client after the other, in the order in which they went.
//!
//! Told are those that care: [`Clients::All`] of every client, [`Clients::Holders`] of those that held them at the end, or
//! had given them back. So the end of a client takes as long as that client had objects, not as long as there are any.

use std::io;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use mp_context::__private::catch;

use crate::host::client::Account;
use crate::host::entry::Entry;
use crate::host::worker::{Task, Worker, do_each};
use crate::host::{Host, burial};
use crate::hosted::{Clients, Hosted};
use crate::id::ClientId;
use crate::reference::Reference;

static WORKER: Worker<Chore> = Worker::new("mp-manager departures", run);

pub(super) enum Chore {
    /// A client is gone, and this is what it held.
    Departed(ClientId, Account),
    Drop(Box<dyn Hosted>),
}

fn run(chores: &Receiver<Task<Chore>>) {
    burial::leave_destructors_to_another();
    do_each(chores, |chore| chore.run(burial::bury));
}

/// Starts the other thread: what is left to it must not come back to the thread of a server that nobody may delay.
pub(crate) fn start() -> io::Result<()> {
    WORKER.start()
}

/// Has something be done by another thread, and never waits for it.
pub(super) fn leave(chore: Chore) {
    if let Err(chore) = WORKER.give(chore) {
        // In a program that is no server, and has no thread to give.
        chore.run(burial::bury_here);
    }
}

/// Waits until everything is done that was left to do before, for at most `limit`.
pub(super) fn settle(limit: Duration) {
    WORKER.settle(limit);
}

impl Chore {
    fn run(self, bury: fn(Box<dyn Hosted>)) {
        match self {
            Chore::Departed(client, account) => depart(client, account),
            Chore::Drop(object) => bury(object),
        }
    }
}

fn depart(client: ClientId, account: Account) {
    let (held, given_back) = account.close();
    for entry in held.iter().filter_map(Reference::here) {
        tell(entry, |object| object.holder_gone(client));
    }
    for entry in held.iter().chain(&given_back).filter_map(Reference::here) {
        if entry.object().cares_for() == Clients::Holders {
            tell(entry, |object| object.client_gone(client));
        }
    }
    for entry in Host::here().caring() {
        tell(&entry, |object| object.client_gone(client));
        // As a reference: what was let go of meanwhile is looked at again.
        drop(Reference::Here(entry));
    }
}

/// Tells an object something; a panic of it is its own affair.
pub(super) fn tell(entry: &Entry, what: impl FnOnce(&dyn Hosted)) {
    if let Err(panicked) = catch(|| what(entry.object())) {
        log::error!("an object does not hear that a client is gone: {}", panicked.message());
    }
}
