//! Something open that any thread may close while others use it or sleep on it.
//!
//! Who uses it holds it, so its descriptor keeps its number until the last of them is done; who sleeps on it
//! is woken by the close.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};

use crate::error::ConnectionError;
use crate::sys::poll::{is_ready, poll};
use crate::sys::waker::Waker;

/// Something open, until it is closed.
#[derive(Debug)]
pub(crate) struct Closable<T> {
    open: Mutex<Option<Arc<T>>>,
    sleepers: Sleepers,
}

impl<T> Closable<T> {
    pub(crate) fn new(open: T) -> Closable<T> {
        Closable { open: Mutex::new(Some(Arc::new(open))), sleepers: Sleepers::default() }
    }

    /// It, kept open until the result is dropped.
    pub(crate) fn get(&self) -> Result<Arc<T>, ConnectionError> {
        self.open.lock().clone().ok_or(ConnectionError::Closed)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.open.lock().is_none()
    }

    /// Closes it; nothing if it is closed.
    pub(crate) fn close(&self) {
        let open = self.open.lock().take();
        self.sleepers.close();
        drop(open);
    }

    pub(crate) fn sleepers(&self) -> &Sleepers {
        &self.sleepers
    }
}

/// The threads that sleep on something that may be closed.
#[derive(Debug, Default)]
pub(crate) struct Sleepers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    wakers: Vec<Waker>,
}

/// This thread is one of the sleepers, until this is dropped.
#[derive(Debug)]
pub(crate) struct Sleeper<'a> {
    sleepers: &'a Sleepers,
    /// Without it the thread is not woken by a close: the process has no descriptor left for that.
    waker: Option<Waker>,
}

impl Sleepers {
    fn close(&self) {
        self.0.lock().is_closed = true;
        self.wake_all();
    }

    /// Ends the sleep of all of them.
    pub(crate) fn wake_all(&self) {
        self.0.lock().wakers.iter().for_each(Waker::wake);
    }

    pub(crate) fn check(&self) -> Result<(), ConnectionError> {
        if self.0.lock().is_closed { Err(ConnectionError::Closed) } else { Ok(()) }
    }

    /// Makes this thread one of them; an error if it is closed.
    pub(crate) fn enter(&self) -> Result<Sleeper<'_>, ConnectionError> {
        let waker = Waker::of_this_thread();
        let mut state = self.0.lock();
        if state.is_closed {
            return Err(ConnectionError::Closed);
        }
        state.wakers.extend(waker.clone());
        Ok(Sleeper { sleepers: self, waker })
    }

    /// Sleeps until `fd` is ready for `events` or the deadline has come, or for no reason at all; whether it is
    /// ready.
    pub(crate) fn sleep(
        &self,
        fd: BorrowedFd<'_>,
        events: PollFlags,
        deadline: Option<Instant>,
    ) -> Result<bool, ConnectionError> {
        self.enter()?.sleep(fd, events, deadline)
    }
}

impl Sleeper<'_> {
    /// What becomes readable when this thread is to wake up.
    pub(crate) fn waker(&self) -> Option<&Waker> {
        self.waker.as_ref()
    }

    /// [`Sleepers::sleep`], also ended by what has happened since this thread became one of the sleepers.
    pub(crate) fn sleep(
        &self,
        fd: BorrowedFd<'_>,
        events: PollFlags,
        deadline: Option<Instant>,
    ) -> Result<bool, ConnectionError> {
        let waker = self.waker();
        let wakes = waker.map_or(fd, Waker::as_fd);
        let mut fds =
            [PollFd::from_borrowed_fd(fd, events), PollFd::from_borrowed_fd(wakes, PollFlags::IN)];
        let polled = if waker.is_some() { &mut fds[..] } else { &mut fds[..1] };
        poll(polled, deadline).map_err(ConnectionError::io("wait for a socket"))?;
        if let Some(waker) = waker.filter(|_| is_ready(&fds[1])) {
            waker.clear();
            self.sleepers.check()?;
        }
        Ok(is_ready(&fds[0]))
    }
}

impl Drop for Sleeper<'_> {
    fn drop(&mut self) {
        let Some(waker) = &self.waker else { return };
        let wakers = &mut self.sleepers.0.lock().wakers;
        if let Some(position) = wakers.iter().position(|other| other.is_same(waker)) {
            wakers.swap_remove(position);
        }
    }
}
