//! The attachments of the value that this thread encodes or decodes just now.
//!
//! A handle inside a value cannot see the message around it: serde hands it a serializer and
//! nothing else. So the message that is being made or read is kept per thread, as a stack,
//! because a value may encode another message while it is itself encoded.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

thread_local! {
    static OUTGOING: RefCell<Vec<Vec<OwnedFd>>> = const { RefCell::new(Vec::new()) };
    static INCOMING: RefCell<Vec<Option<Arc<[OwnedFd]>>>> = const { RefCell::new(Vec::new()) };
}

/// Takes the entry of a transfer off its stack, also when a `Serialize` panics.
struct Scope<T: 'static>(&'static std::thread::LocalKey<RefCell<Vec<T>>>);

impl<T> Scope<T> {
    fn enter(stack: &'static std::thread::LocalKey<RefCell<Vec<T>>>, entry: T) -> Scope<T> {
        stack.with_borrow_mut(|entries| entries.push(entry));
        Scope(stack)
    }

    fn leave(self) -> Option<T> {
        let entry = self.0.with_borrow_mut(Vec::pop);
        std::mem::forget(self);
        entry
    }
}

impl<T> Drop for Scope<T> {
    fn drop(&mut self) {
        drop(self.0.with_borrow_mut(Vec::pop));
    }
}

/// Runs `encode` and gives what it attached.
pub(crate) fn collect<R>(encode: impl FnOnce() -> R) -> (R, Vec<OwnedFd>) {
    let scope = Scope::enter(&OUTGOING, Vec::new());
    let value = encode();
    (value, scope.leave().unwrap_or_default())
}

/// Runs `decode` while [`attachment`] gives those of one message.
pub(crate) fn provide<R>(attachments: Option<Arc<[OwnedFd]>>, decode: impl FnOnce() -> R) -> R {
    let _scope = Scope::enter(&INCOMING, attachments);
    decode()
}

/// Attaches a descriptor to the message that is being made; `Err` gives it back outside one.
pub(crate) fn attach(fd: OwnedFd) -> Result<usize, OwnedFd> {
    OUTGOING.with_borrow_mut(|stack| match stack.last_mut() {
        Some(message) => {
            message.push(fd);
            Ok(message.len() - 1)
        }
        None => Err(fd),
    })
}

/// A copy of attachment `index` of the message that is being read; `None` outside one or beyond
/// its attachments.
pub(crate) fn attachment(index: usize) -> Option<std::io::Result<OwnedFd>> {
    let message = INCOMING.with_borrow(|stack| stack.last().cloned())??;
    message.get(index).map(OwnedFd::try_clone)
}
