//! What parent and child say to each other over the control socket.
//!
//! The parent writes one bootstrap frame before the child exists, so it is there when the child looks.
//! The child writes log records while it runs and one report at its end. That the child has taken
//! its call needs no message: the kernel tells the parent whether the frame was read.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use mp_reduction::{BuildId, Message, Offset, wire};
use mp_remote_exception::RemoteException;
use rustix::fs::MemfdFlags;
use serde::{Deserialize, Serialize};

use crate::state::ending::Report;

/// The kinds of frames.
pub(crate) mod kind {
    pub(crate) const BOOTSTRAP: u8 = 1;
    pub(crate) const LOG: u8 = 2;
    pub(crate) const RETURNED: u8 = 3;
    pub(crate) const RAISED: u8 = 4;
    pub(crate) const ARGUMENTS_UNDECODABLE: u8 = 5;
    pub(crate) const RESULT_UNENCODABLE: u8 = 6;
    pub(crate) const REFUSED: u8 = 7;
}

/// Arguments up to this length travel in the socket; longer ones in memory of their own, so that
/// starting never waits for the child to read.
const INLINE_LEN: usize = 64 * 1024;

/// Everything that a child is told.
#[derive(Serialize, Deserialize)]
pub(crate) struct Bootstrap {
    pub(crate) build: BuildId,
    pub(crate) entry: Offset,
    pub(crate) on_failure: Option<Offset>,
    pub(crate) name: String,
    /// Counters from the main process down, `1:3`, for default names.
    pub(crate) identity: String,
    pub(crate) daemon: bool,
    /// Whether it may start processes.
    pub(crate) may_have_children: bool,
    pub(crate) parent_name: String,
    pub(crate) parent_pid: u32,
    /// `None`: the child's records are not forwarded.
    pub(crate) log_level: Option<u8>,
    #[serde(with = "serde_bytes")]
    pub(crate) authkey: Vec<u8>,
    pub(crate) cpus: Option<Vec<usize>>,
    pub(crate) executable: Option<PathBuf>,
    /// The session of shared memory that the parent is in.
    pub(crate) session: String,
    pub(crate) arguments: Arguments,
}

/// Where the encoded arguments are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Arguments {
    Inline(#[serde(with = "serde_bytes")] Vec<u8>),
    /// In the memory behind the second descriptor.
    Memory {
        len: usize,
    },
}

/// Writes the bootstrap frame; blocks on nothing, the socket is new.
pub(crate) fn send_bootstrap(
    socket: &UnixStream,
    bootstrap: &mut Bootstrap,
    lifeline: BorrowedFd<'_>,
    arguments: &Message,
) -> Result<(), BootstrapError> {
    let memory;
    let mut descriptors = vec![lifeline];
    if arguments.bytes().len() <= INLINE_LEN {
        bootstrap.arguments = Arguments::Inline(arguments.bytes().to_vec());
    } else {
        bootstrap.arguments = Arguments::Memory { len: arguments.bytes().len() };
        memory = to_memory(arguments.bytes()).map_err(BootstrapError::Memory)?;
        descriptors.push(memory.as_fd());
    }
    descriptors.extend(arguments.attachments().iter().map(AsFd::as_fd));
    if descriptors.len() > wire::MAX_DESCRIPTORS {
        let (count, max) = (arguments.attachments().len(), wire::MAX_DESCRIPTORS - 2);
        let reason = format!("they hold {count} descriptors, at most {max} fit beside our own");
        return Err(BootstrapError::TooMany(reason));
    }
    let body =
        mp_reduction::encode(bootstrap).map_err(|e| BootstrapError::Send(io::Error::other(e)))?;
    wire::send_frame(socket, kind::BOOTSTRAP, body.bytes(), &descriptors)
        .map_err(BootstrapError::Send)
}

/// Why a bootstrap was not sent.
pub(crate) enum BootstrapError {
    Memory(io::Error),
    Send(io::Error),
    /// More descriptors than a message carries.
    TooMany(String),
}

