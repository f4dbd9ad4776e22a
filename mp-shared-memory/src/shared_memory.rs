//! A block of bytes in shared memory, anonymous or named.
//!
//! Anonymous memory is what [`object`](crate::object) keeps for all handles; [`named`](crate::named)
//! knows about names. This file joins them.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::bytes::{Bytes, PLAIN};
use crate::error::SharedMemoryError as Error;
use crate::named::{Identity, Named};
use crate::region;
use crate::sys::memfd;

/// What the token of a named block begins with.
const TOKEN_PREFIX: &str = "mp1n";
/// How often a name is tried that other processes make and unlink meanwhile.
const TRIES: u32 = 100;

/// A block of bytes that processes share; clones are handles to the same block.
///
/// An *anonymous* block has no name in the system. It is reached by its handles, which go into messages
/// by reference, and lives as long as any of them, or any message with one in it.
///
/// A *named* block is a file in `/dev/shm`, which any process of the same user can open by name,
/// programs in other languages as well. It is sent as its name. The name is there until somebody calls
/// [`unlink`](SharedMemory::unlink), and no longer than the process that made it. The memory stays until
/// the last process that has it open drops it.
///
/// # When a process dies
///
/// A process that is killed gives up its handles. Names that it made are unlinked at once if it belongs to a
/// session of another process, else when the next process of the user makes a named block or
/// a session; a warning says how many and which. A process that has only opened a name takes
/// nothing away.
///
/// # Examples
///
/// ```
/// use mp_shared_memory::SharedMemory;
///
/// let block = SharedMemory::create(1 << 20)?;
/// let message = mp_reduction::encode(&block)?; // for another process
/// let same: SharedMemory = message.decode()?;
/// same.write_at(4096, b"hello")?;
///
/// let mut word = [0; 5];
/// block.read_at(4096, &mut word)?;
/// assert_eq!(&word, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Differences from Python
///
/// A block without a name is none that has a generated one; that is
/// [`create_with_new_name`](SharedMemory::create_with_new_name). There is no `close`: dropping does it. A
/// named block outlives neither its maker nor, as in Python before 3.13, the end of one that
/// merely opened it.
#[derive(Clone)]
pub struct SharedMemory(Place);

#[derive(Clone)]
enum Place {
    Anonymous(Bytes<PLAIN>),
    Named(Arc<Named>),
}

/// A block in an encoded value.
#[derive(Serialize, Deserialize)]
enum Wire {
    Anonymous(Bytes<PLAIN>),
    Named(String, Identity),
}

impl SharedMemory {
    /// A new anonymous block of `size` bytes, all zero.
    ///
    /// # Errors
    ///
    /// [`InvalidSize`](Error::InvalidSize) for no bytes, [`NoSpace`](Error::NoSpace) when there is no
    /// memory for them; nothing is taken then.
    #[track_caller]
    pub fn create(size: usize) -> Result<SharedMemory, Error> {
        if size == 0 {
            return Err(Error::InvalidSize { size: 0 });
        }
        Ok(SharedMemory(Place::Anonymous(Bytes::create(size)?)))
    }

    /// A new block of `size` bytes, all zero, with a name.
    ///
    /// # Errors
    ///
    /// As [`create`](SharedMemory::create); [`Exists`](Error::Exists) when the name is in use,
    /// [`InvalidName`](Error::InvalidName) when it is empty, too long or has a slash in it, and
    /// [`System`](Error::System) where there is no `/dev/shm`.
    pub fn create_named(name: &str, size: usize) -> Result<SharedMemory, Error> {
        SharedMemory::create_with(Some(name), size, &[])
    }

    /// A new block with a name that nothing has had before.
    ///
    /// # Errors
    ///
    /// As [`create_named`](SharedMemory::create_named).
    pub fn create_with_new_name(size: usize) -> Result<SharedMemory, Error> {
        let random = || memfd::random().map_err(Error::system("get random bytes"));
        SharedMemory::create_first_free(|| Ok(format!("mp_{:016x}", random()?)), size)
    }

