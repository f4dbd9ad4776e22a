//! Sleeping and waking on a word, and nothing else.
//!
//! # Safety
//!
//! The kernel gets only addresses borrowed for the whole call and never writes through them.
#![expect(unsafe_code, reason = "futex has no safe binding")]

use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use crate::prim::Sleep;

/// Sleeps while `word` holds `expected`, at most until `deadline`; may return early.
///
/// Uses the process-shared operation: each process may map the word at its own address. The
/// deadline goes to the kernel as a point in time, so no signal can stretch the sleep.
pub(crate) fn wait(
    word: &AtomicU32,
    expected: u32,
    deadline: Option<Instant>,
) -> io::Result<Sleep> {
    let spec = match deadline.map(on_monotonic_clock) {
        Some(None) => return Ok(Sleep::TimedOut),
        Some(Some(spec)) => Some(spec),
        None => None,
    };
    let spec_ptr = spec.as_ref().map_or(ptr::null(), ptr::from_ref);
    let operation = libc::FUTEX_WAIT_BITSET;
    // SAFETY: `word` and `spec` outlive the call, and this operation only reads them.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            operation,
            expected,
            spec_ptr,
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    if rc == 0 {
        return Ok(Sleep::Over);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EINTR) => Ok(Sleep::Over),
        Some(libc::ETIMEDOUT) => Ok(Sleep::TimedOut),
        _ => Err(error),
    }
}

/// Wakes up to `count` threads that sleep on `word`; how many it woke.
pub(crate) fn wake(word: &AtomicU32, count: u32) -> u32 {
    let count = i32::try_from(count).unwrap_or(i32::MAX);
    // SAFETY: the kernel looks the address up and neither reads nor writes it.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
    u32::try_from(woken).unwrap_or(0)
}

/// The deadline on the kernel's monotonic clock, which is the one behind `Instant`; `None` if it has
/// passed.
fn on_monotonic_clock(deadline: Instant) -> Option<libc::timespec> {
    let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    let nanos = now.tv_nsec + i64::from(left.subsec_nanos());
    let (carry, tv_nsec) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let tv_sec = now.tv_sec.saturating_add(seconds).saturating_add(carry);
    Some(libc::timespec { tv_sec, tv_nsec })
}
