//! Blocks with a name: files in `/dev/shm`, mapped through the crate `shared_memory`.
//!
//! A block is made without a name, reserved and locked by its maker, and only then linked to its name:
//! whoever finds the name finds it complete. The name is its maker's: when that ends without
//! having unlinked it, somebody else does, which [`maker`] and [`abandoned`] see to. Memory stays for
//! those who have it mapped, as that of any file does.
//!
//! Names are one space for all programs of the machine, so a name that is looked up twice may be that of two
//! blocks; an [`Identity`] tells.

pub(crate) mod abandoned;
mod file;
mod maker;

use std::sync::atomic::AtomicU8;

use crate::error::SharedMemoryError as Error;
use crate::segment;
use crate::sys::named_map::NamedMap;

pub(crate) use file::Identity;

/// The longest name, in bytes: what the system's limit leaves with what C libraries put around it.
pub(crate) const MAX_NAME_LEN: usize = 250;
/// How often a name is looked up that is given to other memory meanwhile.
const TRIES: u32 = 100;

/// A named block, mapped.
#[derive(Debug)]
pub(crate) struct Named {
    name: String,
    identity: Identity,
    map: NamedMap,
}

impl Named {
    /// Makes a block of `len` bytes that begin with `contents`, the rest zero.
    pub(crate) fn create(name: &str, len: usize, contents: &[u8]) -> Result<Named, Error> {
        check(name)?;
        if len == 0 {
            return Err(Error::InvalidSize { size: 0 });
        }
        abandoned::remove();
        if abandoned::is_in_use(name)? {
            return Err(Error::Exists { name: name.to_owned() });
        }
        let file = file::make(len as u64, contents)?;
        let identity = file::examine(&file)?.identity;
        maker::prepare();
        file::link(&file, name, len as u64)?;
        maker::add(name, identity, file);
        let named = Named::open_as(name, Some(identity));
        if named.is_err() {
            // The caller will never have it: its address space is full, say.
            let _gone = file::unlink(name, identity);
            maker::forget(identity);
        }
        named
    }

    /// Maps the block that has the name now.
    pub(crate) fn open(name: &str) -> Result<Named, Error> {
        Named::open_as(name, None)
    }

    /// Maps the block that has the name, if it is `expected`.
    pub(crate) fn open_as(name: &str, expected: Option<Identity>) -> Result<Named, Error> {
        check(name)?;
        let not_found = || Error::NotFound { name: name.to_owned() };
        for _ in 0..TRIES {
            let file = file::open(name)?.ok_or_else(not_found)?;
            let found = file::examine(&file)?;
            if expected.is_some_and(|expected| expected != found.identity) {
                return Err(not_found());
            }
            file::reserve_rest(&file, &found)?;
            let map = NamedMap::open(name).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => not_found(),
                _ => segment::no_space(found.len, error),
            })?;
            // The crate opened it a second time, by name: was it the same?
            if file::identity_of(name)? == Some(found.identity) {
                return Ok(Named { name: name.to_owned(), identity: found.identity, map });
            }
        }
        Err(not_found())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.map.bytes()
    }

    /// Takes the name away.
    pub(crate) fn unlink(&self) -> Result<(), Error> {
        let is_done = file::unlink(&self.name, self.identity)?;
        maker::forget(self.identity);
        if is_done { Ok(()) } else { Err(Error::NotFound { name: self.name.clone() }) }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        maker::prune();
    }
}

fn check(name: &str) -> Result<(), Error> {
    let reason = match name {
        "" => "it is empty",
        "." | ".." => "it is a folder",
        _ if name.contains('/') => "it contains a slash",
        _ if name.contains('\0') => "it contains a zero byte",
        _ if name.len() > MAX_NAME_LEN => "it is longer than 250 bytes",
        _ => return Ok(()),
    };
    Err(Error::InvalidName { name: name.to_owned(), reason })
}
