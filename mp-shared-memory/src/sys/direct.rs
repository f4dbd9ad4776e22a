//! Plain references into shared memory, for a caller who keeps everybody else out.
//!
//! # Safety
//!
//! The memory is mapped while its handle lives, aligned to 64 bytes, and as long as its type demands, all of
//! which `RawValue::of`, `RawArray::of` and `SharedMemory` have seen to. That nobody stores meanwhile
//! is the caller's part.
#![expect(unsafe_code, reason = "references into shared memory are promises of the caller")]

use std::sync::atomic::AtomicU8;

use bytemuck::Pod;

use crate::guarded::Guarded;
use crate::raw::{RawArray, RawValue};
use crate::shared_memory::SharedMemory;

impl<T: Pod> RawValue<T> {
    /// Where the value lies in this process: valid and aligned as long as a handle of this process
    /// lives.
    ///
    /// Storing through it, and loading, is up to the caller: what is not excluded by a lock of the caller's
    /// is a data race.
    pub fn as_ptr(&self) -> *mut T {
        pointer(self.bytes()).cast()
    }

    /// The value itself.
    ///
    /// # Safety
    ///
    /// As long as the reference lives no process stores there, in any way.
    pub unsafe fn as_ref(&self) -> &T {
        // SAFETY: valid as the file's head says; the caller excludes stores.
        unsafe { &*self.as_ptr() }
    }

    /// The value itself, to be changed.
    ///
    /// # Safety
    ///
    /// As long as the reference lives no process loads or stores there in any other way, by another
    /// handle or another call for a reference either: whoever calls this holds a lock that all others
    /// respect.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for it")]
    pub unsafe fn as_mut(&self) -> &mut T {
        // SAFETY: valid as the file's head says; the caller excludes everybody else.
        unsafe { &mut *self.as_ptr() }
    }
}

impl<T: Pod> RawArray<T> {
    /// Where the first element lies in this process; see [`RawValue::as_ptr`].
    pub fn as_ptr(&self) -> *mut T {
        pointer(self.bytes()).cast()
    }

    /// The elements themselves.
    ///
    /// # Safety
    ///
    /// As [`RawValue::as_ref`].
    pub unsafe fn as_slice(&self) -> &[T] {
        // SAFETY: valid as the file's head says; the caller excludes stores.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }

    /// The elements themselves, to be changed.
    ///
    /// # Safety
    ///
    /// As [`RawValue::as_mut`].
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for it")]
    pub unsafe fn as_mut_slice(&self) -> &mut [T] {
        // SAFETY: valid as the file's head says; the caller excludes everybody else.
        unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.len()) }
    }
}

impl<T: Pod> Guarded<T> {
    /// Where the first value lies in this process; see [`RawValue::as_ptr`].
    pub fn as_ptr(&self) -> *mut T {
        pointer(self.values()).cast()
    }
}

impl SharedMemory {
    /// The bytes themselves.
    ///
    /// # Safety
    ///
    /// As long as the slice lives no process, and no other handle or call in this one, loads or stores
    /// there in any other way.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for it")]
    pub unsafe fn buf(&self) -> &mut [u8] {
        let bytes = self.bytes();
        // SAFETY: valid as the file's head says; the caller excludes everybody else.
        unsafe { std::slice::from_raw_parts_mut(pointer(bytes), bytes.len()) }
    }
}

/// The address of shared bytes; storing there is allowed, for they are atomics.
fn pointer(bytes: &[AtomicU8]) -> *mut u8 {
    bytes.as_ptr().cast_mut().cast()
}
