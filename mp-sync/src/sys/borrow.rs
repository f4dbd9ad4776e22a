//! Plain values in shared memory, seen by whoever holds the lock.
//!
//! # Safety
//!
//! A [`Borrowed`] is made under a lock that no other process or thread can take or release while its guard
//! lives (only leaked locks can be released without their guard), and one thread makes no second for the
//! same memory: each memory is noted while it is borrowed. So the reference is exclusive. Its type is
//! `Pod`: whatever a process that was killed has left is a value.
#![expect(unsafe_code, reason = "shared memory is seen as plain values under its lock")]

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use mp_shared_memory::{RawArray, RawValue};

use crate::any_lock::AnyLock;

thread_local! {
    /// The addresses of what this thread has borrowed, and of the lock of each.
    static BORROWED: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

/// An exclusive view of values in shared memory, for as long as the lock is held.
#[derive(Debug)]
pub(crate) struct Borrowed<'a, T> {
    first: *mut T,
    len: usize,
    /// Bound to the lock, and to the thread that noted it.
    _bound: PhantomData<&'a mut T>,
}

/// The value as `&mut`, while the caller holds `lock`; `None` if this thread has borrowed it already.
pub(crate) fn value<'a, T: Pod>(value: &'a RawValue<T>, lock: &AnyLock) -> Option<Borrowed<'a, T>> {
    borrow(value.as_ptr(), 1, lock)
}

/// The elements as `&mut`, while the caller holds `lock`; `None` if this thread has borrowed them
/// already.
pub(crate) fn array<'a, T: Pod>(array: &'a RawArray<T>, lock: &AnyLock) -> Option<Borrowed<'a, T>> {
    borrow(array.as_ptr(), array.len(), lock)
}

fn borrow<'a, T: Pod>(first: *mut T, len: usize, lock: &AnyLock) -> Option<Borrowed<'a, T>> {
    if is_borrowed(first) {
        return None;
    }
    BORROWED.with_borrow_mut(|borrowed| borrowed.push((first.addr(), lock.address())));
    Some(Borrowed { first, len, _bound: PhantomData })
}

/// Whether this thread has borrowed the memory at `first`.
pub(crate) fn is_borrowed<T>(first: *const T) -> bool {
    BORROWED.with_borrow(|borrowed| borrowed.iter().any(|(address, _)| *address == first.addr()))
}

/// Whether this thread has borrowed anything under the lock at this address: then it must not give it
/// up for a wait.
pub(crate) fn is_borrowed_under(lock: usize) -> bool {
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
        let address = self.first.addr();
        BORROWED.with_borrow_mut(|borrowed| borrowed.retain(|(other, _)| *other != address));
    }
}
