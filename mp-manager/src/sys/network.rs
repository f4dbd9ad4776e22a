//! Connections to machines that may vanish without a word.

use std::os::fd::AsFd;
use std::time::Duration;

use mp_connection::{Connection, Waitable};
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
    set_tcp_user_timeout,
};

/// After so much silence the system asks whether the other machine is there,
const IDLE: Duration = Duration::from_secs(10);
/// and again after so much,
const INTERVAL: Duration = Duration::from_secs(5);
/// so often, before it gives the connection up.
const ASKS: u32 = 3;
/// In all.
const UNHEARD_MILLIS: u32 = 25_000;

/// Has the system find out that the other machine is gone, within half a minute.
pub(crate) fn watch_over(connection: &Connection) {
    let Ok(descriptor) = connection.descriptor() else { return };
    let socket = descriptor.as_fd();
    // A local one has no need of it, and refuses.
    let watched = set_socket_keepalive(socket, true)
        .and_then(|()| set_tcp_keepidle(socket, IDLE))
        .and_then(|()| set_tcp_keepintvl(socket, INTERVAL))
        .and_then(|()| set_tcp_keepcnt(socket, ASKS))
        // What was sent and is not acknowledged is not waited for longer.
        .and_then(|()| set_tcp_user_timeout(socket, UNHEARD_MILLIS));
    if let Err(error) = watched {
        log::debug!("nobody watches over a connection to another machine: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use rustix::net::sockopt::{
        socket_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_user_timeout,
    };

    use super::*;

    #[test]
    fn a_machine_that_is_silent_is_given_up_within_half_a_minute() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let same = stream.try_clone().unwrap();
        watch_over(&Connection::from(stream));
        assert!(socket_keepalive(&same).unwrap());
        let asked = tcp_keepintvl(&same).unwrap() * tcp_keepcnt(&same).unwrap();
        assert!(tcp_keepidle(&same).unwrap() + asked < Duration::from_secs(30));
        assert!(tcp_user_timeout(&same).unwrap() < 30_000);
    }
}
