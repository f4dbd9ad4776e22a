//! Sockets whose messages arrive whole or not at all, with descriptors.
//!
//! Between processes of one machine: who holds an end can be told things, and the last copy of an end that is closed is an
//! end of file at the other, whoever held it and however it ended.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use mp_reduction::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use serde::Serialize;

/// No packet is longer than this.
const MAX_LEN: usize = 16 * 1024;
/// No packet has more descriptors than this.
const MAX_DESCRIPTORS: usize = 16;

/// Two ends that are connected to each other.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    Ok(socketpair(family, kind, SocketFlags::CLOEXEC, None)?)
}

/// Sends a value; sleeps while there is no room for it if `sleeps`, else that is
/// [`WouldBlock`](io::ErrorKind::WouldBlock).
pub(crate) fn send<T: Serialize>(socket: impl AsFd, value: &T, sleeps: bool) -> io::Result<()> {
    let message = mp_reduction::encode(value).map_err(io::Error::other)?;
    let descriptors: Vec<BorrowedFd<'_>> = message.attachments().iter().map(AsFd::as_fd).collect();
    if message.bytes().len() > MAX_LEN || descriptors.len() > MAX_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut flags = SendFlags::NOSIGNAL;
    if !sleeps {
        flags |= SendFlags::DONTWAIT;
    }
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        }
        match sendmsg(&socket, &[IoSlice::new(message.bytes())], &mut ancillary, flags) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What a socket gives.
pub(crate) enum Received {
    Message(Message),
    /// What belongs to a message was lost: this process is at its limit of open files.
    Lost,
    /// There is nothing now.
    Nothing,
    /// There is never anything again.
    End,
}

/// Receives without sleeping.
pub(crate) fn receive(socket: impl AsFd) -> io::Result<Received> {
    let mut bytes = vec![0; MAX_LEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let received = loop {
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        match recvmsg(&socket, parts, &mut ancillary, flags) {
            Ok(received) => {
                let mut descriptors: Vec<OwnedFd> = Vec::new();
                for part in ancillary.drain() {
                    if let RecvAncillaryMessage::ScmRights(fds) = part {
                        descriptors.extend(fds);
                    }
                }
                break (received, descriptors);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(Errno::CONNRESET) => return Ok(Received::End),
            Err(error) => return Err(error.into()),
        }
    };
    let (received, descriptors) = received;
    if received.bytes == 0 {
        return Ok(Received::End);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        // Too long for any of ours.
        return Err(Errno::MSGSIZE.into());
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Ok(Received::Lost);
    }
    bytes.truncate(received.bytes);
    Ok(Received::Message(Message::from_parts(bytes, descriptors)))
}

/// Sleeps until one of the sockets has something, or can take something again if so asked; whether one is ready, each.
pub(crate) fn wait(
    sockets: &[(BorrowedFd<'_>, PollFlags)],
    deadline: Option<Instant>,
) -> io::Result<Vec<PollFlags>> {
    let mut fds: Vec<PollFd<'_>> =
        sockets.iter().map(|(socket, events)| PollFd::from_borrowed_fd(*socket, *events)).collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let spec = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut fds, spec.as_ref()) {
            Ok(_) => return Ok(fds.iter().map(PollFd::revents).collect()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether nobody holds the other end any more, whatever is still to be received.
pub(crate) fn has_ended(socket: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&socket, PollFlags::RDHUP)];
    // Without waiting it cannot be interrupted.
    let polled = poll(&mut fds, Some(&Timespec::default()));
    let end = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
    polled.is_ok() && fds[0].revents().intersects(end)
}

#[cfg(test)]
mod tests {
    use mp_reduction::DupFd;

    use super::*;

    fn text(received: Received) -> Option<String> {
        match received {
            Received::Message(message) => Some(message.decode().unwrap()),
            Received::Nothing => Some("nothing".to_owned()),
            Received::Lost => Some("lost".to_owned()),
            Received::End => None,
        }
    }

    #[test]
    fn packets_arrive_one_by_one_and_then_the_end() {
        let (a, b) = pair().unwrap();
        send(&a, &"one", true).unwrap();
        send(&a, &"two", false).unwrap();
        assert_eq!(text(receive(&b).unwrap()).unwrap(), "one");
        assert_eq!(text(receive(&b).unwrap()).unwrap(), "two");
        assert_eq!(text(receive(&b).unwrap()).unwrap(), "nothing");
        send(&a, &"last", true).unwrap();
        assert!(!has_ended(&b));
        drop(a);
        assert!(has_ended(&b));
        assert_eq!(text(receive(&b).unwrap()).unwrap(), "last");
        assert_eq!(text(receive(&b).unwrap()), None);
        send(&b, &"three", true).unwrap_err();
    }

    #[test]
    fn an_end_in_a_packet_is_open_until_the_packet_is_gone() {
        let (a, b) = pair().unwrap();
        let (watched, sent) = pair().unwrap();
        send(&a, &DupFd::from(sent), true).unwrap();
        assert_eq!(text(receive(&watched).unwrap()).unwrap(), "nothing");
        drop(b);
        drop(a);
        assert_eq!(text(receive(&watched).unwrap()), None);
    }

    #[test]
    fn a_full_socket_is_said_to_be_so() {
        let (a, _b) = pair().unwrap();
        let error = loop {
            if let Err(error) = send(&a, &"x", false) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        send(&a, &vec![0_u64; MAX_LEN], false).unwrap_err();
    }
}
