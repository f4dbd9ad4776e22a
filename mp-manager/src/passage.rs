//! References in values that cross: which come along with a message of a server and its client, and which came.
//!
//! A proxy inside of a value cannot see the message around it: serde hands it a serializer and nothing else. So the
//! references of the message that is being made or read are kept per thread, as `mp_reduction::transfer` does with
//! descriptors; while a value encodes another message, that one takes its place.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::mem::ManuallyDrop;
use std::rc::Rc;

use mp_reduction::transfer;

use crate::id::{ObjectId, ServerId};
use crate::reference::Reference;

// Between messages there is nothing in them that would have to be dropped, so they can be used in the last destructors of
// a thread.
thread_local! {
    static LEAVING: ManuallyDrop<Cell<Option<Leaving>>> =
        const { ManuallyDrop::new(Cell::new(None)) };
    static ARRIVED: ManuallyDrop<Cell<Option<Rc<Arrived>>>> =
        const { ManuallyDrop::new(Cell::new(None)) };
}

/// A message between a server and a client of it that is being made.
struct Leaving {
    server: ServerId,
    /// Which of the messages that are being made it is.
    nesting: u32,
    references: Vec<Reference>,
    /// The objects among them, once there are many.
    known: HashSet<ObjectId>,
}

/// The references that came with a message.
struct Arrived {
    references: Vec<Reference>,
    /// Where an object is among them, if there are many.
    places: HashMap<(ServerId, ObjectId), usize>,
}

/// So few are searched faster than they are entered anywhere.
const FEW: usize = 16;

/// Runs `encode`, and gives the references to objects of `server` in what it encoded.
pub(crate) fn collect<R>(server: ServerId, encode: impl FnOnce() -> R) -> (R, Vec<Reference>) {
    /// Puts the message around it back, also when `encode` panics.
    struct Making(Option<Leaving>);

    impl Drop for Making {
        fn drop(&mut self) {
            drop(LEAVING.with(|leaving| leaving.replace(self.0.take())));
        }
    }

    let (references, known) = (Vec::new(), HashSet::new());
    let leaving = Leaving { server, nesting: transfer::nesting() + 1, references, known };
    let _making = Making(LEAVING.with(|place| place.replace(Some(leaving))));
    let value = encode();
    let leaving = LEAVING.with(|place| place.take());
    (value, leaving.map(|leaving| leaving.references).unwrap_or_default())
}

/// Has a reference come along with the message that is being made, if it goes to the server of the object or comes from
/// there.
pub(crate) fn comes_along(reference: &Reference) -> bool {
    let Some(mut leaving) = LEAVING.with(|place| place.take()) else { return false };
    let is_here = leaving.server == reference.server() && leaving.nesting == transfer::nesting();
    if is_here {
        leaving.add(reference);
    }
    LEAVING.with(|place| place.set(Some(leaving)));
    is_here
}

impl Leaving {
    fn add(&mut self, reference: &Reference) {
        let object = reference.object();
        if self.references.len() < FEW {
            if !self.references.iter().any(|known| known.object() == object) {
                self.references.push(reference.clone());
            }
            return;
        }
        if self.known.is_empty() {
            self.known = self.references.iter().map(Reference::object).collect();
        }
        if self.known.insert(object) {
            self.references.push(reference.clone());
        }
    }
}

/// Runs `decode` while [`arrived`] finds these references.
pub(crate) fn provide<R>(references: &[Reference], decode: impl FnOnce() -> R) -> R {
    struct Reading(Option<Rc<Arrived>>);

    impl Drop for Reading {
        fn drop(&mut self) {
            drop(ARRIVED.with(|arrived| arrived.replace(self.0.take())));
        }
    }

    let places = if references.len() <= FEW {
        HashMap::new()
    } else {
        let key = |reference: &Reference| (reference.server(), reference.object());
        references.iter().enumerate().map(|(place, one)| (key(one), place)).collect()
    };
    let new = Rc::new(Arrived { references: references.to_vec(), places });
    let _reading = Reading(ARRIVED.with(|arrived| arrived.replace(Some(new))));
    decode()
}

/// The reference to an object that came along with the message that is being read.
pub(crate) fn arrived(server: ServerId, object: ObjectId) -> Option<Reference> {
    let all = ARRIVED.with(|arrived| arrived.take())?;
    ARRIVED.with(|arrived| arrived.set(Some(Rc::clone(&all))));
    if all.references.len() > FEW {
        return all.places.get(&(server, object)).map(|place| all.references[*place].clone());
    }
    let mut matching = all.references.iter();
    matching.find(|known| known.object() == object && known.server() == server).cloned()
}
