//! Frames on a local stream socket: a kind, a body of any length, and descriptors.
//!
//! The sender writes a header of 16 bytes and the body, with the descriptors as ancillary data of
//! the first bytes. The reader trusts nothing: a broken header is an error, and memory is asked
//! for before it is used, so an absurd length is an error as well.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// The most descriptors that one message carries (the kernel's limit for one control message).
pub const MAX_DESCRIPTORS: usize = 253;

const MAGIC: [u8; 4] = *b"\xf7mp1";
/// The length of a frame's header in bytes.
pub const HEADER_LEN: usize = 16;
/// Bodies up to this length are read through the buffer; longer ones into memory of their own.
const BUFFERED_LEN: usize = 64 * 1024;
/// What a reader that has seen only short frames takes of memory.
const INITIAL_LEN: usize = 2 * 1024;
/// The most of a long body that one call reads, so that other sockets get their turn.
const LONG_STEP_LEN: usize = 4 * 1024 * 1024;

/// Why a byte stream is no sequence of frames.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The header does not start with the mark of a frame.
    #[error("no frame starts with the bytes {0:02x?}")]
    Header([u8; HEADER_LEN]),
    /// The frame announces more than there is memory for.
    #[error("no memory for a frame of {len} bytes")]
    NoMemory {
        /// The announced length.
        len: u64,
    },
    /// Descriptors were lost on the way because the process is at its limit.
    #[error(
        "a frame came with {expected} descriptors but only {arrived} arrived; is the limit of open files reached?"
    )]
    Descriptors {
        /// How many the header announces.
        expected: usize,
        /// How many the process could take.
        arrived: usize,
    },
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A frame that has arrived.
#[derive(Debug)]
pub struct Frame<'a> {
    /// What it is, for the two sides to agree on.
    pub kind: u8,
    /// The body; owned when it was long.
    pub body: Cow<'a, [u8]>,
    /// The descriptors that came with it.
    pub descriptors: Vec<OwnedFd>,
}

/// What stands before the body of a frame, for those who send and read frames in their own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is, for the two sides to agree on.
    pub kind: u8,
    /// How many descriptors come with its first byte.
    pub descriptors: u8,
    /// The length of the body in bytes.
    pub len: u64,
}

impl Header {
    /// The header as it is sent.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind;
        bytes[5] = self.descriptors;
        bytes[8..].copy_from_slice(&self.len.to_le_bytes());
        bytes
    }

    /// Takes a header that has arrived. Its length is checked against nothing.
    ///
    /// # Errors
    ///
    /// [`WireError::Header`] for any other bytes.
    pub fn from_bytes(bytes: [u8; HEADER_LEN]) -> Result<Header, WireError> {
        let [m0, m1, m2, m3, kind, descriptors, 0, 0, len @ ..] = bytes else {
            return Err(WireError::Header(bytes));
        };
        if [m0, m1, m2, m3] != MAGIC || usize::from(descriptors) > MAX_DESCRIPTORS {
            return Err(WireError::Header(bytes));
        }
        Ok(Header { kind, descriptors, len: u64::from_le_bytes(len) })
    }
}

/// Whether `bytes` can be the beginning of a frame of this kind.
pub fn starts_frame(bytes: &[u8], kind: u8) -> bool {
    bytes
        .first_chunk::<HEADER_LEN>()
        .and_then(|header| Header::from_bytes(*header).ok())
        .is_some_and(|header| header.kind == kind)
}

