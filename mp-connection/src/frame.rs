//! Messages on a socket: each is one frame of [`wire`](mp_reduction::wire), read exactly to its end.
//!
//! Nothing is ever read ahead: several processes may hold a copy of one end, and what one of them has not
//! received is there for the others.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use mp_reduction::wire::{HEADER_LEN, Header};
use mp_reduction::{EncodeError, MAX_DESCRIPTORS, Message};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::closable::Sleepers;
use crate::error::ConnectionError;
use crate::state::spin::Spin;
use crate::sys::socket::Socket;

/// The kinds of frames.
pub(crate) mod kind {
    pub(crate) const MESSAGE: u8 = 1;
    /// The listener does not accept a client that has no key.
    pub(crate) const REFUSED: u8 = 2;
}

/// Frames up to this length are put together before they are sent, which costs less than two pieces.
const SHORT_LEN: usize = 1024;

/// So long an end looks for a message before it sleeps: about as long as waking up takes. Less is not enough for two
/// that pass something to and fro: once both sleep, neither is back before the other has given up.
const LONGEST_SPIN: Duration = Duration::from_micros(60);

/// One in so many waits looks for a message although that has not paid off. A process that is bound to one
/// processor tries that less often: whoever it waits for may have the same one, or one of its own.
static ATTEMPT: LazyLock<u32> = LazyLock::new(|| {
    let is_bound = std::thread::available_parallelism().is_ok_and(|n| n.get() == 1);
    if is_bound { 4096 } else { 256 }
});

/// A frame that has arrived.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Whether it says that the listener does not accept a client that has no key.
    pub(crate) is_refusal: bool,
    pub(crate) body: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

/// Why a frame was not received.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ConnectionError,
    /// Whether the next frame cannot be found any more.
    pub(crate) is_lost: bool,
}

/// A socket, and those who sleep on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream<'a> {
    pub(crate) socket: &'a Socket,
    pub(crate) sleepers: &'a Sleepers,
}

impl Stream<'_> {
    fn sleep(&self, events: PollFlags) -> Result<(), ConnectionError> {
        self.sleepers.sleep(self.socket.as_fd(), events, None).map(drop)
    }

    /// Sends a frame, sleeping while there is no room.
    ///
    /// If it cannot be sent to its end, whoever receives is told so by the end of the stream.
    pub(crate) fn send(
        &self,
        kind: u8,
        body: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ConnectionError> {
        let count = descriptors.len();
        let count = u8::try_from(count).ok().filter(|_| count <= MAX_DESCRIPTORS).ok_or(
            EncodeError::TooManyDescriptors { type_name: std::any::type_name::<Message>(), count },
        )?;
        let header = Header { kind, descriptors: count, len: body.len() as u64 }.to_bytes();
        let mut short = [0; SHORT_LEN];
        let (first, rest) = match short.get_mut(..HEADER_LEN + body.len()) {
            Some(frame) => {
                frame[..HEADER_LEN].copy_from_slice(&header);
                frame[HEADER_LEN..].copy_from_slice(body);
                (&*frame, &[][..])
            }
            None => (&header[..], body),
        };
        let mut sent = 0;
        let outcome = self.send_parts(first, rest, descriptors, &mut sent);
        if outcome.is_err() && sent > 0 {
            self.socket.stop_sending();
        }
        outcome
    }

    fn send_parts(
        &self,
        first: &[u8],
        rest: &[u8],
        descriptors: &[BorrowedFd<'_>],
        sent: &mut usize,
    ) -> Result<(), ConnectionError> {
        while *sent < first.len() + rest.len() {
            let parts = [
                IoSlice::new(first.get(*sent..).unwrap_or_default()),
                IoSlice::new(&rest[sent.saturating_sub(first.len())..]),
            ];
            match self.socket.send(&parts, if *sent == 0 { descriptors } else { &[] }) {
                Ok(n) => *sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.sleep(PollFlags::OUT)?;
                }
                Err(error) => return Err(sending(error)),
            }
        }
        Ok(())
    }

    /// Receives a frame, sleeping until all of it is there; its body may be at most `limit` bytes long.
    pub(crate) fn receive(&self, limit: Option<usize>, spin: &mut Spin) -> Result<Frame, Failure> {
        let mut got = 0;
        self.receive_parts(limit, spin, &mut got).map_err(|error| {
            let is_taken = matches!(
                error,
                ConnectionError::Truncated { .. } | ConnectionError::DescriptorsLost { .. }
            );
            Failure { is_lost: got > 0 && !is_taken, error }
        })
    }

    fn receive_parts(
        &self,
        limit: Option<usize>,
        spin: &mut Spin,
        got: &mut usize,
    ) -> Result<Frame, ConnectionError> {
        let mut header = [0; HEADER_LEN];
        let mut descriptors = Vec::new();
        while *got < HEADER_LEN {
            let rest = &mut header[*got..];
            let look = || self.socket.receive_with_descriptors(rest, &mut descriptors);
            let received = look_for_a_while(look, spin, LONGEST_SPIN);
            *got += self.progress(received, *got, HEADER_LEN)?;
        }
        let Header { kind, descriptors: count, len } =
            Header::from_bytes(header).map_err(|_| ConnectionError::Protocol { header })?;
        if ![kind::MESSAGE, kind::REFUSED].contains(&kind) {
            return Err(ConnectionError::Protocol { header });
        }
        if let Some(max) = limit.filter(|limit| len > *limit as u64) {
            return Err(ConnectionError::MessageTooLong { len, max: max as u64 });
        }
        let no_memory = ConnectionError::NoMemory { len };
        let Some(total) = usize::try_from(len).ok().and_then(|len| len.checked_add(HEADER_LEN))
        else {
            return Err(no_memory);
        };
        // More than the machine has is refused; the rest is used only as it is filled.
        let mut body = Vec::new();
        body.try_reserve_exact(total - HEADER_LEN).map_err(|_| no_memory)?;
        while *got < total {
            let received = self.socket.receive(&mut body, total - *got);
            *got += self.progress(received, *got, total)?;
        }
        let (expected, arrived) = (usize::from(count), descriptors.len());
        if arrived < expected {
            return Err(ConnectionError::DescriptorsLost { expected, arrived });
        }
        descriptors.truncate(expected);
        Ok(Frame { is_refusal: kind == kind::REFUSED, body, descriptors })
    }

    /// How much a call received; sleeps if there was nothing.
    fn progress(
        &self,
        received: io::Result<usize>,
        got: usize,
        len: usize,
    ) -> Result<usize, ConnectionError> {
        match received {
            Ok(0) => {}
            Ok(n) => return Ok(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.sleep(PollFlags::IN)?;
                return Ok(0);
            }
            // It closed without receiving all that was sent to it; for those who receive it is just gone.
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(ConnectionError::io("receive from a socket")(error)),
        }
        if got == 0 {
            return Err(ConnectionError::EndOfFile);
        }
        Err(ConnectionError::Truncated { got: got as u64, len: len as u64 })
    }
}

