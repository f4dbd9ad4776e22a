//! References in values that cross: which come along with a message of a server and its client, and which came.
//!
//! A proxy inside of a value cannot see the message around it: serde hands it a serializer and nothing else. So the
//! references of the message that is being made or read are kept per thread, as `mp_reduction::transfer` does with
//! descriptors; while a value encodes another message, that one takes its place.

use std::cell::RefCell;

use mp_reduction::transfer;

use crate::id::{ObjectId, ServerId};
use crate::reference::Reference;

thread_local! {
    static LEAVING: RefCell<Vec<Leaving>> = const { RefCell::new(Vec::new()) };
    static ARRIVED: RefCell<Vec<Vec<Reference>>> = const { RefCell::new(Vec::new()) };
}

/// A message between a server and a client of it that is being made.
struct Leaving {
    server: ServerId,
    /// Which of the messages that are being made it is.
    nesting: u32,
    references: Vec<Reference>,
}

/// Runs `encode`, and gives the references to objects of `server` in what it encoded.
pub(crate) fn collect<R>(server: ServerId, encode: impl FnOnce() -> R) -> (R, Vec<Reference>) {
    /// Ends it, also when `encode` panics.
    struct Making;

    impl Drop for Making {
        fn drop(&mut self) {
            drop(LEAVING.with_borrow_mut(Vec::pop));
        }
    }

    let leaving = Leaving { server, nesting: transfer::nesting() + 1, references: Vec::new() };
    LEAVING.with_borrow_mut(|all| all.push(leaving));
    let _making = Making;
    let value = encode();
    let references = LEAVING
        .with_borrow_mut(|all| all.last_mut().map(|last| std::mem::take(&mut last.references)));
    (value, references.unwrap_or_default())
}

/// Has a reference come along with the message that is being made, if it goes to the server of the object or comes from
/// there.
pub(crate) fn comes_along(reference: &Reference) -> bool {
    LEAVING.with_borrow_mut(|all| match all.last_mut() {
        Some(last) if last.server == reference.server() && last.nesting == transfer::nesting() => {
            let id = reference.object();
            if !last.references.iter().any(|known| known.object() == id) {
                last.references.push(reference.clone());
            }
            true
        }
        _ => false,
    })
}

/// Runs `decode` while [`arrived`] finds these references.
pub(crate) fn provide<R>(references: &[Reference], decode: impl FnOnce() -> R) -> R {
    struct Reading;

    impl Drop for Reading {
        fn drop(&mut self) {
            drop(ARRIVED.with_borrow_mut(Vec::pop));
        }
    }

    ARRIVED.with_borrow_mut(|all| all.push(references.to_vec()));
    let _reading = Reading;
    decode()
}

/// The reference to an object that came along with the message that is being read.
pub(crate) fn arrived(server: ServerId, object: ObjectId) -> Option<Reference> {
    ARRIVED.with_borrow(|all| {
        let last = all.last()?;
        let mut matching = last.iter();
        matching.find(|known| known.object() == object && known.server() == server).cloned()
    })
}
