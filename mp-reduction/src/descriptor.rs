//! [`DupFd`]: a file descriptor as a value.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::transfer;

/// A file descriptor that can be an argument, a result or part of any value that crosses.
///
/// Encoding duplicates it, so the sender keeps its own and may close it at once; the receiver gets
/// a descriptor of its own, closed on `exec`, for the same open file. Made from and turned back
/// into files, sockets and pipe ends of the standard library.
///
/// # Errors
///
/// Serialising it outside a transfer between processes (into JSON, say) is an error: a
/// descriptor is no text.
///
/// # Examples
///
/// ```
/// use mp_reduction::DupFd;
///
/// let fd = DupFd::from(std::fs::File::open("/dev/null")?);
/// let message = mp_reduction::encode(&fd)?;
/// let file = message.decode::<DupFd>()?.into::<std::fs::File>();
/// assert_eq!(file.metadata()?.len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DupFd(OwnedFd);

impl DupFd {
    /// Another descriptor for the same open file.
    ///
    /// # Errors
    ///
    /// What the system says, at the limit of open files for example.
    pub fn try_clone(&self) -> io::Result<DupFd> {
        self.0.try_clone().map(DupFd)
    }

    /// The file, socket or pipe end itself.
    pub fn into<T: From<OwnedFd>>(self) -> T {
        T::from(self.0)
    }
}

impl<T: Into<OwnedFd>> From<T> for DupFd {
    fn from(fd: T) -> DupFd {
        DupFd(fd.into())
    }
}

impl AsFd for DupFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Serialize for DupFd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let copy = self.0.try_clone().map_err(|error| {
            S::Error::custom(format_args!("cannot duplicate descriptor {:?}: {error}", self.0))
        })?;
        let index = transfer::attach(copy).map_err(S::Error::custom)?;
        serializer.serialize_u64(index as u64)
    }
}

impl<'de> Deserialize<'de> for DupFd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DupFd, D::Error> {
        let index = usize::deserialize(deserializer)?;
        match transfer::with_attachment(index, |fd| fd.try_clone_to_owned()) {
            Some(Ok(fd)) => Ok(DupFd(fd)),
            Some(Err(error)) => Err(D::Error::custom(format_args!(
                "cannot take attached descriptor {index}: {error}"
            ))),
            None => {
                Err(D::Error::custom(format_args!("no descriptor {index} came with the message")))
            }
        }
    }
}