    fn create_first_free(
        mut candidate: impl FnMut() -> Result<String, Error>,
        size: usize,
    ) -> Result<SharedMemory, Error> {
        loop {
            match SharedMemory::create_named(&candidate()?, size) {
                Err(Error::Exists { .. }) => {}
                other => return other,
            }
        }
    }

    /// The block that has a name, whatever its size.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when nothing has the name; [`NoSpace`](Error::NoSpace) when the
    /// block was made without reserving its memory, and there is none; as
    /// [`create_named`](SharedMemory::create_named) otherwise.
    pub fn open(name: &str) -> Result<SharedMemory, Error> {
        Ok(SharedMemory(Place::Named(Arc::new(Named::open(name)?))))
    }

    /// The block that has a name, or else a new one of `size` bytes.
    ///
    /// # Errors
    ///
    /// As [`create_named`](SharedMemory::create_named) but for [`Exists`](Error::Exists).
    pub fn create_or_open(name: &str, size: usize) -> Result<SharedMemory, Error> {
        for _ in 0..TRIES {
            match SharedMemory::open(name) {
                Err(Error::NotFound { .. }) => {}
                other => return other,
            }
            match SharedMemory::create_named(name, size) {
                Err(Error::Exists { .. }) => {}
                other => return other,
            }
        }
        Err(Error::Exists { name: name.to_owned() })
    }

    /// A block that begins with `contents` before anybody can see it.
    pub(crate) fn create_with(
        name: Option<&str>,
        size: usize,
        contents: &[u8],
    ) -> Result<SharedMemory, Error> {
        match name {
            Some(name) => {
                Ok(SharedMemory(Place::Named(Arc::new(Named::create(name, size, contents)?))))
            }
            None => {
                let new = SharedMemory::create(size)?;
                new.write_at(0, contents)?;
                Ok(new)
            }
        }
    }

    /// The number of bytes; it never changes.
    #[doc(alias = "len")]
    pub fn size(&self) -> usize {
        self.bytes().len()
    }

    /// The name, also after it was unlinked; `None` for an anonymous block.
    pub fn name(&self) -> Option<&str> {
        match &self.0 {
            Place::Anonymous(_) => None,
            Place::Named(named) => Some(named.name()),
        }
    }

    /// All bytes, as what other processes may change at any time.
    pub fn bytes(&self) -> &[AtomicU8] {
        match &self.0 {
            Place::Anonymous(bytes) => bytes.get(),
            Place::Named(named) => named.bytes(),
        }
    }

    /// Copies the bytes from `offset` on into `to`.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](Error::OutOfBounds) if there are not as many; nothing is copied then.
    pub fn read_at(&self, offset: usize, to: &mut [u8]) -> Result<(), Error> {
        region::load_long(region::part(self.bytes(), offset, to.len())?, to);
        Ok(())
    }

    /// Copies `from` into the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`read_at`](SharedMemory::read_at).
    pub fn write_at(&self, offset: usize, from: &[u8]) -> Result<(), Error> {
        region::store_long(region::part(self.bytes(), offset, from.len())?, from);
        Ok(())
    }

    /// Takes the name away, whoever made it: nobody can open it any more, and all who have go on.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when that has been done, by any process;
    /// [`Anonymous`](Error::Anonymous) when there is no name.
    pub fn unlink(&self) -> Result<(), Error> {
        match &self.0 {
            Place::Anonymous(_) => Err(Error::Anonymous),
            Place::Named(named) => named.unlink(),
        }
    }

    /// Whether both are handles to the same block.
    pub fn is_same(&self, other: &SharedMemory) -> bool {
        match (&self.0, &other.0) {
            (Place::Anonymous(mine), Place::Anonymous(theirs)) => mine.is_same(theirs),
            (Place::Named(mine), Place::Named(theirs)) => mine.identity() == theirs.identity(),
            _ => false,
        }
    }

