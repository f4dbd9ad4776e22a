//! The child's side: the one writer of the control socket, and the logger that uses it.

use std::cell::Cell;
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use log::{Log, Metadata, Record};
use mp_reduction::wire::{HEADER_LEN, send_frame_in_place};
use parking_lot::Mutex;

use super::record;
use crate::handshake::{self, kind};
use crate::state::ending::Report;

static UPLINK: OnceLock<Uplink> = OnceLock::new();
static FORWARD: Forward = Forward;

/// The longest frame whose memory a thread keeps for its next record, in bytes.
const KEPT_LEN: usize = 16 * 1024;

thread_local! {
    /// The memory of this thread's last frame.
    static FRAME: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The control socket of this child. One lock: frames of several threads do not mix, and what
/// was logged before the report arrives before it.
#[derive(Debug)]
pub(crate) struct Uplink(Mutex<UnixStream>);

impl Uplink {
    pub(crate) fn new(socket: UnixStream) -> Uplink {
        Uplink(Mutex::new(socket))
    }
}

/// Makes `uplink` the way to the parent.
pub(crate) fn set(uplink: Uplink) {
    let _first = UPLINK.set(uplink);
}

/// Sends the report of this child; a parent that is gone needs none.
pub(crate) fn report(report: &Report) {
    if let Some(uplink) = UPLINK.get() {
        let _sent = handshake::send_report(&uplink.0.lock(), report);
    }
}

/// Forwards records up to `level`, unless this child has a logger of its own already.
pub(crate) fn forward_from(level: Option<u8>) {
    let filter =
        log::LevelFilter::iter().find(|filter| Some(*filter as usize) == level.map(usize::from));
    if let Some(filter) = filter
        && log::set_logger(&FORWARD).is_ok()
    {
        log::set_max_level(filter);
    }
}

struct Forward;

impl Log for Forward {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let Some(uplink) = UPLINK.get() else { return };
        // A record that is made while one is encoded, by a `Display` that logs, finds no frame
        // here, nor does one that is made by the last destructors of a thread.
        let mut frame = FRAME.try_with(Cell::take).unwrap_or_default();
        frame.clear();
        frame.extend_from_slice(&[0; HEADER_LEN]);
        // One without memory for it is lost, rather than the process.
        if record::encode(record, &mut frame).is_ok() {
            // With the parent gone this process is about to end; the record has no reader.
            let _sent = send_frame_in_place(&*uplink.0.lock(), kind::LOG, &mut frame);
        }
        if frame.capacity() <= KEPT_LEN {
            let _kept = FRAME.try_with(|kept| kept.set(frame));
        }
    }

    fn flush(&self) {}
}
