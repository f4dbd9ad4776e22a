//! The program that runs children.

use std::ffi::OsStr;
use std::path::PathBuf;

use parking_lot::RwLock;

/// This program, even if its file was replaced or deleted.
const OWN_PROGRAM: &str = "/proc/self/exe";

static EXECUTABLE: RwLock<Option<PathBuf>> = RwLock::new(None);

/// Has children run through another program, which must in the end run this one: a wrapper that
/// sets limits or traces, say. Children pass the setting on to theirs.
///
/// # Examples
///
/// ```
/// mp_context::set_executable("/proc/self/exe"); // what is used without it
/// ```
#[doc(alias = "multiprocessing.set_executable")]
pub fn set_executable(program: impl AsRef<OsStr>) {
    *EXECUTABLE.write() = Some(PathBuf::from(program.as_ref()));
}

/// What was set, for children to inherit.
pub(crate) fn setting() -> Option<PathBuf> {
    EXECUTABLE.read().clone()
}

/// Applies what the parent had set.
pub(crate) fn inherit(program: Option<PathBuf>) {
    *EXECUTABLE.write() = program;
}

/// The program to run for a setting.
pub(crate) fn program(setting: Option<PathBuf>) -> PathBuf {
    setting.unwrap_or_else(|| PathBuf::from(OWN_PROGRAM))
}