fn to_memory(bytes: &[u8]) -> io::Result<File> {
    // Beyond this limit the kernel would not fail the write but send a signal.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
    if limit.is_some_and(|limit| bytes.len() as u64 > limit) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut memory = File::from(rustix::fs::memfd_create("mp-arguments", MemfdFlags::CLOEXEC)?);
    memory.write_all(bytes)?;
    Ok(memory)
}

/// A bootstrap as it arrived.
pub(crate) struct Call {
    pub(crate) bootstrap: Bootstrap,
    pub(crate) lifeline: OwnedFd,
    pub(crate) arguments: Message,
}

/// Reads the bootstrap frame.
pub(crate) fn receive_bootstrap(socket: &UnixStream) -> Result<Call, String> {
    let mut reader = wire::FrameReader::new();
    loop {
        if let Some(frame) = reader.next_frame().map_err(|error| error.to_string())? {
            let mut descriptors = frame.descriptors.into_iter();
            let message = Message::from_parts(frame.body.into_owned(), Vec::new());
            let mut bootstrap: Bootstrap = message.decode().map_err(|error| {
                format!("its bootstrap is that of another version of the library ({error})")
            })?;
            let lifeline = descriptors.next().ok_or("its bootstrap has no lifeline")?;
            let bytes = match &mut bootstrap.arguments {
                Arguments::Inline(bytes) => std::mem::take(bytes),
                Arguments::Memory { len } => {
                    let memory = descriptors.next().ok_or("its arguments did not come along")?;
                    from_memory(memory, *len).map_err(|error| {
                        format!("cannot read its {len} bytes of arguments: {error}")
                    })?
                }
            };
            let arguments = Message::from_parts(bytes, descriptors.collect());
            return Ok(Call { bootstrap, lifeline, arguments });
        }
        match reader.fill(socket) {
            Ok(0) => return Err("its bootstrap ended early".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("cannot read its bootstrap: {error}")),
        }
    }
}

fn from_memory(memory: OwnedFd, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    bytes.resize(len, 0);
    File::from(memory).read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Writes the report of a child; blocks until the parent has read most of it.
pub(crate) fn send_report(socket: &UnixStream, report: &Report) -> io::Result<()> {
    match report {
        Report::Returned(message) => {
            let descriptors: Vec<_> = message.attachments().iter().map(AsFd::as_fd).collect();
            wire::send_frame(socket, kind::RETURNED, message.bytes(), &descriptors)
        }
        Report::Raised(remote) => {
            let body = mp_reduction::encode(remote).map_err(io::Error::other)?;
            wire::send_frame(socket, kind::RAISED, body.bytes(), &[])
        }
        Report::ArgumentsUndecodable(text) => send_text(socket, kind::ARGUMENTS_UNDECODABLE, text),
        Report::ResultUnencodable(text) => send_text(socket, kind::RESULT_UNENCODABLE, text),
        Report::Refused(text) => send_text(socket, kind::REFUSED, text),
    }
}

fn send_text(socket: &UnixStream, kind: u8, text: &str) -> io::Result<()> {
    wire::send_frame(socket, kind, text.as_bytes(), &[])
}

/// Reads a frame that is not a log record as a report.
pub(crate) fn report_from(frame: wire::Frame<'_>) -> Result<Report, String> {
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    Ok(match frame.kind {
        kind::RETURNED => {
            Report::Returned(Message::from_parts(frame.body.into_owned(), frame.descriptors))
        }
        kind::RAISED => {
            let message = Message::from_parts(frame.body.into_owned(), Vec::new());
            Report::Raised(message.decode::<RemoteException>().map_err(|e| e.to_string())?)
        }
        kind::ARGUMENTS_UNDECODABLE => Report::ArgumentsUndecodable(text(&frame.body)),
        kind::RESULT_UNENCODABLE => Report::ResultUnencodable(text(&frame.body)),
        kind::REFUSED => Report::Refused(text(&frame.body)),
        other => return Err(format!("unknown kind of message {other}")),
    })
}