    /// A text from which any process of the same user on this machine can make a handle: for an
    /// anonymous block while it lives and the process at the root of the session does, for a named one
    /// while it has its name. The text itself keeps neither.
    ///
    /// # Errors
    ///
    /// [`SessionUnreachable`](Error::SessionUnreachable) when the root is gone or does not answer.
    pub fn token(&self) -> Result<String, Error> {
        match &self.0 {
            Place::Anonymous(bytes) => bytes.token(),
            Place::Named(named) => {
                let Identity { device, inode } = named.identity();
                Ok(format!("{TOKEN_PREFIX}-{device:x}-{inode:x}-{}", named.name()))
            }
        }
    }

    /// The handle that a [`token`](SharedMemory::token) stands for.
    ///
    /// # Errors
    ///
    /// [`Foreign`](Error::Foreign) for a text that is no token of a block, [`Gone`](Error::Gone) or
    /// [`NotFound`](Error::NotFound) when the block or its name is gone, and as `token` and
    /// [`open`](SharedMemory::open).
    pub fn from_token(token: &str) -> Result<SharedMemory, Error> {
        let place = match token.strip_prefix(TOKEN_PREFIX) {
            Some(rest) => {
                let (name, identity) = read_token(rest).ok_or(Error::foreign("it is no token"))?;
                Place::Named(Arc::new(Named::open_as(name, Some(identity))?))
            }
            None => Place::Anonymous(Bytes::from_token(token)?),
        };
        SharedMemory::of(place)
    }

    fn of(place: Place) -> Result<SharedMemory, Error> {
        let new = SharedMemory(place);
        if new.size() == 0 { Err(Error::foreign("it has no bytes")) } else { Ok(new) }
    }
}

/// What follows the prefix of a named block's token.
fn read_token(text: &str) -> Option<(&str, Identity)> {
    let (device, rest) = text.strip_prefix('-')?.split_once('-')?;
    let (inode, name) = rest.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((name, Identity { device: number(device)?, inode: number(inode)? }))
}

impl Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "SharedMemory({name:?}, {} bytes)", self.size()),
            None => write!(f, "SharedMemory(anonymous, {} bytes)", self.size()),
        }
    }
}

impl Serialize for SharedMemory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wire = match &self.0 {
            Place::Anonymous(bytes) => Wire::Anonymous(bytes.clone()),
            Place::Named(named) => Wire::Named(named.name().to_owned(), named.identity()),
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SharedMemory, D::Error> {
        let place = match Wire::deserialize(deserializer)? {
            Wire::Anonymous(bytes) => Place::Anonymous(bytes),
            Wire::Named(name, identity) => {
                let named = Named::open_as(&name, Some(identity))
                    .map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))?;
                Place::Named(Arc::new(named))
            }
        };
        SharedMemory::of(place).map_err(|error| D::Error::custom(mp_reduction::in_full(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sh_06_a_generated_name_that_is_in_use_is_passed_over() {
        let first = format!("mp-test-sh06-{}", std::process::id());
        let taken = SharedMemory::create_named(&first, 10).unwrap();
        let mut candidates = [first.clone(), first.clone() + "b"].into_iter();
        let next = || candidates.next().ok_or(Error::NotInList);
        let second = SharedMemory::create_first_free(next, 10).unwrap();
        assert_eq!(second.name(), Some(format!("{first}b").as_str()));
        taken.unlink().unwrap();
        second.unlink().unwrap();
    }

    #[test]
    fn hostile_tokens_are_errors() {
        for token in ["", "mp1n", "mp1n-", "mp1n-1-2", "mp1n-1-2-", "mp1n-x-2-a", "mp1n-1-2-a/b"] {
            assert!(SharedMemory::from_token(token).is_err(), "{token}");
        }
    }
}
