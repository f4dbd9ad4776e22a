//! [`Entry`]: an object of this process, for as long as anything refers to it.

use std::fmt::{self, Debug};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::host::{Host, burial};
use crate::hosted::Hosted;
use crate::id::{ObjectId, ServerId};

/// An object, and its number. Who has a clone of its `Arc` keeps it alive: an account of a client, a message on its way, a
/// container, a proxy in this process.
pub(crate) struct Entry {
    id: ObjectId,
    object: Box<dyn Hosted>,
    /// The beginnings and the ends of its calls.
    calls: AtomicU64,
    /// Whether it may have references in it.
    may_refer: AtomicBool,
    /// Whether it will be looked at for being garbage.
    is_suspect: AtomicBool,
}

impl Entry {
    pub(super) fn new(id: ObjectId, object: Box<dyn Hosted>) -> Entry {
        let mut may_refer = false;
        object.contents(&mut |payload| may_refer |= !payload.references.is_empty());
        let (calls, is_suspect) = (AtomicU64::new(0), AtomicBool::new(false));
        Entry { id, object, calls, may_refer: AtomicBool::new(may_refer), is_suspect }
    }

    /// How often a call has begun or ended.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Runs a call, which may have brought references.
    pub(super) fn during_call<R>(&self, brings_references: bool, run: impl FnOnce() -> R) -> R {
        if brings_references {
            self.may_refer.store(true, Ordering::Relaxed);
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let value = run();
        self.calls.fetch_add(1, Ordering::SeqCst);
        value
    }

    /// What drops a reference says so before: others may be left that come from the object itself.
    pub(crate) fn is_let_go(self: &Arc<Entry>) {
        if self.may_refer.load(Ordering::Relaxed)
            && Arc::strong_count(self) > 1
            && !self.is_suspect.swap(true, Ordering::Relaxed)
        {
            burial::suspect(Arc::clone(self));
        }
    }

    /// It is looked at now; what is let go of from now on makes it a suspect again.
    pub(super) fn clear_suspicion(&self) {
        self.is_suspect.store(false, Ordering::Relaxed);
    }

    /// It is known to be garbage, and never looked at again.
    pub(super) fn end_suspicion(&self) {
        self.is_suspect.store(true, Ordering::Relaxed);
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.id
    }

    pub(crate) fn server(&self) -> ServerId {
        Host::here().id()
    }

    pub(crate) fn object(&self) -> &dyn Hosted {
        &*self.object
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        Host::here().forget(self.id);
        burial::bury(mem::replace(&mut self.object, Box::new(burial::Nothing)));
    }
}

impl Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} ({})", self.id, self.object.type_name())
    }
}
