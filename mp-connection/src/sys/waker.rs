//! What wakes a thread that sleeps in `poll`: a descriptor that the thread keeps and polls beside the others.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};

thread_local! {
    static WAKER: io::Result<Waker> = Waker::new();
}

/// Wakes the thread that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Waker(Arc<OwnedFd>);

impl Waker {
    fn new() -> io::Result<Waker> {
        Ok(Waker(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    /// That of the calling thread; `None` if the system has no descriptor for it.
    pub(crate) fn of_this_thread() -> Option<Waker> {
        let kept = WAKER.try_with(|waker| waker.as_ref().ok().cloned());
        kept.ok().flatten().or_else(|| Waker::new().ok())
    }

    /// Ends the sleep of its thread, or its next one.
    pub(crate) fn wake(&self) {
        // It fails only if it was woken 2^64 times already.
        let _written = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Lets its thread sleep again.
    pub(crate) fn clear(&self) {
        let _count = rustix::io::read(&self.0, &mut [0; 8]);
    }

    pub(crate) fn is_same(&self, other: &Waker) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
