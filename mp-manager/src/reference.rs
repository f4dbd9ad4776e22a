//! [`Reference`]: what keeps an object alive.

use std::sync::Arc;

use crate::client::held::Held;
use crate::host::entry::Entry;
use crate::id::{ObjectId, ServerId};

/// One reference to an object; while there is any, anywhere, the object lives.
#[derive(Clone, Debug)]
pub(crate) enum Reference {
    /// The object lives in this process.
    Here(Arc<Entry>),
    /// The object lives elsewhere, and this process holds it.
    There(Arc<Held>),
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Reference::Here(entry) = self {
            Entry::let_go(entry);
        }
    }
}

impl Reference {
    /// What is referred to, if it lives in this process.
    pub(crate) fn here(&self) -> Option<&Arc<Entry>> {
        match self {
            Reference::Here(entry) => Some(entry),
            Reference::There(_) => None,
        }
    }

    pub(crate) fn server(&self) -> ServerId {
        match self {
            Reference::Here(entry) => entry.server(),
            Reference::There(held) => held.server().id(),
        }
    }

    pub(crate) fn object(&self) -> ObjectId {
        match self {
            Reference::Here(entry) => entry.id(),
            Reference::There(held) => held.object(),
        }
    }
}
