//! [`Line`]: the way of calls and replies between a thread of a client and the thread of the server that serves it.
//!
//! On one machine it is two queues in shared memory, and a socket for descriptors; between machines a connection.

use std::time::Instant;

use mp_connection::{Connection, ConnectionError, Pipe};
use mp_queues::QueueError;
use mp_queues::parts::{Messages, Purpose};
use mp_reduction::{Attachments, MAX_DESCRIPTORS, Message};
use mp_sync::parts::has_passed;
use serde::{Deserialize, Serialize};

use mp_reduction::in_full;

/// One end of a line.
#[derive(Debug)]
pub(crate) enum Line {
    Shared(SharedLine),
    Network(Connection),
}

/// One end of a line in shared memory, which can be sent to who is to have it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SharedLine {
    incoming: Messages,
    outgoing: Messages,
    descriptors: Connection,
}

/// What came of waiting for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    Received,
    /// The other side is gone, or nobody is to wait here any more.
    Over,
    TimedOut,
}

/// Why a message was not sent or received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The other side is gone.
    #[error("the other side is gone")]
    Over,
    /// Descriptors do not travel between machines.
    #[error("{count} handles or descriptors cannot leave this machine")]
    Descriptors {
        /// How many there are.
        count: usize,
    },
    #[error("{}", in_full(.0))]
    Queue(QueueError),
    #[error("{}", in_full(.0))]
    Connection(ConnectionError),
}

impl From<QueueError> for LineError {
    fn from(error: QueueError) -> LineError {
        LineError::Queue(error)
    }
}

impl From<ConnectionError> for LineError {
    fn from(error: ConnectionError) -> LineError {
        match error {
            ConnectionError::EndOfFile
            | ConnectionError::BrokenPipe
            | ConnectionError::Closed
            | ConnectionError::Truncated { .. } => LineError::Over,
            error => LineError::Connection(error),
        }
    }
}

impl SharedLine {
    /// The two ends of a new line.
    pub(crate) fn pair() -> Result<(SharedLine, SharedLine), LineError> {
        let (there, back) = (Messages::new(Purpose::Server)?, Messages::new(Purpose::Server)?);
        let (a, b) = Pipe::duplex()?;
        let ours = SharedLine { incoming: back.clone(), outgoing: there.clone(), descriptors: a };
        Ok((ours, SharedLine { incoming: there, outgoing: back, descriptors: b }))
    }
}

impl Line {
    /// Sends a message, of which the other side knows how many descriptors belong to it.
    pub(crate) fn send(&self, bytes: &[u8], attachments: &Attachments) -> Result<(), LineError> {
        let descriptors = attachments.descriptors();
        match self {
            Line::Shared(line) => {
                // They are there when the message is.
                for some in descriptors.chunks(MAX_DESCRIPTORS) {
                    let copies = some.iter().map(|fd| fd.try_clone().map_err(copying));
                    let copies = copies.collect::<Result<_, _>>()?;
                    line.descriptors.send_message(&Message::from_parts(Vec::new(), copies))?;
                }
                Ok(line.outgoing.put(bytes, &Attachments::default())?)
            }
            Line::Network(_) if !descriptors.is_empty() => {
                Err(LineError::Descriptors { count: descriptors.len() })
            }
            Line::Network(connection) => Ok(connection.send_bytes(bytes)?),
        }
    }

    /// Waits for a message; `is_over` is asked after each [`wake`](Line::wake).
    pub(crate) fn receive(
        &self,
        buffer: &mut Vec<u8>,
        deadline: Option<Instant>,
        is_over: impl Fn() -> bool,
    ) -> Result<Waited, LineError> {
        match self {
            Line::Shared(line) => loop {
                if line.incoming.wait_when_told(deadline, &is_over)? || !line.incoming.is_empty() {
                    match line.incoming.take(buffer, false, |_| ()) {
                        Ok(taken) => break drop(taken?),
                        // It was none after all.
                        Err(QueueError::Empty) => {}
                        Err(error) => return Err(error.into()),
                    }
                } else if is_over() {
                    return Ok(Waited::Over);
                } else if has_passed(deadline) {
                    return Ok(Waited::TimedOut);
                }
            },
            Line::Network(connection) => {
                if let Some(deadline) = deadline {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if !connection.poll(Some(left))? {
                        return Ok(Waited::TimedOut);
                    }
                }
                match connection.recv_bytes().map_err(LineError::from) {
                    Ok(bytes) => *buffer = bytes,
                    Err(LineError::Over) => return Ok(Waited::Over),
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Waited::Received)
    }

    /// The descriptors that belong to the message that was received last.
    pub(crate) fn receive_attachments(&self, count: u32) -> Result<Attachments, LineError> {
        let count = count as usize;
        match self {
            _ if count == 0 => Ok(Attachments::default()),
            Line::Network(_) => Err(LineError::Over),
            Line::Shared(line) => {
                let mut descriptors = Vec::new();
                while descriptors.len() < count {
                    let message = line.descriptors.recv_message()?;
                    let before = descriptors.len();
                    for fd in message.attachments() {
                        descriptors.push(fd.try_clone().map_err(copying)?);
                    }
                    if descriptors.len() == before {
                        return Err(LineError::Over);
                    }
                }
                Ok(Attachments::from(descriptors))
            }
        }
    }

    /// Has who waits here ask whether it is over; a network connection is closed.
    pub(crate) fn wake(&self) {
        match self {
            Line::Shared(line) => {
                line.incoming.wake();
                line.descriptors.close();
            }
            Line::Network(connection) => connection.close(),
        }
    }
}

fn copying(source: std::io::Error) -> LineError {
    LineError::Connection(ConnectionError::Io {
        what: "duplicate a descriptor",
        source: std::sync::Arc::new(source),
    })
}
