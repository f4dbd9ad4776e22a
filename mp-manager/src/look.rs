//! Servers as seen from outside, by one who changes nothing.
//!
//! What is said at the window of a server: it says the length of its answer, eight bytes with the lowest first, and the
//! answer, an encoded [`View`]. Who asks says nothing.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_reduction::{Attachments, DecodeError, EncodeError, decode_from, encode_bytes};
use mp_shared_memory::look::{Seen, Topic};
use mp_shared_memory::session;
use mp_sync::parts::after;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

pub use mp_reduction::in_full;

/// How long the length of an answer is.
const HEAD_LEN: usize = size_of::<u64>();
/// No longer answer is read.
const MAX_ANSWER_LEN: usize = 64 * 1024 * 1024;
/// So much is read at once.
const PART_LEN: usize = 64 * 1024;

/// What a server shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The name of its process.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
    /// The pids of its clients.
    pub clients: Vec<u32>,
    /// Its objects.
    pub objects: Vec<ObjectView>,
}

/// What a server shows of one of its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// Its number; later objects have higher ones.
    pub id: u64,
    /// What its type is called.
    pub type_name: String,
    /// How many processes, messages, containers and proxies in the server refer to it.
    pub references: usize,
}

/// Why a server has shown nothing; it reads well after "the server ".
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// It has not said all within the limit: it is stopped or swamped, or is no server.
    #[error("did not answer within {} s", .0.as_secs_f64())]
    TimedOut(Duration),
    /// The address is in the hands of somebody else.
    #[error("did not answer, but process {pid} of user {uid} did")]
    Stranger {
        /// Who listens there; 0 if that is in a pid namespace which this process does not see.
        pid: u32,
        /// Its effective user.
        uid: u32,
    },
    /// It has ended, tells this user nothing, or had no more patience.
    #[error("hung up before it had answered")]
    HungUp,
    /// It has more to tell than is read.
    #[error("has an answer of {0} bytes, which is too long")]
    TooLong(u64),
    /// What it says is no answer.
    #[error("gave an answer that cannot be understood")]
    Garbled(#[source] DecodeError),
    /// The system does not let it be asked.
    #[error("cannot be asked")]
    System(#[source] Arc<io::Error>),
}

/// Asks the server behind a notice, which process `pid` has posted; `None` if the notice is not one of a server.
///
/// It waits for `limit` at most, from connecting to the last byte of the answer.
pub fn ask(seen: &Seen, pid: u32, limit: Duration) -> Option<Result<View, LookError>> {
    let deadline = after(limit);
    (seen.topic == Topic::Server).then(|| {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::TimedOut => LookError::TimedOut(limit),
            io::ErrorKind::ConnectionReset => LookError::HungUp,
            _ => LookError::System(Arc::new(error)),
        };
        let socket = dial(seen.text.as_bytes(), deadline).map_err(failed)?;
        check(&socket, pid)?;
        let answer = receive(|part| read(&socket, part, deadline).map_err(failed))?;
        decode_from(&answer, &Attachments::NONE).map_err(LookError::Garbled)
    })
}

/// What is sent to whoever asks.
///
/// # Errors
///
/// [`EncodeError`] when there is no memory for it.
pub(crate) fn answer(view: &View) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = vec![0; HEAD_LEN];
    encode_bytes(view, &mut bytes)?;
    let len = (bytes.len() - HEAD_LEN) as u64;
    bytes[..HEAD_LEN].copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

