//! [`wait`]: which of several objects are ready.

use std::collections::HashMap;
use std::fmt::Debug;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::closable::{Sleeper, Sleepers};
use crate::deadline::{after, has_passed};
use crate::error::ConnectionError;
use crate::sys::poll::{is_ready, poll};

/// Something that can be [waited](wait()) for together with others.
///
/// Implemented for [`Connection`](crate::Connection), [`Listener`](crate::Listener), the processes of
/// `mp-context`, and everything that has a descriptor: sockets, pipes, files of the standard library.
///
/// # Examples
///
/// A client that is ready when its connection is:
///
/// ```
/// use mp_connection::{Connection, ConnectionError, Descriptor, Pipe, Waitable, wait};
///
/// struct Worker { name: String, answers: Connection }
///
/// impl Waitable for Worker {
///     fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
///         self.answers.descriptor()
///     }
/// }
///
/// let (answers, worker) = Pipe::simplex()?;
/// worker.send(&1)?;
/// assert_eq!(wait(&[&Worker { name: "first".to_owned(), answers }], None)?, [0]);
/// # Ok::<(), ConnectionError>(())
/// ```
pub trait Waitable {
    /// The descriptor that is readable when the object may be ready.
    ///
    /// # Errors
    ///
    /// Why it cannot be waited for: it is closed, say.
    fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError>;

    /// Whether it is ready, where its descriptor does not tell all. Asked before anybody sleeps, and each time
    /// the descriptor was looked at; `is_readable` is what was seen of it.
    ///
    /// What answers `false` while its descriptor is readable has to take away what makes it so.
    ///
    /// # Errors
    ///
    /// Why it cannot be waited for.
    fn is_ready(&self, is_readable: bool) -> Result<bool, ConnectionError> {
        Ok(is_readable)
    }
}

impl<T: AsFd> Waitable for T {
    fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
        Ok(self.as_fd().into())
    }
}

/// The descriptor of something that is waited for; it stays open as long as this lives.
#[derive(Debug)]
pub struct Descriptor<'a> {
    held: Held<'a>,
    /// Those who are woken when it is closed by another thread.
    sleepers: Option<&'a Sleepers>,
}

enum Held<'a> {
    Borrowed(BorrowedFd<'a>),
    Shared(Arc<dyn AsFd + 'a>),
}

impl Debug for Held<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Held::Borrowed(fd) => fd.fmt(f),
            Held::Shared(owner) => owner.as_fd().fmt(f),
        }
    }
}

impl<'a> Descriptor<'a> {
    pub(crate) fn shared(owner: Arc<impl AsFd + 'a>, sleepers: &'a Sleepers) -> Descriptor<'a> {
        Descriptor { held: Held::Shared(owner), sleepers: Some(sleepers) }
    }
}

impl<'a> From<BorrowedFd<'a>> for Descriptor<'a> {
    fn from(fd: BorrowedFd<'a>) -> Descriptor<'a> {
        Descriptor { held: Held::Borrowed(fd), sleepers: None }
    }
}

impl AsFd for Descriptor<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.held {
            Held::Borrowed(fd) => *fd,
            Held::Shared(owner) => owner.as_fd(),
        }
    }
}

/// Sleeps until at least one of the objects is ready or the time is over; the positions of all that are ready.
///
/// A connection is ready when something can be received, or when its end of file has come; a listener, when a
/// client can be accepted; a process, when it has ended; anything else, when it is readable. Nothing is taken
/// out: asking again gives the same. An object that is there twice is in the result twice.
///
/// Without objects this sleeps for the time that is given.
///
/// # Errors
///
/// [`ConnectionError::Wait`] with the position of an object that cannot be waited for, because it is or
/// becomes closed, or does not receive. [`ConnectionError::Nothing`] without objects and time limit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// # use mp_connection as mp;
///
/// let (a, to_a) = mp::Pipe::simplex()?;
/// let (b, to_b) = mp::Pipe::simplex()?;
/// let (socket, _other) = std::os::unix::net::UnixStream::pair()?;
/// to_b.send("hello")?;
/// drop(to_a);
/// assert_eq!(mp::wait(&[&a, &b, &socket], Some(Duration::from_secs(5)))?, [0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "multiprocessing.connection.wait")]
pub fn wait(
    objects: &[&dyn Waitable],
    timeout: Option<Duration>,
) -> Result<Vec<usize>, ConnectionError> {
    if objects.is_empty() && timeout.is_none() {
        return Err(ConnectionError::Nothing);
    }
    let deadline = timeout.and_then(after);
    loop {
        let descriptors = each(objects, |_, object| object.descriptor())?;
        // From here on this thread is woken if one of them is closed.
        let sleepers: Vec<Option<Sleeper<'_>>> = each(&descriptors, |_, descriptor| {
            descriptor.sleepers.map(Sleepers::enter).transpose()
        })?;
        let was_ready = each(objects, |_, object| object.is_ready(false))?.contains(&true);
        // Then the others are only looked at.
        let wake_up = if was_ready { after(Duration::ZERO) } else { deadline };

        // Each descriptor once: the system takes no more than a process may have open.
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(descriptors.len() + 1);
        let mut known = HashMap::with_capacity(descriptors.len());
        let positions: Vec<usize> = descriptors
            .iter()
            .map(|descriptor| {
                *known.entry(descriptor.as_fd().as_raw_fd()).or_insert_with(|| {
                    fds.push(PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN));
                    fds.len() - 1
                })
            })
            .collect();
        let waker = sleepers.iter().flatten().find_map(Sleeper::waker);
        fds.extend(waker.map(|waker| PollFd::from_borrowed_fd(waker.as_fd(), PollFlags::IN)));
        poll(&mut fds, wake_up).map_err(refused)?;
        if let Some(waker) = waker.filter(|_| fds.last().is_some_and(is_ready)) {
            waker.clear();
            each(&descriptors, |_, fd| fd.sleepers.map_or(Ok(()), Sleepers::check))?;
        }
        let ready =
            each(objects, |index, object| object.is_ready(is_ready(&fds[positions[index]])))?;
        let ready: Vec<usize> = (0..objects.len()).filter(|index| ready[*index]).collect();
        if !ready.is_empty() || has_passed(deadline) {
            return Ok(ready);
        }
    }
}

fn refused(error: io::Error) -> ConnectionError {
    // The one reason for which the system refuses a time and descriptors that are right.
    let is_too_many = error.raw_os_error() == Some(Errno::INVAL.raw_os_error());
    ConnectionError::io(if is_too_many {
        "wait for more descriptors than the limit of open files"
    } else {
        "wait for objects"
    })(error)
}

/// Asks each of them; an error says which it is about.
fn each<'a, T, R>(
    items: &'a [T],
    mut ask: impl FnMut(usize, &'a T) -> Result<R, ConnectionError>,
) -> Result<Vec<R>, ConnectionError> {
    let ask = |(index, item)| {
        ask(index, item).map_err(|source| ConnectionError::Wait { index, source: Box::new(source) })
    };
    items.iter().enumerate().map(ask).collect()
}
