//! One value, or an array of values, in shared memory, without a lock.
//!
//! A value crosses as its bytes: what is in memory is loaded as words and becomes a `T`, for which every
//! bit pattern is a value. What a lock holder may do besides is in
//! [`sys::direct`](crate::sys::direct).

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::sync::atomic::AtomicU8;

use bytemuck::Pod;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bytes::{Bytes, PLAIN};
use crate::error::SharedMemoryError as Error;
use crate::region;

/// The greatest alignment that shared memory gives.
pub(crate) const MAX_ALIGN: usize = 64;

/// A value in shared memory; clones are handles to the same value.
///
/// There is no lock: a value of 1, 2, 4 or 8 bytes is loaded and stored at once, a longer one may be
/// seen half old and half new while it is stored.
///
/// # When a process dies
///
/// The value stays as long as any handle, or any message with one in it. A process that is killed while
/// it stores a long value leaves a mixture of old and new.
///
/// # Examples
///
/// ```
/// use mp_shared_memory::RawValue;
///
/// let progress = RawValue::new(0.0_f64)?;
/// let message = mp_reduction::encode(&progress)?; // for another process
/// let same: RawValue<f64> = message.decode()?;
/// same.set(0.5);
/// assert_eq!(progress.get(), 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Differences from Python
///
/// The type of the value is a Rust type, so nothing wraps and nothing is converted. A structure
/// is one that derives `bytemuck::Pod`.
#[doc(alias = "Value")]
pub struct RawValue<T> {
    bytes: Bytes<PLAIN>,
    value: PhantomData<T>,
}

/// A fixed number of values in shared memory; clones are handles to the same array.
///
/// There is no lock: an element of 1, 2, 4 or 8 bytes is loaded and stored at once; a longer one, and
/// several elements together, may be seen half old and half new.
///
/// # When a process dies
///
/// As [`RawValue`].
///
/// # Examples
///
/// ```
/// use mp_shared_memory::RawArray;
///
/// let array = RawArray::new(&[1_u32, 2, 3])?;
/// let same = array.clone();
/// same.set(2, 30)?;
/// same.write(0, &[10, 20])?;
/// assert_eq!(array.to_vec(), [10, 20, 30]);
/// assert!(array.get(3).is_err());
/// # Ok::<(), mp_shared_memory::SharedMemoryError>(())
/// ```
#[doc(alias = "Array")]
pub struct RawArray<T> {
    bytes: Bytes<PLAIN>,
    value: PhantomData<T>,
}

impl<T: Pod> RawValue<T> {
    /// A new value.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is no memory for it.
    #[track_caller]
    pub fn new(value: T) -> Result<RawValue<T>, Error> {
        let new = RawValue::zeroed()?;
        new.set(value);
        Ok(new)
    }

    /// A new value, all of its bytes zero.
    ///
    /// # Errors
    ///
    /// As [`new`](RawValue::new).
    #[track_caller]
    pub fn zeroed() -> Result<RawValue<T>, Error> {
        RawValue::of(Bytes::create(size_of::<T>())?)
    }

    fn of(bytes: Bytes<PLAIN>) -> Result<RawValue<T>, Error> {
        const { assert!(align_of::<T>() <= MAX_ALIGN, "aligned to more than shared memory is") };
        if bytes.get().len() != size_of::<T>() {
            return Err(Error::foreign("it is a value of another size"));
        }
        Ok(RawValue { bytes, value: PhantomData })
    }

    /// The value now.
    pub fn get(&self) -> T {
        load(self.bytes.get())
    }

    /// Stores a value.
    pub fn set(&self, value: T) {
        region::store(self.bytes.get(), bytemuck::bytes_of(&value));
    }

    /// Whether both are handles to the same value.
    pub fn is_same(&self, other: &RawValue<T>) -> bool {
        self.bytes.is_same(&other.bytes)
    }

    /// A text from which any process of the same user on this machine can make a handle, while the
    /// value lives and the process at the root of the session does. The text itself keeps neither.
    ///
    /// # Errors
    ///
    /// [`SessionUnreachable`](Error::SessionUnreachable) when the root is gone or does not answer.
    pub fn token(&self) -> Result<String, Error> {
        self.bytes.token()
    }

    /// The handle that a [`token`](RawValue::token) stands for.
    ///
    /// # Errors
    ///
    /// [`Foreign`](Error::Foreign) for a text that is no token, or one of something that is not as long
    /// as a `T`; [`Gone`](Error::Gone) when the value is gone; and as `token`.
    pub fn from_token(token: &str) -> Result<RawValue<T>, Error> {
        RawValue::of(Bytes::from_token(token)?)
    }
}

