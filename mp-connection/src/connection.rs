//! [`Connection`]: one end of a stream of messages.
//!
//! [`frame`](crate::frame) owns what a message looks like on the socket; this file decides who may use which
//! direction when, and what becomes of an end that is closed, sent away, or has lost its place.

use std::fmt::{self, Debug};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mp_reduction::{Message, transfer};
use parking_lot::Mutex;
use rustix::event::PollFlags;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::closable::Closable;
use crate::deadline::{after, has_passed};
use crate::error::{AuthenticationFailure, ConnectionError};
use crate::frame::{Failure, Frame, Stream, kind};
use crate::state::spin::Spin;
use crate::sys::socket::Socket;
use crate::wait::{Descriptor, Waitable};

/// One end of a stream of messages between two processes.
///
/// Messages are values ([`send`](Connection::send), [`recv`](Connection::recv)) or plain bytes
/// ([`send_bytes`](Connection::send_bytes), [`recv_bytes`](Connection::recv_bytes)), which are the same kind of
/// message: the bytes of a value are its encoding. Each arrives whole and in order, or not at all.
///
/// All methods can be called from any number of threads: sends exclude each other, so do receives, and one of
/// each may go on at once. A clone is the same end; closing one closes all of this process.
///
/// An end can be an argument, a result or part of a message to another process, which gets a copy of its own;
/// the sender may close its end at once. The stream ends when all copies of its other end are closed. Processes
/// that use copies of one end *at the same time* need a lock for it, as they do in Python.
///
/// # When a process dies
///
/// Its copies are closed. What it has sent is still received, then [`ConnectionError::EndOfFile`]; a message
/// that it has sent in part is [`ConnectionError::Truncated`].
///
/// # Differences from Python
///
/// What `readable`, `writable` and `closed` are there, are calls here. A length that no message has is an error.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// # use mp_connection as mp;
///
/// let (a, b) = mp::Pipe::duplex()?;
/// a.send_bytes(b"first")?;
/// a.send(&vec![Some(2), None])?;
/// a.close();
///
/// assert!(b.poll(Some(Duration::ZERO))?);
/// assert_eq!(b.recv_bytes()?, b"first");
/// assert_eq!(b.recv::<Vec<Option<i32>>>()?, [Some(2), None]);
/// assert!(matches!(b.recv::<i32>(), Err(mp::ConnectionError::EndOfFile)));
/// # Ok::<(), mp::ConnectionError>(())
/// ```
#[derive(Clone)]
#[doc(alias = "multiprocessing.connection.Connection")]
pub struct Connection(Arc<End>);

/// What an end is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// It sends and receives.
    Duplex,
    /// It receives.
    Receive,
    /// It sends.
    Send,
}

struct End {
    socket: Closable<Socket>,
    direction: Direction,
    /// The next message cannot be found any more.
    is_lost: AtomicBool,
    sending: Mutex<()>,
    /// Who receives has the lock of it.
    receiving: Mutex<Spin>,
}

impl Connection {
    pub(crate) fn over(socket: Socket, direction: Direction) -> Connection {
        Connection(Arc::new(End {
            socket: Closable::new(socket),
            direction,
            is_lost: AtomicBool::new(false),
            sending: Mutex::new(()),
            receiving: Mutex::default(),
        }))
    }

    /// Makes a connected stream socket an end of a connection; the other end has to be one, too.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotASocket`] if it is something else.
    pub fn from_descriptor(
        fd: impl Into<OwnedFd>,
        direction: Direction,
    ) -> Result<Connection, ConnectionError> {
        Ok(Connection::over(Socket::try_from(fd.into())?, direction))
    }

