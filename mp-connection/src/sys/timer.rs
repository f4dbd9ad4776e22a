//! A descriptor that becomes readable at a point in time, for an `epoll` descriptor among whose others it is.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Readable from the time on that it was set to.
#[derive(Debug)]
pub(crate) struct Timer {
    fd: OwnedFd,
    set_to: Option<Instant>,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Timer { fd: timerfd_create(TimerfdClockId::Monotonic, flags)?, set_to: None })
    }

    /// Sets it to another time, or to none; it is not readable before that.
    pub(crate) fn set(&mut self, time: Option<Instant>) -> io::Result<()> {
        if self.set_to == time {
            return Ok(());
        }
        // Zero would mean no time.
        let left = time.map_or(Duration::ZERO, |time| {
            time.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1))
        });
        let it_value = Timespec::try_from(left).map_err(io::Error::other)?;
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval, it_value };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &setting)?;
        self.set_to = time;
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
