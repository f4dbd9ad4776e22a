//! Where a forwarded record came from, as key-values of the record.

use std::time::{Duration, SystemTime};

use log::Record;
use log::kv::Key;

pub(crate) const PROCESS: &str = "process";
pub(crate) const PID: &str = "pid";
pub(crate) const THREAD: &str = "thread";
pub(crate) const TIME: &str = "time_unix_ns";

/// The process that made a log record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOrigin {
    /// The name of the process.
    pub process: String,
    /// Its pid.
    pub pid: u32,
    /// The name of the thread, if it has one.
    pub thread: Option<String>,
    /// When the record was made.
    pub time: SystemTime,
}

/// Reads back which process a forwarded record came from; `None` for a record of this process.
///
/// # Examples
///
/// ```
/// let mine = log::Record::builder().args(format_args!("here")).build();
/// assert!(mp_context::log_origin(&mine).is_none());
/// ```
pub fn log_origin(record: &Record<'_>) -> Option<LogOrigin> {
    let values = record.key_values();
    let number = |key: &str| values.get(Key::from_str(key))?.to_u64();
    let text = |key: &str| Some(values.get(Key::from_str(key))?.to_string());
    let time = number(TIME)?;
    Some(LogOrigin {
        process: text(PROCESS)?,
        pid: u32::try_from(number(PID)?).ok()?,
        thread: text(THREAD),
        time: SystemTime::UNIX_EPOCH + Duration::from_nanos(time),
    })
}

/// Whether `key` is one that a replayed record got for its origin.
pub(crate) fn is_origin(key: &str) -> bool {
    [PROCESS, PID, THREAD, TIME].contains(&key)
}

/// Renames keys of the user that the origin needs, `process` to `user.process`.
pub(crate) fn make_room<'a>(keys: impl Iterator<Item = &'a mut String>) {
    for key in keys.filter(|key| is_origin(key)) {
        key.insert_str(0, "user.");
    }
}