    /// Sends a value, sleeping while there is no room for it.
    ///
    /// Handles, descriptors and connections in it go along, unless this is a network connection.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BrokenPipe`] when nobody receives any more; never a signal.
    /// [`ConnectionError::Encode`] and [`ConnectionError::DescriptorsUnsupported`] leave the connection as it
    /// was.
    pub fn send<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), ConnectionError> {
        self.writable()?;
        self.send_message(&mp_reduction::encode(value)?)
    }

    /// Sleeps until a message has arrived and gives it as a value.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::EndOfFile`] when the other side is closed and all is received;
    /// [`ConnectionError::Truncated`] when that happened in the middle of a message;
    /// [`ConnectionError::Decode`] for a message that is no `T`, after which the next can be received.
    pub fn recv<T: DeserializeOwned>(&self) -> Result<T, ConnectionError> {
        Ok(self.recv_message()?.decode()?)
    }

    /// Sends a value that was encoded before.
    ///
    /// # Errors
    ///
    /// As [`send`](Connection::send).
    pub fn send_message(&self, message: &Message) -> Result<(), ConnectionError> {
        let attachments = message.attachments();
        let descriptors: Vec<_> = attachments.iter().map(AsFd::as_fd).collect();
        let socket = self.writable()?;
        if !descriptors.is_empty() && !socket.carries_descriptors() {
            return Err(ConnectionError::DescriptorsUnsupported { count: descriptors.len() });
        }
        let _one_at_a_time = self.0.sending.lock();
        self.stream(&socket).send(kind::MESSAGE, message.bytes(), &descriptors)
    }

    /// Sleeps until a message has arrived and gives it without decoding it.
    ///
    /// # Errors
    ///
    /// As [`recv`](Connection::recv).
    pub fn recv_message(&self) -> Result<Message, ConnectionError> {
        let Frame { body, descriptors, .. } = self.receive(None)?;
        Ok(Message::from_parts(body, descriptors))
    }

    /// Sends bytes as one message, also if there are none.
    ///
    /// # Errors
    ///
    /// As [`send`](Connection::send).
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), ConnectionError> {
        let socket = self.writable()?;
        let _one_at_a_time = self.0.sending.lock();
        self.stream(&socket).send(kind::MESSAGE, bytes, &[])
    }

    /// Sends `len` of the bytes from `offset` on as one message, all of them if `len` is `None`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::InvalidRange`] for a range outside of the bytes; else as
    /// [`send`](Connection::send).
    #[doc(alias = "send_bytes")]
    pub fn send_bytes_from(
        &self,
        bytes: &[u8],
        offset: usize,
        len: Option<usize>,
    ) -> Result<(), ConnectionError> {
        self.writable()?;
        let size = bytes.len();
        let len = len.unwrap_or(size.saturating_sub(offset));
        let part = offset.checked_add(len).and_then(|end| bytes.get(offset..end));
        self.send_bytes(part.ok_or(ConnectionError::InvalidRange { offset, len, size })?)
    }

    /// Sleeps until a message has arrived and gives its bytes. Descriptors that came with it are closed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Connection::recv).
    pub fn recv_bytes(&self) -> Result<Vec<u8>, ConnectionError> {
        Ok(self.receive(None)?.body)
    }

    /// [`recv_bytes`](Connection::recv_bytes) of a message of at most `max` bytes.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::MessageTooLong`] for a longer one. It is not received, so this end can receive
    /// nothing any more: a one-way end is closed, a duplex one can still send. Else as `recv_bytes`.
    #[doc(alias = "recv_bytes")]
    pub fn recv_bytes_limited(&self, max: usize) -> Result<Vec<u8>, ConnectionError> {
        Ok(self.receive(Some(max))?.body)
    }

    /// [`recv_bytes`](Connection::recv_bytes) into `buffer` from `offset` on; gives their number. The rest
    /// of the buffer is left as it is.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::BufferTooShort`] for a message with no room, which is in the error;
    /// [`ConnectionError::InvalidRange`] for an offset outside of the buffer, without receiving anything. Else
    /// as `recv_bytes`.
    pub fn recv_bytes_into(
        &self,
        buffer: &mut [u8],
        offset: usize,
    ) -> Result<usize, ConnectionError> {
        self.readable()?;
        let size = buffer.len();
        let Some(place) = buffer.get_mut(offset..) else {
            return Err(ConnectionError::InvalidRange { offset, len: 0, size });
        };
        let message = self.recv_bytes()?;
        match place.get_mut(..message.len()) {
            Some(place) => place.copy_from_slice(&message),
            None => {
                return Err(ConnectionError::BufferTooShort { message, room: place.len() });
            }
        }
        Ok(message.len())
    }

    /// Whether there is something to receive, the end of the file included; sleeps at most `timeout` for it,
    /// for ever if there is none.
    ///
    /// Takes nothing out. If other threads or processes receive at this end, they may be faster.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::NotReadable`], or [`ConnectionError::Closed`], also when it is closed meanwhile.
    pub fn poll(&self, timeout: Option<Duration>) -> Result<bool, ConnectionError> {
        let deadline = timeout.and_then(after);
        let socket = self.readable()?;
        let sleepers = self.0.socket.sleepers();
        loop {
            if sleepers.sleep(socket.as_fd(), PollFlags::IN, deadline)? {
                return Ok(true);
            }
            if has_passed(deadline) {
                return Ok(false);
            }
        }
    }

    /// Whether it is open and receives.
    pub fn is_readable(&self) -> bool {
        self.readable().is_ok()
    }

    /// Whether it is open and sends.
    pub fn is_writable(&self) -> bool {
        self.writable().is_ok()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.0.socket.is_closed()
    }

    /// Closes this end in this process, with all of its clones; nothing if that was done.
    ///
    /// Threads that wait for it here are woken and get [`ConnectionError::Closed`]. Copies in other processes
    /// live on, but for a direction in which this process was in the middle of a message: that
    /// has ended for all.
    pub fn close(&self) {
        self.0.socket.close();
    }

    /// The number of its descriptor.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Closed`].
    pub fn fileno(&self) -> Result<RawFd, ConnectionError> {
        Ok(self.0.socket.get()?.as_fd().as_raw_fd())
    }

    fn stream<'a>(&'a self, socket: &'a Socket) -> Stream<'a> {
        Stream { socket, sleepers: self.0.socket.sleepers() }
    }

    /// The socket, if it is open and may be received from.
    fn readable(&self) -> Result<Arc<Socket>, ConnectionError> {
        let socket = self.0.socket.get()?;
        if self.0.direction == Direction::Send || self.0.is_lost.load(Ordering::Relaxed) {
            return Err(ConnectionError::NotReadable);
        }
        Ok(socket)
    }

    /// The socket, if it is open and may be sent to.
    fn writable(&self) -> Result<Arc<Socket>, ConnectionError> {
        let socket = self.0.socket.get()?;
        if self.0.direction == Direction::Receive {
            return Err(ConnectionError::NotWritable);
        }
        Ok(socket)
    }

    fn receive(&self, limit: Option<usize>) -> Result<Frame, ConnectionError> {
        self.readable()?;
        let mut spin = self.0.receiving.lock();
        // Whoever had its turn before may have lost the place.
        let socket = self.readable()?;
        let frame = match self.stream(&socket).receive(limit, &mut spin) {
            Ok(frame) => frame,
            Err(Failure { error, is_lost }) => {
                if is_lost {
                    self.lose(&socket);
                }
                return Err(error);
            }
        };
        if frame.is_refusal {
            self.lose(&socket);
            return Err(AuthenticationFailure::NoKeyHere.into());
        }
        Ok(frame)
    }

    /// Nothing can be received any more, by nobody: the place of the next message is lost.
    fn lose(&self, socket: &Socket) {
        self.0.is_lost.store(true, Ordering::Relaxed);
        // Who sends need not wait until the rest is received.
        socket.stop_receiving();
        if self.0.direction == Direction::Receive {
            self.close();
        }
    }
}