impl<T: Pod> RawArray<T> {
    /// A new array with these elements.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is no memory for them; nothing is taken then.
    #[track_caller]
    pub fn new(elements: &[T]) -> Result<RawArray<T>, Error> {
        let new = RawArray::zeroed(elements.len())?;
        region::store(new.bytes.get(), bytemuck::cast_slice(elements));
        Ok(new)
    }

    /// A new array of `len` elements, all of their bytes zero.
    ///
    /// # Errors
    ///
    /// As [`new`](RawArray::new); [`InvalidSize`](Error::InvalidSize) when no memory could ever be as long.
    #[track_caller]
    pub fn zeroed(len: usize) -> Result<RawArray<T>, Error> {
        let size = len.checked_mul(size_of::<T>()).filter(|size| isize::try_from(*size).is_ok());
        RawArray::of(Bytes::create(size.ok_or(Error::InvalidSize { size: u64::MAX })?)?)
    }

    fn of(bytes: Bytes<PLAIN>) -> Result<RawArray<T>, Error> {
        const { assert!(align_of::<T>() <= MAX_ALIGN, "aligned to more than shared memory is") };
        const { assert!(size_of::<T>() > 0, "an array of elements without a size") };
        if !bytes.get().len().is_multiple_of(size_of::<T>()) {
            return Err(Error::foreign("it is an array of elements of another size"));
        }
        Ok(RawArray { bytes, value: PhantomData })
    }

