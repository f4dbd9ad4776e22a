//! What belongs to encoded bytes and cannot be bytes.

use std::os::fd::OwnedFd;
use std::sync::Arc;

/// The descriptors that belong to an encoded value, in order; clones are the same descriptors.
///
/// The last clone closes them. A value without any, as most are, costs nothing here.
#[derive(Clone, Debug, Default)]
pub struct Attachments(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    descriptors: Vec<OwnedFd>,
    /// Sorted, each once.
    parts: Vec<Part>,
}

/// A byte of an attached file that is locked in shared mode while the message exists: it stands for an object in
/// shared memory, and says that a message contains it. See [`attach_shared`](crate::transfer::attach_shared).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    /// The index of the attachment.
    pub attachment: usize,
    /// The byte of its file.
    pub byte: u32,
}

impl Attachments {
    /// None.
    pub const NONE: Attachments = Attachments(None);

    pub(crate) fn new(descriptors: Vec<OwnedFd>, mut parts: Vec<Part>) -> Attachments {
        if descriptors.is_empty() {
            return Attachments::NONE;
        }
        parts.sort_unstable();
        parts.dedup();
        Attachments(Some(Arc::new(Inner { descriptors, parts })))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The descriptors.
    pub fn descriptors(&self) -> &[OwnedFd] {
        self.0.as_ref().map_or(&[], |inner| &inner.descriptors)
    }

    /// The bytes of them that are locked, in order and each once. Only what was just encoded has them: a
    /// message that was received keeps the descriptors, and with them the locks.
    pub fn parts(&self) -> &[Part] {
        self.0.as_ref().map_or(&[], |inner| &inner.parts)
    }
}

/// Descriptors that have come from elsewhere.
impl From<Vec<OwnedFd>> for Attachments {
    fn from(descriptors: Vec<OwnedFd>) -> Attachments {
        Attachments::new(descriptors, Vec::new())
    }
}
