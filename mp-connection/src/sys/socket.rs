//! A connected stream socket: what it has room for and what has arrived, without ever waiting.
//!
//! No call depends on whether the descriptor is in blocking mode, which all its copies in all processes
//! share.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use mp_reduction::MAX_DESCRIPTORS;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketType, recv, recvmsg, sendmsg, shutdown,
    sockopt,
};

use crate::error::ConnectionError;

/// So much is thrown away at a time.
const UNREAD_STEP_LEN: usize = 64 * 1024;

/// A connected stream socket.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    /// Whether it is a local one, which carries descriptors.
    is_local: bool,
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Socket {
        Socket { fd: stream.into(), is_local: true }
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Socket {
        // Messages are short and answers to each other. Without it they only are slower.
        let _set = stream.set_nodelay(true);
        Socket { fd: stream.into(), is_local: false }
    }
}

/// Only if it is one.
impl TryFrom<OwnedFd> for Socket {
    type Error = ConnectionError;

    fn try_from(fd: OwnedFd) -> Result<Socket, ConnectionError> {
        let refuse = |reason| Err(ConnectionError::NotASocket { reason });
        let is_listening = match sockopt::socket_acceptconn(&fd) {
            Err(Errno::NOTSOCK) => return refuse("it is no socket"),
            other => other.map_err(ConnectionError::io("look at a socket"))?,
        };
        let kind = sockopt::socket_type(&fd).map_err(ConnectionError::io("look at a socket"))?;
        if is_listening || kind != SocketType::STREAM {
            return refuse("it is no stream between two sockets");
        }
        match sockopt::socket_domain(&fd).map_err(ConnectionError::io("look at a socket"))? {
            AddressFamily::UNIX => Ok(Socket { fd, is_local: true }),
            AddressFamily::INET | AddressFamily::INET6 => Ok(TcpStream::from(fd).into()),
            _ => refuse("its family is neither local nor that of TCP"),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Socket {
    pub(crate) fn carries_descriptors(&self) -> bool {
        self.is_local
    }

    /// Sends as much as there is room for, the descriptors with the first byte.
    pub(crate) fn send(
        &self,
        parts: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        Ok(retry_on_intr(|| sendmsg(&self.fd, parts, &mut ancillary, flags))?)
    }

    /// Receives what is there, at most as much as `buffer` holds, and the descriptors with it; 0 is the end.
    pub(crate) fn receive_with_descriptors(
        &self,
        buffer: &mut [u8],
        descriptors: &mut Vec<OwnedFd>,
    ) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received = retry_on_intr(|| {
            recvmsg(&self.fd, &mut [IoSliceMut::new(buffer)], &mut ancillary, flags)
        })?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                descriptors.extend(fds);
            }
        }
        Ok(received.bytes)
    }

    /// Appends what is there to `bytes`, as much as they have room for and at most `limit`; 0 is the end.
    pub(crate) fn receive(&self, bytes: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        let room = bytes.capacity() - bytes.len();
        if room <= limit {
            let receive =
                || recv(&self.fd, rustix::buffer::spare_capacity(&mut *bytes), RecvFlags::DONTWAIT);
            return Ok(retry_on_intr(receive)?.1);
        }
        // There is more room than may be filled.
        let start = bytes.len();
        bytes.resize(start + limit, 0);
        let received = retry_on_intr(|| recv(&self.fd, &mut bytes[start..], RecvFlags::DONTWAIT));
        bytes.truncate(start + received.map_or(0, |(n, _)| n));
        Ok(received?.1)
    }

    /// Nobody receives from it any more, in whatever process, and who sends to it is told.
    ///
    /// Over the network the sender is told only when the socket is closed.
    pub(crate) fn stop_receiving(&self) {
        let _already = shutdown(&self.fd, Shutdown::Read);
        if self.is_local {
            // Who waits for room is woken by room, and by nothing else.
            let mut unread = Vec::with_capacity(UNREAD_STEP_LEN);
            while matches!(self.receive(&mut unread, UNREAD_STEP_LEN), Ok(1..)) {
                unread.clear();
            }
        }
    }

    /// Nobody sends to it any more, in whatever process, and who receives from it is told.
    pub(crate) fn stop_sending(&self) {
        let _already = shutdown(&self.fd, Shutdown::Write);
    }

    /// Another descriptor for the same socket.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}
