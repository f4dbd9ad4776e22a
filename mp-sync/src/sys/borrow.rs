//! Plain values in shared memory, seen by whoever holds the lock.
//!
//! # Safety
//!
//! A [`Borrowed`] is made under a lock that no other process or thread can take or release while its guard
//! lives (only leaked locks can be released without their guard), and one thread makes no second for the
//! same memory: each memory is noted while it is borrowed. [`Guarded`] memory belongs to one lock, which a handle
//! made of other parts does not get by, and is reached in no other way. So the reference is exclusive. Its type is
//! `Pod`: whatever a process that was killed has left is a value.
#![expect(unsafe_code, reason = "shared memory is seen as plain values under its lock")]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use mp_shared_memory::{Guarded, ObjectId};

thread_local! {
    /// What this thread has borrowed, and under which lock.
    static BORROWED: RefCell<Vec<(ObjectId, ObjectId)>> = const { RefCell::new(Vec::new()) };
}

/// An exclusive view of values in shared memory, for as long as the lock is held.
#[derive(Debug)]
pub(crate) struct Borrowed<'a, T> {
    first: *mut T,
    len: usize,
    id: ObjectId,
    /// Bound to the lock, and to the thread that noted it.
    _bound: PhantomData<&'a mut T>,
}

/// The values as `&mut`, while the caller holds the lock that they belong to; `None` if this thread has
/// borrowed them already.
pub(crate) fn borrow<T: Pod>(values: &Guarded<T>) -> Option<Borrowed<'_, T>> {
    let id = values.id();
    if is_borrowed(id) {
        return None;
    }
    BORROWED.with_borrow_mut(|borrowed| borrowed.push((id, values.lock())));
    Some(Borrowed { first: values.as_ptr(), len: values.len(), id, _bound: PhantomData })
}

/// Whether this thread has borrowed these values.
pub(crate) fn is_borrowed(id: ObjectId) -> bool {
    BORROWED.with_borrow(|borrowed| borrowed.iter().any(|(other, _)| *other == id))
}

/// Whether this thread has borrowed anything under this lock: then it must not give it up for a wait.
pub(crate) fn is_borrowed_under(lock: ObjectId) -> bool {
    BORROWED.with_borrow(|borrowed| borrowed.iter().any(|(_, other)| *other == lock))
}

impl<T: Pod> Deref for Borrowed<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: mapped while the handle is borrowed; see the head of the file.
        unsafe { std::slice::from_raw_parts(self.first, self.len) }
    }
}

impl<T: Pod> DerefMut for Borrowed<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and it is noted only once, so this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.first, self.len) }
    }
}

impl<T> Drop for Borrowed<'_, T> {
    fn drop(&mut self) {
        BORROWED.with_borrow_mut(|borrowed| borrowed.retain(|(other, _)| *other != self.id));
    }
}
