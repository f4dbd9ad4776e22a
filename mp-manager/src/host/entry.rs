//! [`Entry`]: an object of this process, for as long as anything refers to it.

use std::fmt::{self, Debug};
use std::mem;

use crate::host::{Host, burial};
use crate::hosted::Hosted;
use crate::id::{ObjectId, ServerId};

/// An object, and its number. Who has a clone of its `Arc` keeps it alive: an account of a client, a message on its way, a
/// container, a proxy in this process.
pub(crate) struct Entry {
    id: ObjectId,
    object: Box<dyn Hosted>,
}

impl Entry {
    pub(super) fn new(id: ObjectId, object: Box<dyn Hosted>) -> Entry {
        Entry { id, object }
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
