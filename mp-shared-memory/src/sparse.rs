//! [`SparseMemory`]: a long range of bytes of which only parts have memory behind them.
//!
//! The file has its full length from the start, so that growing and shrinking changes neither its length
//! nor what others have mapped, and no process has to be told of a new part. A part is mapped when
//! it is first touched, in windows that double in length, so a process that sees little of it
//! takes little of its address space.

use std::fmt::{self, Debug};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32};

use mp_reduction::Attachments;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::SharedMemoryError as Error;
use crate::mapped::Mapped;
use crate::object::ObjectId;
use crate::own_memory::{OwnMemory, OwnWire};
use crate::region::{self, Kind};
use crate::segment::{self, Mapping, Segment};
use crate::session::parking;
use crate::sys::map::Map;
use crate::sys::memfd;
use crate::sys::space;

const SPARSE: Kind = u32::from_le_bytes(*b"sprs");
/// The length of the first window; the second is as long, and each other twice as long as the one before.
const FIRST_WINDOW: usize = 8 << 20;
const WINDOWS: usize = 16;
/// The longest memory that the windows cover.
const MAX_LEN: usize = FIRST_WINDOW << (WINDOWS - 1);

/// A long range of bytes in shared memory of which only some parts take memory; clones are handles to the
/// same.
///
/// A part is [reserved](SparseMemory::reserve) before it is used and [released](SparseMemory::release)
/// after. Like an [`Object`](crate::Object), it goes into messages as a reference and lives as long as any handle.
/// This is for authors of objects that grow, such as the queues of `mp-queues`.
#[derive(Clone)]
pub struct SparseMemory(OwnMemory<Windows>);

/// The parts of it that this process has touched.
#[derive(Debug)]
struct Windows([OnceLock<Map>; WINDOWS]);

impl Mapping for Windows {
    fn new(_: &OwnedFd, len: usize) -> Result<Windows, Error> {
        if len > MAX_LEN {
            return Err(Error::foreign("its length is absurd"));
        }
        Ok(Windows([const { OnceLock::new() }; WINDOWS]))
    }

    fn table() -> &'static Mapped<Segment<Windows>> {
        static MAPPED: Mapped<Segment<Windows>> = Mapped::new();
        &MAPPED
    }
}

impl SparseMemory {
    /// New memory of `most` bytes, or of what the limits of this process leave of that but not less than
    /// `least`, none of it reserved.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there can be less than `least` bytes,
    /// [`InvalidSize`](Error::InvalidSize) for more than 256 GiB, and what the system says.
    #[track_caller]
    pub fn create(least: usize, most: usize) -> Result<SparseMemory, Error> {
        if most > MAX_LEN {
            return Err(Error::InvalidSize { size: most as u64 });
        }
        let len = space::file_limit().map_or(most, |limit| most.min(limit));
        if len < least {
            return Err(Error::NoSpace { asked: least as u64, available: len as u64 });
        }
        let fd = memfd::create_sparse(c"mp-queue", len as u64)
            .map_err(|error| segment::no_space(len as u64, error))?;
        OwnMemory::create(SPARSE, Segment::attach(fd.as_fd(), len)?).map(SparseMemory)
    }

    /// How many bytes there can be.
    pub fn len(&self) -> usize {
        self.0.segment().len()
    }

    /// Whether there can be none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What tells the memory from all other.
    pub fn id(&self) -> ObjectId {
        self.0.id()
    }

    /// Puts memory behind a part; bytes that had none are zero.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](Error::NoSpace) when there is none, [`OutOfBounds`](Error::OutOfBounds), and what the
    /// system says.
    pub fn reserve(&self, offset: usize, len: usize) -> Result<(), Error> {
        self.check(offset, len)?;
        let size = len as u64;
        space::check(size).map_err(|available| Error::NoSpace { asked: size, available })?;
        memfd::reserve(self.0.segment().fd(), offset as u64, size)
            .map_err(|error| segment::no_space(size, error))?;
        self.populate(offset, len)
    }

    /// Gives the memory behind a part back to the system; nobody may use that part until it is reserved again.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](Error::OutOfBounds), and what the system says.
    pub fn release(&self, offset: usize, len: usize) -> Result<(), Error> {
        self.check(offset, len)?;
        memfd::release(self.0.segment().fd(), offset as u64, len as u64)
            .map_err(Error::system("give shared memory back"))
    }

