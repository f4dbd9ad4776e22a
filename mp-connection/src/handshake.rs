//! A handshake on a socket, one packet at a time, without ever waiting.
//!
//! [`state::auth`](crate::state::auth) decides what is said. This file reads exactly one packet, so a message
//! behind the last one stays in the socket.

use std::io::{self, IoSlice};

use rustix::io::Errno;

use crate::error::{AuthenticationFailure, ConnectionError};
use crate::frame::kind;
use crate::state::auth::{Answer, Handshake, PACKET_LEN, Packet, Step, may_begin};
use crate::sys::socket::Socket;

/// So much of what a refused client has said already is received.
const UNHEARD_LEN: usize = 64 * 1024;

/// A handshake and the part of a packet that has arrived.
#[derive(Debug)]
pub(crate) struct Talk {
    handshake: Handshake,
    heard: Vec<u8>,
    /// Whether the other side has said anything.
    has_heard: bool,
}

/// How far it has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// The other side has not said enough.
    Waits,
    /// The other side was answered, and has not said enough since.
    Answered,
    /// The other side is known.
    Done,
    /// The other side left without a word.
    Nobody,
    Failed(ConnectionError),
}

impl Talk {
    pub(crate) fn new(handshake: Handshake) -> Talk {
        Talk { handshake, heard: Vec::with_capacity(PACKET_LEN), has_heard: false }
    }

    /// Goes as far as what has arrived allows.
    pub(crate) fn advance(&mut self, socket: &Socket) -> Progress {
        let mut waits = Progress::Waits;
        loop {
            let missing = PACKET_LEN - self.heard.len();
            match socket.receive(&mut self.heard, missing) {
                Ok(0) => return self.left(),
                Ok(_) => self.has_heard = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return waits,
                Err(error) if error.raw_os_error() == Some(Errno::CONNRESET.raw_os_error()) => {
                    return self.left();
                }
                Err(error) => {
                    return Progress::Failed(ConnectionError::io("receive from a socket")(error));
                }
            }
            if self.heard.len() < PACKET_LEN && may_begin(&self.heard) {
                continue;
            }
            // What can be no packet is not waited for to its end.
            self.heard.resize(PACKET_LEN, 0);
            let Some(packet) = self.heard.first_chunk::<PACKET_LEN>().copied() else { continue };
            self.heard.clear();
            match self.handshake.take(&packet) {
                Step::Answer(answer) => {
                    if let Err(error) = say(socket, &answer) {
                        return Progress::Failed(error);
                    }
                    waits = Progress::Answered;
                }
                Step::Done(None) => return Progress::Done,
                Step::Done(Some(answer)) => {
                    return say(socket, &answer).map_or_else(Progress::Failed, |()| Progress::Done);
                }
                Step::Failed { answer, failure } => {
                    refuse(socket, answer);
                    return Progress::Failed(failure.into());
                }
            }
        }
    }

    fn left(&self) -> Progress {
        if self.has_heard {
            Progress::Failed(AuthenticationFailure::Left.into())
        } else {
            Progress::Nobody
        }
    }
}

/// Says something to a side that waits for it, so there is room in its socket.
pub(crate) fn say(socket: &Socket, packet: &Packet) -> Result<(), ConnectionError> {
    match socket.send(&[IoSlice::new(packet)], &[]) {
        Ok(PACKET_LEN) => Ok(()),
        Ok(_) => Err(AuthenticationFailure::Malformed.into()),
        Err(error) => match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                Err(AuthenticationFailure::Left.into())
            }
            // It does not take what it is told: it is none of ours.
            io::ErrorKind::WouldBlock => Err(AuthenticationFailure::Malformed.into()),
            _ => Err(ConnectionError::io("send to a socket")(error)),
        },
    }
}

/// Says no, if the other side listens, and no more.
fn refuse(socket: &Socket, answer: Answer) {
    let _heard = match answer {
        Answer::Nothing => Ok(()),
        Answer::Packet(packet) => say(socket, &packet),
        Answer::Message => {
            let header = mp_reduction::wire::Header { kind: kind::REFUSED, descriptors: 0, len: 0 };
            let sent = socket.send(&[IoSlice::new(&header.to_bytes())], &[]);
            sent.map(drop).map_err(ConnectionError::io("send to a socket"))
        }
    };
    // A network connection that is closed before all was received takes back what it said last.
    socket.stop_sending();
    let _unheard = socket.receive(&mut Vec::with_capacity(UNHEARD_LEN), UNHEARD_LEN);
}
