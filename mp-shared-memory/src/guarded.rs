//! [`Guarded`]: values in shared memory that belong to one lock.
//!
//! What the lock's holder sees as plain references must not be reached in any other way: so these bytes are of
//! a kind of their own, which no raw handle opens, and before them stands which lock it is, so that a
//! handle which was put together from the parts of two is found out.

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::atomic::AtomicU8;

use bytemuck::{Pod, Zeroable};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bytes::Bytes;
use crate::error::SharedMemoryError as Error;
use crate::object::ObjectId;
use crate::raw::MAX_ALIGN;
use crate::region::{self, Kind};

/// Bytes that only the holder of a lock touches.
const GUARDED: Kind = u32::from_le_bytes(*b"guar");

/// What stands before the values.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Head {
    nonce: u64,
    block: u32,
    generation: u32,
}

/// Where the values begin: aligned as all of them may be.
const VALUES_AT: usize = MAX_ALIGN;

/// Values in shared memory that are touched under one lock only; clones are handles to the same.
///
/// This is for authors of locks: all methods that touch the values leave it to the caller to hold the lock. Without
/// it they see and leave mixtures of old and new, as [`RawArray`](crate::RawArray) does; they are never undefined.
pub struct Guarded<T> {
    bytes: Bytes<GUARDED>,
    values: PhantomData<T>,
}

impl<T: Pod> Guarded<T> {
    /// New memory with these values, for a lock.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is no memory for it.
    #[track_caller]
    pub fn new(values: &[T], lock: ObjectId) -> Result<Guarded<T>, Error> {
        let guarded = Guarded::zeroed(values.len(), lock)?;
        region::store(guarded.values(), bytemuck::cast_slice(values));
        Ok(guarded)
    }

    /// New memory with `len` values of zero bytes, for a lock.
    ///
    /// # Errors
    ///
    /// As [`new`](Guarded::new), and [`InvalidSize`](Error::InvalidSize) for what no memory can hold.
    #[track_caller]
    pub fn zeroed(len: usize, lock: ObjectId) -> Result<Guarded<T>, Error> {
        let size = len.checked_mul(size_of::<T>()).and_then(|size| size.checked_add(VALUES_AT));
        let bytes = Bytes::create(size.ok_or(Error::InvalidSize { size: u64::MAX })?)?;
        let ObjectId { nonce, block, generation } = lock;
        let head = Head { nonce, block, generation };
        region::store(&bytes.get()[..size_of::<Head>()], bytemuck::bytes_of(&head));
        Guarded::of(bytes)
    }

    fn of(bytes: Bytes<GUARDED>) -> Result<Guarded<T>, Error> {
        const { assert!(align_of::<T>() <= MAX_ALIGN, "shared memory is aligned to 64 bytes") };
        const { assert!(size_of::<T>() > 0, "a value without bytes cannot be shared") };
        let len = bytes.get().len().checked_sub(VALUES_AT);
        if !len.is_some_and(|len| len.is_multiple_of(size_of::<T>())) {
            return Err(Error::foreign("its length is not that of such values"));
        }
        Ok(Guarded { bytes, values: PhantomData })
    }

    /// The lock that the values belong to.
    pub fn lock(&self) -> ObjectId {
        let mut head = Head::zeroed();
        let bytes = &self.bytes.get()[..size_of::<Head>()];
        region::load(bytes, bytemuck::bytes_of_mut(&mut head));
        let Head { nonce, block, generation } = head;
        ObjectId { nonce, block, generation }
    }

    /// What tells the values from all others.
    pub fn id(&self) -> ObjectId {
        self.bytes.id()
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.values().len() / size_of::<T>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value; `None` beyond the last.
    pub fn get(&self, index: usize) -> Option<T> {
        let mut value = T::zeroed();
        region::load(self.value(index)?, bytemuck::bytes_of_mut(&mut value));
        Some(value)
    }

    /// Stores a value; `None` beyond the last.
    pub fn set(&self, index: usize, value: T) -> Option<()> {
        region::store(self.value(index)?, bytemuck::bytes_of(&value));
        Some(())
    }

    /// A copy of all values.
    pub fn to_vec(&self) -> Vec<T> {
        let mut values = vec![T::zeroed(); self.len()];
        region::load(self.values(), bytemuck::cast_slice_mut(&mut values));
        values
    }

    fn value(&self, index: usize) -> Option<&[AtomicU8]> {
        let start = index.checked_mul(size_of::<T>())?;
        self.values().get(start..start.checked_add(size_of::<T>())?)
    }

    /// See [`Object::token`](crate::Object::token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token(&self) -> Result<String, Error> {
        self.bytes.token()
    }

    /// See [`Object::from_token`](crate::Object::from_token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<Guarded<T>, Error> {
        Guarded::of(Bytes::from_token(token)?)
    }
}

impl<T> Guarded<T> {
    pub(crate) fn values(&self) -> &[AtomicU8] {
        &self.bytes.get()[VALUES_AT..]
    }
}

impl<T> Clone for Guarded<T> {
    fn clone(&self) -> Guarded<T> {
        Guarded { bytes: self.bytes.clone(), values: PhantomData }
    }
}

impl<T: Pod> Debug for Guarded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guarded({} of {})", self.len(), std::any::type_name::<T>())
    }
}

impl<T> Serialize for Guarded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for Guarded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Guarded<T>, D::Error> {
        Guarded::of(Bytes::deserialize(deserializer)?)
            .map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawArray;

    #[test]
    fn guarded_bytes_are_opened_as_such_only() {
        let lock = ObjectId { nonce: 1, block: 2, generation: 3 };
        for len in [3, 100_000] {
            let guarded = Guarded::<u32>::zeroed(len, lock).unwrap();
            guarded.set(2, 7).unwrap();
            assert!(guarded.set(len, 7).is_none() && guarded.get(usize::MAX).is_none());
            let same = Guarded::<u32>::from_token(&guarded.token().unwrap()).unwrap();
            assert_eq!((same.lock(), same.len(), same.get(2)), (lock, len, Some(7)));
            let message = mp_reduction::encode(&guarded).unwrap();
            assert_eq!(message.decode::<Guarded<u32>>().unwrap().id(), guarded.id());
            message.decode::<RawArray<u32>>().unwrap_err();
            RawArray::<u32>::from_token(&guarded.token().unwrap()).unwrap_err();
            let raw = RawArray::<u32>::zeroed(len + 16).unwrap();
            mp_reduction::encode(&raw).unwrap().decode::<Guarded<u32>>().unwrap_err();
        }
    }
}
