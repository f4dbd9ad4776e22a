//! [`Pipe`]: two ends that are connected to each other.

use std::os::unix::net::UnixStream;

use crate::connection::{Connection, Direction};
use crate::error::ConnectionError;
use crate::sys::socket::Socket;

/// Makes pairs of connected ends, one of them to be given to another process.
///
/// # Examples
///
/// ```
/// # use mp_connection as mp;
/// let (a, b) = mp::Pipe::duplex()?;
/// a.send(&("what is", 6, "times", 7))?;
/// let question: (String, i32, String, i32) = b.recv()?;
/// b.send(&(question.1 * question.3))?;
/// assert_eq!(a.recv::<i32>()?, 42);
/// # Ok::<(), mp::ConnectionError>(())
/// ```
#[derive(Debug)]
pub enum Pipe {}

impl Pipe {
    /// Two ends, both of which send and receive.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Io`] when the process is at its limit of open files.
    pub fn duplex() -> Result<(Connection, Connection), ConnectionError> {
        let (a, b) = sockets()?;
        Ok((Connection::over(a, Direction::Duplex), Connection::over(b, Direction::Duplex)))
    }

    /// The end that receives and the end that sends.
    ///
    /// # Errors
    ///
    /// As [`duplex`](Pipe::duplex).
    pub fn simplex() -> Result<(Connection, Connection), ConnectionError> {
        let (receiver, sender) = sockets()?;
        // For whoever comes to these sockets other than by our handles.
        receiver.stop_sending();
        sender.stop_receiving();
        let receiver = Connection::over(receiver, Direction::Receive);
        Ok((receiver, Connection::over(sender, Direction::Send)))
    }
}

fn sockets() -> Result<(Socket, Socket), ConnectionError> {
    let (a, b) = UnixStream::pair().map_err(ConnectionError::io("make a pair of sockets"))?;
    Ok((a.into(), b.into()))
}
