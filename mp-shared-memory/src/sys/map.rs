//! A mapping of shared memory, seen as atomics only.
//!
//! # Safety
//!
//! A [`Map`] is the only owner of its addresses. What it shows are atomics, or types that
//! [`ShmLayout`] vouches for, so that whatever another process stores meanwhile is a value.
#![expect(unsafe_code, reason = "mapping memory has no safe binding")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use rustix::mm::{MapFlags, ProtFlags};

use crate::region::ShmLayout;

/// A shared memory object, or a part of one, in the address space of this process.
///
/// # Invariants
///
/// - **mapped**: `len` bytes from `base` on are readable while `self` lives, and backed by memory that cannot shrink: the
///   caller of [`Map::new`] has seen its seals or reserved it. They are writable, too, but in a map that is
///   [read only](Map::read_only), where a store is the end of the process.
/// - **aligned**: `base` is the start of a page.
#[derive(Debug)]
pub(crate) struct Map {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the addresses are valid in every thread, and all accesses are atomic.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps all of a memory object whose length cannot change.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: usize) -> io::Result<Map> {
        Map::window(fd, 0, len)
    }

    /// Maps a part of it, which starts at a page.
    pub(crate) fn window(fd: impl AsFd, offset: u64, len: usize) -> io::Result<Map> {
        Map::with(ProtFlags::READ | ProtFlags::WRITE, fd.as_fd(), offset, len)
    }

    /// Maps all of it for one who stores nothing.
    pub(crate) fn read_only(fd: BorrowedFd<'_>, len: usize) -> io::Result<Map> {
        Map::with(ProtFlags::READ, fd, 0, len)
    }

    fn with(protection: ProtFlags, fd: BorrowedFd<'_>, offset: u64, len: usize) -> io::Result<Map> {
        let anywhere = std::ptr::null_mut();
        let flags = MapFlags::SHARED;
        // SAFETY: the kernel chooses an address that nothing else uses.
        let base = unsafe { rustix::mm::mmap(anywhere, len, protection, flags, fd, offset) };
        let base = NonNull::new(base?.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Map { base, len })
    }

    /// Makes the system lay out a part of it in one go, that it would else do page by page when they are touched.
    pub(crate) fn populate(&self, offset: usize, len: usize) {
        if offset.checked_add(len).is_some_and(|end| end <= self.len) {
            let start = self.base.as_ptr().wrapping_add(offset).cast();
            // SAFETY: *mapped* and the check above, and no byte changes by it.
            // A kernel before 5.14 does not know it; nothing depends on it.
            let _advised =
                unsafe { rustix::mm::madvise(start, len, rustix::mm::Advice::LinuxPopulateWrite) };
        }
    }

    /// The object of type `T` at `offset`.
    ///
    /// # Panics
    ///
    /// If it does not lie in the mapping or is not aligned; offsets are checked where they come in.
    pub(crate) fn at<T: ShmLayout>(&self, offset: usize) -> &T {
        let end = offset.checked_add(size_of::<T>()).expect("an offset in a mapping");
        assert!(end <= self.len && offset.is_multiple_of(align_of::<T>()), "outside a mapping");
        let object = self.base.as_ptr().wrapping_add(offset).cast::<T>();
        // SAFETY: *mapped*, *aligned* and the check above make the reference valid, and `ShmLayout`
        // makes stores of other processes harmless.
        unsafe { &*object }
    }

    /// Bytes of it.
    ///
    /// # Panics
    ///
    /// If they do not lie in the mapping.
    pub(crate) fn bytes(&self, offset: usize, len: usize) -> &[AtomicU8] {
        let end = offset.checked_add(len).expect("a range in a mapping");
        assert!(end <= self.len, "outside a mapping");
        let start = self.base.as_ptr().wrapping_add(offset).cast::<AtomicU8>();
        // SAFETY: *mapped* and the check above; an atomic byte has no other requirement.
        unsafe { std::slice::from_raw_parts(start, len) }
    }
}

/// An object of a mapping together with what keeps that mapped.
///
/// # Invariants
///
/// - **kept**: `object` lies in the mapping that `keep` owns and never replaces.
pub(crate) struct View<T, O> {
    object: NonNull<T>,
    keep: Arc<O>,
}

// SAFETY: the object is `Sync`, as `ShmLayout` demands, and valid in every thread.
unsafe impl<T: ShmLayout, O: Send + Sync> Send for View<T, O> {}
// SAFETY: as above.
unsafe impl<T: ShmLayout, O: Send + Sync> Sync for View<T, O> {}

impl<T: ShmLayout, O: AsRef<Map>> View<T, O> {
    /// The object at `offset` of what `keep` has mapped.
    ///
    /// # Panics
    ///
    /// As [`Map::at`].
    pub(crate) fn new(keep: Arc<O>, offset: usize) -> View<T, O> {
        View { object: NonNull::from((*keep).as_ref().at::<T>(offset)), keep }
    }
}

impl<T: ShmLayout, O> View<T, O> {
    pub(crate) fn get(&self) -> &T {
        // SAFETY: *kept*, and the mapping has checked the place.
        unsafe { self.object.as_ref() }
    }

    pub(crate) fn keep(&self) -> &Arc<O> {
        &self.keep
    }
}

impl<T, O> Clone for View<T, O> {
    fn clone(&self) -> View<T, O> {
        View { object: self.object, keep: Arc::clone(&self.keep) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: *mapped*, and every reference that was given out borrowed `self`.
        let _unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