/// Looks until there is something, for as long as `longest` if `spin` says that it is likely to pay off.
fn look_for_a_while(
    mut look: impl FnMut() -> io::Result<usize>,
    spin: &mut Spin,
    longest: Duration,
) -> io::Result<usize> {
    let mut seen = look();
    if is_nothing(&seen) && spin.begin(*ATTEMPT) {
        let begin = Instant::now();
        loop {
            seen = look();
            if !is_nothing(&seen) || begin.elapsed() >= longest {
                break;
            }
        }
        spin.end(!is_nothing(&seen));
    }
    seen
}

fn is_nothing(received: &io::Result<usize>) -> bool {
    matches!(received, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::PIPE, Errno::CONNRESET, Errno::CONNABORTED];
    gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn sending(error: io::Error) -> ConnectionError {
    if is_gone(&error) {
        ConnectionError::BrokenPipe
    } else {
        ConnectionError::io("send to a socket")(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a wait looks, and what it sees, when so many looks are in vain.
    fn wait(spin: &mut Spin, vain: u32, then: io::Result<usize>) -> (u32, io::Result<usize>) {
        let (mut looks, mut then) = (0, Some(then));
        let seen = look_for_a_while(
            || {
                looks += 1;
                let nothing = Err(io::ErrorKind::WouldBlock.into());
                if looks > vain { then.take().unwrap_or(nothing) } else { nothing }
            },
            spin,
            // Where something is to come, a busy machine must not end the looking before.
            if vain == u32::MAX { LONGEST_SPIN } else { Duration::MAX },
        );
        (looks, seen)
    }

    #[test]
    fn what_arrives_while_it_is_looked_for_is_had_and_makes_the_next_wait_look() {
        let mut spin = Spin::default();
        for _ in 0..2 * *ATTEMPT {
            let (looks, seen) = wait(&mut spin, 2, Ok(7));
            assert_eq!((looks, seen.unwrap()), (3, 7));
        }
    }

    #[test]
    fn an_error_ends_the_looking() {
        let (looks, seen) = wait(&mut Spin::default(), 1, Err(Errno::CONNRESET.into()));
        assert_eq!((looks, seen.unwrap_err().kind()), (2, io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn one_that_has_looked_in_vain_looks_once_and_goes_to_sleep() {
        let mut spin = Spin::default();
        let mut looks = || wait(&mut spin, u32::MAX, Ok(0)).0;
        assert!(looks() > 1, "the first wait is an attempt");
        for _ in 1..*ATTEMPT {
            assert_eq!(looks(), 1);
        }
        assert!(looks() > 1, "an attempt");
    }
}
