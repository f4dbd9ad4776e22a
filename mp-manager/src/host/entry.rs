//! [`Entry`]: an object of this process, for as long as anything refers to it.

use std::fmt::{self, Debug};
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Weak};

use crate::host::{Host, burial, collector};
use crate::hosted::Hosted;
use crate::id::{ObjectId, ServerId};

/// An object, and its number. Who has a clone of its `Arc` keeps it alive: an account of a client, a message on its way, a
/// container, a proxy in this process. They have it in a [`Reference`](crate::reference::Reference), whose end is noticed.
pub(crate) struct Entry {
    id: ObjectId,
    object: Box<dyn Hosted>,
    /// The beginnings and the ends of its calls.
    calls: AtomicU64,
    suspicion: Arc<Suspicion>,
}

/// Whether an object may be garbage, which is also asked after a reference to it has gone.
struct Suspicion {
    entry: Weak<Entry>,
    /// Whether it may have references in it. Once it may, it always may.
    may_refer: AtomicBool,
    /// Whether it will be looked at.
    is_suspect: AtomicBool,
}

thread_local! {
    /// Takes the place of an object that was let go of.
    static NOBODY: Arc<Entry> = Entry::make(ObjectId::SERVER, Box::new(burial::Nothing));
}

impl Entry {
    pub(super) fn make(id: ObjectId, object: Box<dyn Hosted>) -> Arc<Entry> {
        let mut may_refer = false;
        object.contents(&mut |payload| may_refer |= !payload.references.is_empty());
        Arc::new_cyclic(|entry| {
            let (may_refer, is_suspect) = (AtomicBool::new(may_refer), AtomicBool::new(false));
            let suspicion = Suspicion { entry: Weak::clone(entry), may_refer, is_suspect };
            Entry { id, object, calls: AtomicU64::new(0), suspicion: Arc::new(suspicion) }
        })
    }

    /// How often a call has begun or ended.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Runs a call, which may have brought references.
    pub(super) fn during_call<R>(&self, brings_references: bool, run: impl FnOnce() -> R) -> R {
        if brings_references {
            self.suspicion.may_refer.store(true, Ordering::Relaxed);
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let value = run();
        self.calls.fetch_add(1, Ordering::SeqCst);
        value
    }

    /// Ends a reference. If others are left, they may come from the object itself: then it becomes a suspect, *after* this
    /// one has gone, so that who looks at it does not see that any more.
    pub(crate) fn let_go(reference: &mut Arc<Entry>) {
        if Arc::strong_count(reference) == 1 {
            // The object ends with it.
            return;
        }
        let suspicion = Arc::clone(&reference.suspicion);
        let nobody = NOBODY.try_with(Arc::clone);
        let nobody =
            nobody.unwrap_or_else(|_| Entry::make(ObjectId::SERVER, Box::new(burial::Nothing)));
        drop(mem::replace(reference, nobody));
        // Whoever let go before has told before whether the object may refer to something.
        fence(Ordering::Acquire);
        // If it is a suspect already, who looks at it next sees what happened before this.
        if suspicion.may_refer.load(Ordering::Relaxed)
            && !suspicion.is_suspect.swap(true, Ordering::AcqRel)
            && let Some(entry) = suspicion.entry.upgrade()
        {
            collector::suspect(entry);
        }
    }

    /// It is looked at now; what is let go of from now on makes it a suspect again.
    pub(super) fn clear_suspicion(&self) {
        self.suspicion.is_suspect.swap(false, Ordering::AcqRel);
    }

    /// It is to be looked at again; gives whether nobody else has seen to that.
    pub(super) fn renew_suspicion(&self) -> bool {
        !self.suspicion.is_suspect.swap(true, Ordering::AcqRel)
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
        if self.id == ObjectId::SERVER {
            return;
        }
        Host::here().forget(self.id, self.object.cares_for());
        burial::bury(mem::replace(&mut self.object, Box::new(burial::Nothing)));
    }
}

impl Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} ({})", self.id, self.object.type_name())
    }
}