    /// The number of elements; it never changes.
    pub fn len(&self) -> usize {
        self.bytes.get().len() / size_of::<T>()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`.
    ///
    /// # Errors
    ///
    /// [`Index`](Error::Index) beyond the last element.
    pub fn get(&self, index: usize) -> Result<T, Error> {
        Ok(load(self.element(index)?))
    }

    /// Stores element `index`.
    ///
    /// # Errors
    ///
    /// As [`get`](RawArray::get).
    pub fn set(&self, index: usize, value: T) -> Result<(), Error> {
        region::store(self.element(index)?, bytemuck::bytes_of(&value));
        Ok(())
    }

    fn element(&self, index: usize) -> Result<&[AtomicU8], Error> {
        let len = self.len();
        if index >= len {
            let index = isize::try_from(index).unwrap_or(isize::MAX);
            return Err(Error::Index { index, len });
        }
        Ok(&self.bytes.get()[index * size_of::<T>()..][..size_of::<T>()])
    }

    /// Copies the elements from `start` on into `to`.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](Error::OutOfBounds) if there are not as many; nothing is copied then.
    pub fn read(&self, start: usize, to: &mut [T]) -> Result<(), Error> {
        region::load(self.elements(start, to.len())?, bytemuck::cast_slice_mut(to));
        Ok(())
    }

    /// Copies `from` into the elements from `start` on.
    ///
    /// # Errors
    ///
    /// As [`read`](RawArray::read).
    pub fn write(&self, start: usize, from: &[T]) -> Result<(), Error> {
        region::store(self.elements(start, from.len())?, bytemuck::cast_slice(from));
        Ok(())
    }

    fn elements(&self, start: usize, len: usize) -> Result<&[AtomicU8], Error> {
        let in_bytes = |elements: usize| elements.saturating_mul(size_of::<T>());
        region::part(self.bytes.get(), in_bytes(start), in_bytes(len))
    }

    /// All elements.
    pub fn to_vec(&self) -> Vec<T> {
        let mut elements = vec![T::zeroed(); self.len()];
        region::load(self.bytes.get(), bytemuck::cast_slice_mut(&mut elements));
        elements
    }

    /// Whether both are handles to the same array.
    pub fn is_same(&self, other: &RawArray<T>) -> bool {
        self.bytes.is_same(&other.bytes)
    }

    /// A text for other processes; see [`RawValue::token`].
    ///
    /// # Errors
    ///
    /// As [`RawValue::token`].
    pub fn token(&self) -> Result<String, Error> {
        self.bytes.token()
    }

    /// The handle that a [`token`](RawArray::token) stands for.
    ///
    /// # Errors
    ///
    /// As [`RawValue::from_token`]; the length has to be a multiple of that of a `T`.
    pub fn from_token(token: &str) -> Result<RawArray<T>, Error> {
        RawArray::of(Bytes::from_token(token)?)
    }
}

fn load<T: Pod>(from: &[AtomicU8]) -> T {
    let mut value = T::zeroed();
    region::load(from, bytemuck::bytes_of_mut(&mut value));
    value
}

impl<T> RawValue<T> {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.bytes.get()
    }
}

impl<T> RawArray<T> {
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.bytes.get()
    }
}

impl<T> Clone for RawValue<T> {
    fn clone(&self) -> RawValue<T> {
        RawValue { bytes: self.bytes.clone(), value: PhantomData }
    }
}

impl<T> Clone for RawArray<T> {
    fn clone(&self) -> RawArray<T> {
        RawArray { bytes: self.bytes.clone(), value: PhantomData }
    }
}

impl<T: Pod + Debug> Debug for RawValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawValue").field(&self.get()).finish()
    }
}

impl<T: Pod> Debug for RawArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let element = std::any::type_name::<T>();
        write!(f, "RawArray({} of {element})", self.len())
    }
}

impl<T> Serialize for RawValue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<T> Serialize for RawArray<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de, T: Pod> Deserialize<'de> for RawValue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawValue<T>, D::Error> {
        RawValue::of(Bytes::deserialize(deserializer)?)
            .map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}

impl<'de, T: Pod> Deserialize<'de> for RawArray<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawArray<T>, D::Error> {
        RawArray::of(Bytes::deserialize(deserializer)?)
            .map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn v_09_no_elements_are_an_array_too() {
        let array = RawArray::<u64>::new(&[]).unwrap();
        assert!(array.is_empty() && array.to_vec().is_empty());
        assert!(matches!(array.get(0), Err(Error::Index { index: 0, len: 0 })));
        array.read(0, &mut []).unwrap();
        assert_eq!(RawValue::new(()).unwrap().get(), ());
    }

    #[test]
    fn sizes_beyond_all_memory_are_errors() {
        let error = RawArray::<u64>::zeroed(usize::MAX / 16).unwrap_err();
        assert!(matches!(error, Error::NoSpace { asked, .. } if asked == u64::MAX / 16 * 8));
        for len in [usize::MAX, usize::MAX / 8, usize::MAX / 8 + 1, usize::MAX / 9] {
            let error = RawArray::<u64>::zeroed(len).unwrap_err();
            assert!(matches!(error, Error::InvalidSize { .. } | Error::NoSpace { .. }), "{error}");
        }
    }

    #[test]
    fn v_08_beyond_the_end_is_an_error_and_changes_nothing() {
        let array = RawArray::new(&[1_u16, 2, 3]).unwrap();
        assert!(array.set(3, 9).is_err() && array.get(usize::MAX).is_err());
        assert!(array.write(2, &[8, 9]).is_err() && array.write(usize::MAX, &[8]).is_err());
        let mut four = [7; 4];
        assert!(array.read(0, &mut four).is_err());
        assert_eq!((array.to_vec(), four), (vec![1, 2, 3], [7; 4]));
    }

    #[test]
    fn v_16_the_greatest_alignment_is_that_of_a_cache_line() {
        #[derive(Clone, Copy, bytemuck::Zeroable)]
        #[repr(C, align(64))]
        struct Line([u64; 8]);
        for len in [1, 2, 300, 5000] {
            let array = RawArray::<u64>::zeroed(len).unwrap();
            assert!((array.bytes().as_ptr() as usize).is_multiple_of(align_of::<Line>()));
        }
    }

    #[test]
    fn what_is_shorter_or_longer_is_another_type() {
        let value = RawValue::new(7_u32).unwrap();
        let message = mp_reduction::encode(&value).unwrap();
        assert_eq!(message.decode::<RawValue<u32>>().unwrap().get(), 7);
        assert!(message.decode::<RawValue<u64>>().is_err());
        assert!(message.decode::<RawValue<u16>>().is_err());
        assert!(message.decode::<RawArray<u64>>().is_err());
        assert_eq!(message.decode::<RawArray<[u8; 2]>>().unwrap().len(), 2);
        let token = value.token().unwrap();
        assert!(RawValue::<u32>::from_token(&token).unwrap().is_same(&value));
        assert!(RawValue::<u64>::from_token(&token).is_err());
        assert!(RawArray::<[u8; 3]>::from_token(&token).is_err());
        assert!(RawArray::<u8>::from_token("mp1").is_err());
        assert!(serde_json::to_string(&value).is_err());
    }

    proptest! {
        #[test]
        fn an_array_is_what_a_vector_is(
            start in prop::collection::vec(any::<i32>(), 0..3000),
            writes in prop::collection::vec((0_usize..3000, prop::collection::vec(any::<i32>(), 0..9)), 0..20),
        ) {
            let (shared, mut model) = (RawArray::new(&start).unwrap(), start);
            for (at, elements) in writes {
                let fits = at + elements.len() <= model.len();
                prop_assert_eq!(shared.write(at, &elements).is_ok(), fits);
                if fits {
                    model[at..][..elements.len()].copy_from_slice(&elements);
                }
                let mut part = vec![0; elements.len()];
                prop_assert_eq!(shared.read(at, &mut part).is_ok(), fits);
                prop_assert!(!fits || part == elements);
                prop_assert_eq!(shared.get(at).ok(), model.get(at).copied());
            }
            prop_assert_eq!(shared.to_vec(), model);
        }
    }
}