    /// Copies bytes out of a reserved part that crosses no multiple of 8 MiB.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](Error::OutOfBounds), and when the system cannot map it.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<(), Error> {
        region::load_long(self.bytes(offset, to.len())?, to);
        Ok(())
    }

    /// Copies bytes into a reserved part that crosses no multiple of 8 MiB.
    ///
    /// # Errors
    ///
    /// As [`read_at`](SparseMemory::read_at).
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<(), Error> {
        region::store_long(self.bytes(offset, from.len())?, from);
        Ok(())
    }

    /// The word at `offset`, a multiple of four, of a reserved part.
    ///
    /// # Errors
    ///
    /// As [`read_at`](SparseMemory::read_at).
    pub fn word(&self, offset: usize) -> Result<&AtomicU32, Error> {
        let word = region::word32(self.bytes(offset, 4)?);
        word.ok_or(Error::OutOfBounds { offset, len: 4, size: self.len() })
    }

    /// Has the root of the session keep the attachments of a message whose bytes lie in this memory; gives a
    /// number for them. They stay until they are [unparked](SparseMemory::unpark), but no longer than anybody uses
    /// this memory.
    ///
    /// # Errors
    ///
    /// [`SessionUnreachable`](Error::SessionUnreachable) when the root is gone or does not answer, and what the
    /// system says here and there.
    pub fn park(&self, attachments: &Attachments) -> Result<u64, Error> {
        parking::park(&self.0.as_owner(), attachments)
    }

    /// The attachments with this number, for [`decode_from`](mp_reduction::decode_from); they stay parked.
    ///
    /// # Errors
    ///
    /// As [`park`](SparseMemory::park), and [`Gone`](Error::Gone) for what is not parked.
    pub fn fetch(&self, ticket: u64) -> Result<Attachments, Error> {
        parking::fetch(&self.0.as_owner(), ticket)
    }

    /// Lets go of the attachments with this number, if they are parked.
    ///
    /// # Errors
    ///
    /// As [`park`](SparseMemory::park).
    pub fn unpark(&self, ticket: u64) -> Result<(), Error> {
        parking::unpark(&self.0.as_owner(), ticket)
    }

    /// See [`Object::token`](crate::Object::token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token(&self) -> Result<String, Error> {
        self.0.token()
    }

    /// See [`Object::from_token`](crate::Object::from_token).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<SparseMemory, Error> {
        OwnMemory::from_token(token, SPARSE).map(SparseMemory)
    }

    fn check(&self, offset: usize, len: usize) -> Result<(), Error> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len());
        end.map(drop).ok_or(Error::OutOfBounds { offset, len, size: self.len() })
    }

    /// Bytes that lie in one window, which is mapped if need be.
    fn bytes(&self, offset: usize, len: usize) -> Result<&[AtomicU8], Error> {
        self.check(offset, len)?;
        let (window, start, window_len) = self.window(offset)?;
        if offset - start + len > window_len {
            return Err(Error::OutOfBounds { offset, len, size: start + window_len });
        }
        Ok(window.bytes(offset - start, len))
    }

    /// The window with the byte at `offset`, where it starts, and its length.
    fn window(&self, offset: usize) -> Result<(&Map, usize, usize), Error> {
        let number = (usize::BITS - (offset / FIRST_WINDOW).leading_zeros()) as usize;
        let start = if number == 0 { 0 } else { FIRST_WINDOW << (number - 1) };
        let len = start.max(FIRST_WINDOW).min(self.len() - start);
        let place = &self.0.segment().mapping().0[number];
        let window = match place.get() {
            Some(window) => window,
            None => {
                let window = Map::window(self.0.segment().fd(), start as u64, len)
                    .map_err(|error| segment::no_space(len as u64, error))?;
                place.get_or_init(|| window)
            }
        };
        Ok((window, start, len))
    }

    /// Lays a reserved part out in this process, window by window.
    fn populate(&self, mut offset: usize, mut len: usize) -> Result<(), Error> {
        while len > 0 {
            let (window, start, window_len) = self.window(offset)?;
            let here = len.min(start + window_len - offset);
            window.populate(offset - start, here);
            (offset, len) = (offset + here, len - here);
        }
        Ok(())
    }
}

impl Debug for SparseMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SparseMemory({} bytes)", self.len())
    }
}

impl Serialize for SparseMemory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire =
            self.0.to_wire().map_err(|error| S::Error::custom(mp_reduction::in_full(&error)));
        wire?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SparseMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SparseMemory, D::Error> {
        let memory = OwnMemory::from_wire(&OwnWire::deserialize(deserializer)?, SPARSE);
        memory.map(SparseMemory).map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn parts_far_from_each_other_take_only_their_own_memory() {
        let memory = SparseMemory::create(1, 32 << 30).unwrap();
        let used = || rustix::fs::fstat(memory.0.segment().fd()).unwrap().st_blocks * 512;
        assert_eq!(used(), 0);
        let offsets = [0, FIRST_WINDOW - 4096, FIRST_WINDOW, (20 << 30) - 4096, (32 << 30) - 4096];
        for offset in offsets {
            memory.reserve(offset, 4096).unwrap();
            memory.write_at(offset, &[7; 4096]).unwrap();
            memory.word(offset + 8).unwrap().store(1, Ordering::Relaxed);
        }
        assert_eq!(used(), 5 * 4096);
        let mut bytes = [0; 12];
        for offset in offsets {
            memory.read_at(offset, &mut bytes).unwrap();
            assert_eq!(bytes, [7, 7, 7, 7, 7, 7, 7, 7, 1, 0, 0, 0]);
            memory.release(offset, 4096).unwrap();
        }
        assert_eq!(used(), 0);
        memory.read_at(FIRST_WINDOW - 8, &mut bytes).unwrap_err();
        memory.read_at(usize::MAX, &mut bytes).unwrap_err();
        memory.reserve(32 << 30, 1).unwrap_err();
        memory.word(2).unwrap_err();
    }

    #[test]
    fn a_handle_travels_by_message_and_token_and_is_no_other_kind() {
        let memory = SparseMemory::create(1, 1 << 20).unwrap();
        memory.reserve(0, 64).unwrap();
        memory.write_at(0, b"here").unwrap();
        let message = mp_reduction::encode(&memory).unwrap();
        let token = memory.token().unwrap();
        for same in [message.decode().unwrap(), SparseMemory::from_token(&token).unwrap()] {
            let mut bytes = [0; 4];
            same.read_at(0, &mut bytes).unwrap();
            assert_eq!((&bytes, same.id()), (b"here", memory.id()));
        }
        message.decode::<crate::RawArray<u8>>().unwrap_err();
        SparseMemory::create(1, MAX_LEN + 1).unwrap_err();
    }
}
