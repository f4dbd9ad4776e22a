//! Whether this process is a copy that was made by `fork`, without an `exec` since.
//!
//! # Safety
//!
//! What runs in a copy stores one atomic and does nothing else, which is allowed there whatever other threads of the
//! original were at.
#![expect(unsafe_code, reason = "to be told of a fork has no safe binding")]

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

static IS_COPY: AtomicBool = AtomicBool::new(false);

/// Makes copies know what they are; `false` if there is no memory for that.
pub(crate) fn watch() -> bool {
    static IS_WATCHED: OnceLock<bool> = OnceLock::new();
    // SAFETY: the function is there as long as the program; see the head of the file.
    *IS_WATCHED.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(note)) } == 0)
}

/// Whether this process is a copy of one that had called [`watch`].
pub(crate) fn is_copy() -> bool {
    IS_COPY.load(Relaxed)
}

extern "C" fn note() {
    IS_COPY.store(true, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the point")]
    fn a_forked_copy_knows_what_it_is_and_its_original_stays_one() {
        assert!(watch());
        assert!(!is_copy());
        // SAFETY: the copy reads one atomic and ends.
        let copy = unsafe { libc::fork() };
        if copy == 0 {
            // SAFETY: ends the process, and does nothing before that.
            unsafe { libc::_exit(if is_copy() { 7 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: writes the status of that child.
        let ended = unsafe { libc::waitpid(copy, &raw mut status, 0) };
        assert_eq!((ended, libc::WEXITSTATUS(status)), (copy, 7));
        assert!(!is_copy());
    }
}