impl Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fileno() {
            Ok(number) => write!(f, "<Connection {:?} fd={number}>", self.0.direction),
            Err(_) => write!(f, "<Connection {:?} closed>", self.0.direction),
        }
    }
}

impl From<UnixStream> for Connection {
    fn from(stream: UnixStream) -> Connection {
        Connection::over(stream.into(), Direction::Duplex)
    }
}

impl From<TcpStream> for Connection {
    fn from(stream: TcpStream) -> Connection {
        Connection::over(stream.into(), Direction::Duplex)
    }
}

/// Ready when there is something to receive, the end of the file included.
impl Waitable for Connection {
    fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
        Ok(Descriptor::shared(self.readable()?, self.0.socket.sleepers()))
    }
}

/// Only for another process: a copy of the end goes beside the bytes.
impl Serialize for Connection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let socket =
            self.0.socket.get().map_err(|error| S::Error::custom(mp_reduction::in_full(&error)))?;
        let direction = if self.is_readable() { self.0.direction } else { Direction::Send };
        let copy = socket.duplicate().map_err(|error| {
            S::Error::custom(format_args!("cannot duplicate the descriptor of {self:?}: {error}"))
        })?;
        let attachment = transfer::attach(copy).map_err(S::Error::custom)?;
        (attachment, direction).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Connection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Connection, D::Error> {
        let (attachment, direction): (usize, Direction) = Deserialize::deserialize(deserializer)?;
        match transfer::with_attachment(attachment, |fd| fd.try_clone_to_owned()) {
            Some(Ok(fd)) => Connection::from_descriptor(fd, direction)
                .map_err(|error| D::Error::custom(mp_reduction::in_full(&error))),
            Some(Err(error)) => Err(D::Error::custom(format_args!(
                "cannot take the descriptor of a connection: {error}"
            ))),
            None => Err(D::Error::custom("no descriptor came with a connection")),
        }
    }
}
