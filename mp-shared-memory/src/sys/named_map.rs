//! Named memory in the address space of this process, as the crate `shared_memory` maps it.
//!
//! # Safety
//!
//! The mapping lives as long as its owner here, which shows it as atomics only. That it does not
//! shrink is up to those who know the name.
#![expect(unsafe_code, reason = "the crate gives an address and a length")]

use std::fmt::{self, Debug};
use std::io;
use std::sync::atomic::AtomicU8;

use shared_memory::{Shmem, ShmemConf, ShmemError};

/// # Invariants
///
/// - **mapped**: `Shmem` keeps `len()` readable, writable bytes from `as_ptr()` on while `self` lives,
///   and is never asked for anything else.
pub(crate) struct NamedMap(Shmem);

// SAFETY: the addresses are valid in every thread, and all accesses are atomic.
unsafe impl Send for NamedMap {}
// SAFETY: as above.
unsafe impl Sync for NamedMap {}

impl NamedMap {
    /// Maps what has this name; it is not unlinked when this is dropped.
    pub(crate) fn open(name: &str) -> io::Result<NamedMap> {
        match ShmemConf::new().os_id(name).open() {
            Ok(map) => Ok(NamedMap(map)),
            Err(ShmemError::MapOpenFailed(code) | ShmemError::UnknownOsError(code)) => {
                Err(io::Error::from_raw_os_error(code.cast_signed()))
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: *mapped*; an atomic byte has no other requirement.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<AtomicU8>(), self.0.len()) }
    }
}

impl Debug for NamedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedMap({} bytes)", self.0.len())
    }
}