/// Sleeps while there are too many who wait to be accepted.
fn dial(name: &[u8], deadline: Option<Instant>) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new_abstract_name(name)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    loop {
        set_socket_timeout(&socket, Timeout::Send, left(deadline)?)?;
        match connect(&socket, &address) {
            Ok(()) => return Ok(UnixStream::from(socket)),
            // The clock of the system is coarse, and may say so a moment too early.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The time that is left, which is more than none; `None` for ever.
fn left(deadline: Option<Instant>) -> io::Result<Option<Duration>> {
    // The system takes no more than fits into its clock.
    const LONGEST: Duration = Duration::from_secs(1 << 30);
    let Some(deadline) = deadline else { return Ok(None) };
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(Some(left.min(LONGEST))),
    }
}

/// Whether it is the process that listens, and one of this user or of the superuser; the superuser looks at all.
fn check(socket: &UnixStream, pid: u32) -> Result<(), LookError> {
    let peer = session::peer_of(socket);
    let (listens, uid) = peer.map_err(|error| LookError::System(Arc::new(error)))?;
    let own = geteuid();
    let is_trusted = uid == own.as_raw() || uid == 0 || own.is_root();
    if listens == Some(pid) && is_trusted {
        return Ok(());
    }
    // In another pid namespace it has no pid here.
    Err(LookError::Stranger { pid: listens.unwrap_or(0), uid })
}

fn read(mut socket: &UnixStream, part: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
    loop {
        socket.set_read_timeout(left(deadline)?)?;
        match socket.read(part) {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            outcome => return outcome,
        }
    }
}

/// Reads an answer; never more than a part beyond what its length says.
fn receive(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, LookError>,
) -> Result<Vec<u8>, LookError> {
    let (mut bytes, mut part) = (Vec::new(), vec![0; PART_LEN]);
    loop {
        if let Some((head, answer)) = bytes.split_first_chunk::<HEAD_LEN>() {
            let len = u64::from_le_bytes(*head);
            match usize::try_from(len) {
                Ok(len) if len <= answer.len() => return Ok(bytes.split_off(HEAD_LEN)),
                Ok(len) if len <= MAX_ANSWER_LEN => {}
                _ => return Err(LookError::TooLong(len)),
            }
        }
        match read(&mut part)? {
            0 => return Err(LookError::HungUp),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads what comes in parts of such lengths, and then the end.
    fn received(
        mut bytes: &[u8],
        mut lens: impl Iterator<Item = usize>,
    ) -> Result<View, LookError> {
        let answer = receive(|part| {
            let count = lens.next().unwrap_or(PART_LEN).min(bytes.len()).min(part.len());
            let (now, later) = bytes.split_at(count);
            part[..count].copy_from_slice(now);
            bytes = later;
            Ok(count)
        })?;
        decode_from(&answer, &Attachments::NONE).map_err(LookError::Garbled)
    }

    fn view(objects: usize) -> View {
        let object = |id| ObjectView { id, type_name: "list".to_owned(), references: 1 };
        View {
            name: "Manager-1".to_owned(),
            pid: 7,
            address: "@there".to_owned(),
            clients: vec![8, 9],
            objects: (0..objects as u64).map(object).collect(),
        }
    }

    #[test]
    fn an_answer_is_refused_for_its_length_before_it_is_read() {
        let len = MAX_ANSWER_LEN as u64 + 1;
        for len in [len, u64::MAX] {
            let refused = received(&len.to_le_bytes(), std::iter::empty());
            assert!(matches!(refused, Err(LookError::TooLong(seen)) if seen == len), "{refused:?}");
        }
    }

    proptest! {
        #[test]
        fn an_answer_in_any_parts_is_whole_and_half_of_it_is_none(
            objects in 0..50_usize, lens in prop::collection::vec(1..200_usize, 0..50), cut in any::<usize>(),
        ) {
            let bytes = answer(&view(objects)).unwrap();
            prop_assert_eq!(received(&bytes, lens.iter().copied()).unwrap(), view(objects));
            let half = received(&bytes[..cut % bytes.len()], lens.iter().copied());
            prop_assert!(matches!(half, Err(LookError::HungUp)), "{:?}", half);
        }

        #[test]
        fn any_bytes_are_safe_to_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut framed = (bytes.len() as u64).to_le_bytes().to_vec();
            framed.extend_from_slice(&bytes);
            prop_assert!(received(&framed, std::iter::empty()).is_err());
            prop_assert!(received(&bytes, std::iter::empty()).is_err());
        }
    }
}