/// Sends a frame, blocking while the socket is full unless it is non-blocking.
///
/// `SIGPIPE` is never raised.
///
/// # Errors
///
/// What the socket says; `EPIPE` when the other side is gone. On a non-blocking socket that
/// is full part of a frame may have been sent, which leaves the stream unusable.
///
/// # Panics
///
/// If there are more than [`MAX_DESCRIPTORS`] descriptors; [`encode`](crate::encode) makes no
/// such message.
pub fn send_frame(
    socket: impl AsFd,
    kind: u8,
    body: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let count = u8::try_from(descriptors.len()).ok().filter(|&n| usize::from(n) <= MAX_DESCRIPTORS);
    let count = count.expect("more descriptors than a message carries");
    let header = Header { kind, descriptors: count, len: body.len() as u64 }.to_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let mut sent = 0;
    while sent < header.len() + body.len() {
        let parts = [
            IoSlice::new(header.get(sent..).unwrap_or_default()),
            IoSlice::new(&body[sent.saturating_sub(header.len())..]),
        ];
        match rustix::net::sendmsg(&socket, &parts, &mut ancillary, SendFlags::NOSIGNAL) {
            Ok(n) => sent += n,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        ancillary.clear();
    }
    Ok(())
}

/// Sends a frame whose body stands behind [`HEADER_LEN`] bytes left free for the header.
///
/// For short frames a good deal cheaper than [`send_frame`], which sends two pieces of memory.
///
/// # Errors
///
/// As `send_frame`.
///
/// # Panics
///
/// If `frame` is shorter than a header.
pub fn send_frame_in_place(socket: impl AsFd, kind: u8, frame: &mut [u8]) -> io::Result<()> {
    let len = (frame.len() - HEADER_LEN) as u64;
    frame[..HEADER_LEN].copy_from_slice(&Header { kind, descriptors: 0, len }.to_bytes());
    let mut unsent = &*frame;
    while !unsent.is_empty() {
        match rustix::net::send(&socket, unsent, SendFlags::NOSIGNAL) {
            Ok(n) => unsent = &unsent[n..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Takes the byte stream of a socket apart into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// Room for what arrives; it grows while reads fill it.
    buffer: Vec<u8>,
    /// The part of `buffer` that has arrived and was not handed out yet.
    unread: Range<usize>,
    descriptors: VecDeque<OwnedFd>,
    /// Descriptors were lost: which frame those that are left belong to cannot be told any more.
    has_lost: bool,
    long: Option<LongFrame>,
}

/// A frame too long for the buffer, and what of its body has arrived.
#[derive(Debug)]
struct LongFrame {
    header: Header,
    len: usize,
    body: Vec<u8>,
}

impl FrameReader {
    /// An empty reader.
    pub fn new() -> FrameReader {
        FrameReader::default()
    }

    /// Reads what the socket has, a bounded amount; `Ok(0)` is the end of the stream.
    ///
    /// Blocks until there is something, unless the socket is non-blocking.
    ///
    /// # Errors
    ///
    /// What the socket says; [`WouldBlock`](io::ErrorKind::WouldBlock) if it is non-blocking and
    /// has nothing.
    pub fn fill(&mut self, socket: &UnixStream) -> io::Result<usize> {
        loop {
            let read = match &mut self.long {
                Some(long) => long.fill(socket),
                None => self.fill_buffer(socket),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn fill_buffer(&mut self, socket: &UnixStream) -> io::Result<usize> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            let len = (2 * self.buffer.len()).clamp(INITIAL_LEN, BUFFERED_LEN);
            self.buffer.resize(len, 0);
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut self.buffer[self.unread.end..])],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        self.unread.end += received.bytes;
        // A process at its limit of open files loses descriptors here; the frames that carry some
        // say so when they are taken.
        self.has_lost |= received.flags.contains(ReturnFlags::CTRUNC);
        for ancillary in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = ancillary {
                self.descriptors.extend(fds);
            }
        }
        Ok(received.bytes)
    }

    /// The next complete frame, or `None` until more was read.
    ///
    /// # Errors
    ///
    /// [`WireError`] when the stream is broken; it stays so.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, WireError> {
        if let Some(long) = self.long.take_if(|long| long.body.len() == long.len) {
            let descriptors = self.take_descriptors(long.header.descriptors)?;
            return Ok(Some(Frame { kind: long.header.kind, body: long.body.into(), descriptors }));
        }
        let unread = &self.buffer[self.unread.clone()];
        let (None, Some(header)) = (&self.long, unread.first_chunk::<HEADER_LEN>()) else {
            return Ok(None);
        };
        let header = Header::from_bytes(*header)?;
        let no_memory = || WireError::NoMemory { len: header.len };
        let len = usize::try_from(header.len).map_err(|_| no_memory())?;
        let available = &unread[HEADER_LEN..];
        if len <= available.len() {
            let start = self.unread.start + HEADER_LEN;
            self.unread.start = start + len;
            let descriptors = self.take_descriptors(header.descriptors)?;
            let body = Cow::Borrowed(&self.buffer[start..start + len]);
            return Ok(Some(Frame { kind: header.kind, body, descriptors }));
        }
        if len > BUFFERED_LEN - HEADER_LEN {
            let mut body = Vec::new();
            body.try_reserve_exact(len).map_err(|_| no_memory())?;
            body.extend_from_slice(available);
            self.unread = 0..0;
            self.long = Some(LongFrame { header, len, body });
        }
        Ok(None)
    }

    fn take_descriptors(&mut self, count: u8) -> Result<Vec<OwnedFd>, WireError> {
        let expected = usize::from(count);
        let arrived = if self.has_lost { 0 } else { self.descriptors.len() };
        if arrived < expected {
            return Err(WireError::Descriptors { expected, arrived });
        }
        Ok(self.descriptors.drain(..expected).collect())
    }
}

impl LongFrame {
    /// Reads more of the body and nothing behind it; a body carries no descriptors.
    fn fill(&mut self, mut socket: &UnixStream) -> io::Result<usize> {
        let before = self.body.len();
        let limit = (self.len - before).min(LONG_STEP_LEN);
        let outcome = Read::take(&mut socket, limit as u64).read_to_end(&mut self.body);
        match self.body.len() - before {
            0 => outcome,
            n => Ok(n),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// Reads to the end and gives kind, body and number of descriptors of every frame.
    fn read_all(socket: &UnixStream) -> Result<Vec<(u8, Vec<u8>, usize)>, WireError> {
        let mut reader = FrameReader::new();
        let mut frames = Vec::new();
        loop {
            while let Some(frame) = reader.next_frame()? {
                frames.push((frame.kind, frame.body.into_owned(), frame.descriptors.len()));
            }
            if reader.fill(socket)? == 0 {
                return Ok(frames);
            }
        }
    }

    #[test]
    fn frames_of_every_size_arrive_whole_and_in_order() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let lens = [0, 1, 17, 4000, BUFFERED_LEN - HEADER_LEN, BUFFERED_LEN, 3 << 20, 5, 0];
        let sender = std::thread::spawn(move || {
            for (kind, len) in (0..).zip(lens) {
                let fds = vec![ours.as_fd(); usize::from(kind) * 20];
                send_frame(&ours, kind, &vec![kind; len], &fds).unwrap();
            }
        });
        let frames = read_all(&theirs).unwrap();
        sender.join().unwrap();
        let expected: Vec<_> =
            (0..).zip(lens).map(|(k, len)| (k, vec![k; len], usize::from(k) * 20)).collect();
        assert!(frames == expected);
    }

    #[test]
    fn an_absurd_length_is_an_error_and_no_abort() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let header = Header { kind: 1, descriptors: 0, len: u64::MAX / 2 };
        ours.write_all(&header.to_bytes()).unwrap();
        drop(ours);
        assert!(matches!(read_all(&theirs), Err(WireError::NoMemory { .. })));
    }

    #[test]
    fn missing_descriptors_are_an_error() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(&Header { kind: 1, descriptors: 2, len: 0 }.to_bytes()).unwrap();
        drop(ours);
        let error = read_all(&theirs).unwrap_err();
        assert!(matches!(error, WireError::Descriptors { expected: 2, arrived: 0 }));
    }

    #[test]
    fn a_frame_cut_off_by_death_never_comes_out() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send_frame(&ours, 1, b"whole", &[]).unwrap();
        (&ours).write_all(&Header { kind: 1, descriptors: 0, len: 9 }.to_bytes()).unwrap();
        drop(ours);
        let mut reader = FrameReader::new();
        assert!(reader.fill(&theirs).unwrap() > 0);
        assert_eq!(reader.next_frame().unwrap().unwrap().body, &b"whole"[..]);
        assert!(reader.next_frame().unwrap().is_none());
        assert_eq!(reader.fill(&theirs).unwrap(), 0);
        assert!(reader.next_frame().unwrap().is_none(), "half a frame is none");
    }

    proptest! {
        #[test]
        fn hostile_bytes_are_frames_or_an_error(bytes: Vec<u8>, prefix: bool) {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            if prefix {
                ours.write_all(&MAGIC).unwrap();
            }
            ours.write_all(&bytes).unwrap();
            drop(ours);
            let _frames = read_all(&theirs);
        }
    }
}
