//! [`Client`]: connecting to a listener.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::address::Address;
use crate::connection::{Connection, Direction};
use crate::deadline::after;
use crate::error::{AuthenticationFailure, ConnectionError};
use crate::handshake::{Progress, Talk, say};
use crate::state::auth::{Handshake, Key};
use crate::sys::local::{self, Name};
use crate::sys::poll::poll;
use crate::sys::random;
use crate::sys::socket::Socket;

/// Connects to a [`Listener`](crate::Listener).
///
/// See there for an example.
#[derive(Debug)]
#[doc(alias = "multiprocessing.connection.Client")]
pub enum Client {}

impl Client {
    /// Connects to the listener at `address`.
    ///
    /// Without a key this returns as soon as the system has made the connection, whether or not the listener
    /// is accepting just now. With one it sleeps until the listener has accepted, and both know that
    /// the other has the same key; nothing is encrypted.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Connect`] when nobody listens there, with what the system said: not found, or
    /// refused. [`ConnectionError::Authentication`] when the listener has another key or none. If only the
    /// listener has one, this succeeds, and the first [`recv`](Connection::recv) gives that error.
    pub fn connect<A>(address: A, authkey: Option<&[u8]>) -> Result<Connection, ConnectionError>
    where
        A: TryInto<Address>,
        ConnectionError: From<A::Error>,
    {
        connect(&address.try_into()?, authkey, None)
    }

    /// [`connect`](Client::connect), for at most `timeout`. Looking up the name of a host is not
    /// bounded by it.
    ///
    /// # Errors
    ///
    /// [`ConnectionError::Connect`] of kind `TimedOut` when the time is over; else as `connect`.
    pub fn connect_timeout<A>(
        address: A,
        authkey: Option<&[u8]>,
        timeout: Duration,
    ) -> Result<Connection, ConnectionError>
    where
        A: TryInto<Address>,
        ConnectionError: From<A::Error>,
    {
        let deadline = after(timeout);
        connect(&address.try_into()?, authkey, deadline)
    }
}

fn connect(
    address: &Address,
    authkey: Option<&[u8]>,
    deadline: Option<Instant>,
) -> Result<Connection, ConnectionError> {
    address.check()?;
    let key = authkey.map(Key::new).transpose()?;
    let failed = |source: io::Error| ConnectionError::Connect {
        address: address.clone(),
        source: Arc::new(source),
    };
    let socket = dial(address, deadline).map_err(failed)?;
    let Some(key) = key else {
        // That nobody is there any more is told by the first use of the connection.
        let _heard = say(&socket, &Handshake::plain_greeting());
        return Ok(Connection::over(socket, Direction::Duplex));
    };
    let (handshake, hello) = Handshake::client(key, random::bytes()?);
    say(&socket, &hello)?;
    let mut talk = Talk::new(handshake);
    loop {
        match talk.advance(&socket) {
            Progress::Done => return Ok(Connection::over(socket, Direction::Duplex)),
            Progress::Failed(error) => return Err(error),
            Progress::Nobody => return Err(AuthenticationFailure::Left.into()),
            Progress::Waits | Progress::Answered => {}
        }
        let mut fds = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        if !poll(&mut fds, deadline).map_err(ConnectionError::io("wait for a socket"))? {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
    }
}

fn dial(address: &Address, deadline: Option<Instant>) -> io::Result<Socket> {
    let local = |name| local::connect(name, deadline).map(Socket::from);
    match address {
        Address::Tcp { host, port } => dial_tcp(host, *port, deadline).map(Socket::from),
        Address::Path(path) => local(Name::Path(path)),
        Address::Abstract(name) => local(Name::Abstract(name)),
        Address::Unnamed => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Tries all addresses of a host.
fn dial_tcp(host: &str, port: u16, deadline: Option<Instant>) -> io::Result<TcpStream> {
    let Some(deadline) = deadline else { return TcpStream::connect((host, port)) };
    let mut last = io::ErrorKind::NotFound.into();
    for address in (host, port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero is no time limit there, but an error.
        match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
