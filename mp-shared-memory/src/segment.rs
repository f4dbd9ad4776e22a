//! Memory of its own for what is too long for an arena.
//!
//! Each process that has it mapped, and each message that contains it, holds a shared lock of its
//! first byte, so that whoever else has a descriptor can tell whether anybody still uses it.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use crate::error::SharedMemoryError as Error;
use crate::mapped::Mapped;
use crate::sys::lock::{self, Mode, Range};
use crate::sys::map::Map;
use crate::sys::memfd::{self, Identity};
use crate::sys::space;

/// What each user of the memory has locked, in shared mode.
pub(crate) const IN_USE: Range = Range::byte(0);

/// How a process has memory of its own in its address space.
pub(crate) trait Mapping: Sized + 'static {
    /// Maps as much as is mapped at once.
    fn new(fd: &OwnedFd, len: usize) -> Result<Self, Error>;

    /// The memory that is mapped in this way.
    fn table() -> &'static Mapped<Segment<Self>>;
}

/// Memory of its own, mapped once in a process.
#[derive(Debug)]
pub(crate) struct Segment<M: Mapping> {
    mapping: M,
    fd: OwnedFd,
    identity: Identity,
    len: usize,
}

/// Makes anonymous memory, all of it reserved.
pub(crate) fn reserve(name: &CStr, len: u64) -> Result<OwnedFd, Error> {
    space::check(len).map_err(|available| Error::NoSpace { asked: len, available })?;
    memfd::create(name, len).map_err(|error| no_space(len, error))
}

/// The error for a call that failed for `len` bytes.
pub(crate) fn no_space(len: u64, error: io::Error) -> Error {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, StorageFull};
    if matches!(error.kind(), FileTooLarge | OutOfMemory | StorageFull) {
        return Error::NoSpace { asked: len, available: space::available() };
    }
    Error::system("reserve shared memory")(error)
}

impl<M: Mapping> Segment<M> {
    /// The memory behind a descriptor, if it is `len` bytes long and cannot shrink.
    pub(crate) fn attach(fd: BorrowedFd<'_>, len: usize) -> Result<Arc<Segment<M>>, Error> {
        let examined = |error| Error::system("examine shared memory")(error);
        let identity = memfd::identity(fd).map_err(examined)?;
        if memfd::sealed_len(fd).map_err(examined)? != Some(len as u64) {
            return Err(Error::foreign("its memory has another length, or could shrink"));
        }
        M::table().get_or_map(identity, || {
            let fd = open_in_use(fd)?;
            let mapping = M::new(&fd, len)?;
            Ok(Segment { mapping, fd, identity, len })
        })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn mapping(&self) -> &M {
        &self.mapping
    }
}

impl<M: Mapping> Drop for Segment<M> {
    fn drop(&mut self) {
        M::table().forget(self.identity);
    }
}

/// All of it at once.
impl Mapping for Map {
    fn new(fd: &OwnedFd, len: usize) -> Result<Map, Error> {
        Map::new(fd.as_fd(), len).map_err(|error| no_space(len as u64, error))
    }

    fn table() -> &'static Mapped<Segment<Map>> {
        static MAPPED: Mapped<Segment<Map>> = Mapped::new();
        &MAPPED
    }
}

impl Segment<Map> {
    /// New memory, zero.
    pub(crate) fn create(len: usize) -> Result<Arc<Segment<Map>>, Error> {
        let fd = reserve(c"mp-memory", len as u64)?;
        Segment::attach(fd.as_fd(), len)
    }

    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        self.mapping.bytes(0, self.len)
    }
}

/// A description of its own, which counts as a user of the memory while it is open.
pub(crate) fn open_in_use(fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let fd = memfd::reopen(fd).map_err(Error::system("open shared memory"))?;
    lock::try_lock(&fd, IN_USE, Mode::Shared).map_err(Error::system("lock shared memory"))?;
    Ok(fd)
}
