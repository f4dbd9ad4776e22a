//! The attachments of the value that this thread encodes or decodes just now.
//!
//! A handle inside a value cannot see the message around it: serde hands it a serializer and
//! nothing else. So the message that is being made or read is kept per thread, as a stack,
//! because a value may encode another message while it is itself encoded.
//!
//! This is for authors of handles: their `Serialize` attaches descriptors, their `Deserialize` looks at
//! what came along. A descriptor stays open for as long as any copy of the message exists, in whichever
//! process or socket, so locks and references that the kernel ties to it live exactly as long.

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

thread_local! {
    static OUTGOING: RefCell<Vec<Outgoing>> = const { RefCell::new(Vec::new()) };
    static INCOMING: RefCell<Vec<Option<Arc<[OwnedFd]>>>> = const { RefCell::new(Vec::new()) };
}

/// What a message that is being made holds so far.
#[derive(Default)]
struct Outgoing {
    descriptors: Vec<OwnedFd>,
    /// Keys of the descriptors that several handles of the message share.
    shared: Vec<((u64, u64), usize)>,
}

/// No message is being made: a handle was given to another serializer, for JSON say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a handle can be encoded only for another process, with mp_reduction::encode: it is no text"
)]
pub struct OutsideTransfer;

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
    let scope = Scope::enter(&OUTGOING, Outgoing::default());
    let value = encode();
    (value, scope.leave().unwrap_or_default().descriptors)
}

/// Runs `decode` while [`with_attachment`] gives those of one message.
pub(crate) fn provide<R>(attachments: Option<Arc<[OwnedFd]>>, decode: impl FnOnce() -> R) -> R {
    let _scope = Scope::enter(&INCOMING, attachments);
    decode()
}

/// Attaches a descriptor to the message that is being made; gives its index.
///
/// # Errors
///
/// [`OutsideTransfer`] if none is being made.
pub fn attach(fd: OwnedFd) -> Result<usize, OutsideTransfer> {
    OUTGOING.with_borrow_mut(|stack| {
        let message = stack.last_mut().ok_or(OutsideTransfer)?;
        message.descriptors.push(fd);
        Ok(message.descriptors.len() - 1)
    })
}

/// Attaches the descriptor that all handles to the same file share in this message: `make` gives it
/// to the first of them, and `add` sees it for each, to lock a part of it for example.
///
/// `key` is the file: its device and its number there. The two closures must not attach anything themselves.
///
/// # Errors
///
/// [`OutsideTransfer`] if no message is being made, or what `make` and `add` say.
pub fn attach_shared<E>(
    key: (u64, u64),
    make: impl FnOnce() -> Result<OwnedFd, E>,
    add: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
) -> Result<usize, E>
where
    E: From<OutsideTransfer>,
{
    OUTGOING.with_borrow_mut(|stack| {
        let message = stack.last_mut().ok_or(OutsideTransfer)?;
        let index = match message.shared.iter().find(|(known, _)| *known == key) {
            Some((_, index)) => *index,
            None => {
                message.descriptors.push(make()?);
                message.shared.push((key, message.descriptors.len() - 1));
                message.descriptors.len() - 1
            }
        };
        add(message.descriptors[index].as_fd())?;
        Ok(index)
    })
}

/// Looks at attachment `index` of the message that is being read; `None` outside one or beyond its
/// attachments.
pub fn with_attachment<R>(index: usize, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
    let message = INCOMING.with_borrow(|stack| stack.last().cloned())??;
    message.get(index).map(|fd| look(fd.as_fd()))
}
