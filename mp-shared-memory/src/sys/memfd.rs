//! Anonymous memory behind a descriptor: made, opened again, and examined before it is trusted.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags};

use super::space;

/// Makes `len` bytes of memory, zero and reserved, that can never change its length.
pub(crate) fn create(name: &CStr, len: u64) -> io::Result<OwnedFd> {
    let fd = create_sparse(name, len)?;
    reserve(&fd, 0, len)?;
    Ok(fd)
}

/// Makes `len` bytes of memory that can never change its length, none of them reserved.
pub(crate) fn create_sparse(name: &CStr, len: u64) -> io::Result<OwnedFd> {
    space::check_file_limit(len)?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know of memory that must not be executed.
    let fd = rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    rustix::fs::ftruncate(&fd, len)?;
    rustix::fs::fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// Makes sure that there is memory behind a part; what had none is zero.
pub(crate) fn reserve(fd: impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    allocate(fd, FallocateFlags::empty(), offset, len)
}

/// Gives the memory behind a part back to the system.
pub(crate) fn release(fd: impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    allocate(fd, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, len)
}

fn allocate(fd: impl AsFd, flags: FallocateFlags, offset: u64, len: u64) -> io::Result<()> {
    loop {
        match rustix::fs::fallocate(&fd, flags, offset, len) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A description of its own for the same memory, without any locks.
pub(crate) fn reopen(fd: impl AsFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(File::options().read(true).write(true).open(path)?.into())
}

/// The length of memory that cannot shrink under a mapping; `None` for any other file.
pub(crate) fn sealed_len(fd: impl AsFd) -> io::Result<Option<u64>> {
    match rustix::fs::fcntl_get_seals(&fd) {
        Ok(seals) if seals.contains(SealFlags::SHRINK | SealFlags::GROW) => {
            Ok(u64::try_from(rustix::fs::fstat(&fd)?.st_size).ok())
        }
        Ok(_) | Err(rustix::io::Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether there is memory behind all of it.
pub(crate) fn is_reserved(fd: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    // The unit of `stat` is 512 bytes, whatever the file system has.
    Ok(stat.st_blocks.saturating_mul(512) >= stat.st_size)
}

/// What tells this memory from all other memory, and all files, that exist now: device and number.
pub(crate) type Identity = (u64, u64);

pub(crate) fn identity(fd: impl AsFd) -> io::Result<Identity> {
    let stat = rustix::fs::fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Eight bytes that nobody can guess.
pub(crate) fn random() -> io::Result<u64> {
    Ok(getrandom::u64()?)
}
