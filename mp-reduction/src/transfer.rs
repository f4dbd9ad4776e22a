//! The attachments of the value that this thread encodes or decodes just now.
//!
//! A handle inside a value cannot see the message around it: serde hands it a serializer and
//! nothing else. So the message that is being made or read is kept per thread; while a value
//! encodes another message, that one takes its place.
//!
//! This is for authors of handles: their `Serialize` attaches descriptors, their `Deserialize` looks at
//! what came along. A descriptor stays open for as long as any copy of the message exists, in whichever
//! process or socket, so locks and references that the kernel ties to it live exactly as long.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::attachments::{Attachments, Part};

// Between messages there is nothing in them that would have to be dropped, so they can be used in the last destructors of
// a thread.
thread_local! {
    static OUTGOING: Cell<Outgoing> = const { Cell::new(Outgoing::Nothing) };
    static NESTING: Cell<u32> = const { Cell::new(0) };
    /// Those of messages with attachments that are being made, the innermost last.
    static COLLECTED: ManuallyDrop<RefCell<Vec<Collected>>> =
        const { ManuallyDrop::new(RefCell::new(Vec::new())) };
    static INCOMING: ManuallyDrop<Cell<Attachments>> =
        const { ManuallyDrop::new(Cell::new(Attachments::NONE)) };
}

/// The message that is being made.
#[derive(Clone, Copy, Default)]
enum Outgoing {
    /// There is none.
    #[default]
    Nothing,
    /// It has no attachments, as most have none.
    Plain,
    /// It has the last of those that were collected.
    Collected,
}

/// The attachments of one message so far.
#[derive(Default)]
struct Collected {
    descriptors: Vec<OwnedFd>,
    /// The descriptors that several handles of the message share.
    shared: Vec<Shared>,
    parts: Vec<Part>,
}

/// A descriptor that several handles of a message share.
struct Shared {
    key: (u64, u64),
    index: usize,
    /// What its maker calls it.
    tag: u64,
}

impl Collected {
    /// The descriptor with this key: its index and tag.
    fn shared<E>(
        &mut self,
        key: (u64, u64),
        make: impl FnOnce() -> Result<(OwnedFd, u64), E>,
    ) -> Result<(usize, u64), E> {
        if let Some(known) = self.shared.iter().find(|known| known.key == key) {
            return Ok((known.index, known.tag));
        }
        let (fd, tag) = make()?;
        let index = self.descriptors.len();
        self.descriptors.push(fd);
        self.shared.push(Shared { key, index, tag });
        Ok((index, tag))
    }
}

/// No message is being made: a handle was given to another serializer, for JSON say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a handle can be encoded only for another process, with mp_reduction::encode: it is no text"
)]
pub struct OutsideTransfer;

/// A message that is being made, until this is dropped, also when a `Serialize` panics.
struct Making {
    around: Outgoing,
}

impl Making {
    fn start() -> Making {
        NESTING.set(NESTING.get() + 1);
        Making { around: OUTGOING.replace(Outgoing::Plain) }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        NESTING.set(NESTING.get() - 1);
        if let Outgoing::Collected = OUTGOING.replace(self.around) {
            drop(pop());
        }
    }
}

/// How many messages are being made, each while a value of the one around it is encoded: what is made for one of them can
/// tell whether it is the innermost.
pub fn nesting() -> u32 {
    NESTING.get()
}

/// What the innermost of the messages with attachments has.
fn pop() -> Option<Collected> {
    COLLECTED.with(|all| {
        let mut all = all.borrow_mut();
        let last = all.pop();
        if all.is_empty() {
            *all = Vec::new(); // nothing stays allocated
        }
        last
    })
}

/// Runs `encode` and gives what it attached.
pub(crate) fn collect<R>(encode: impl FnOnce() -> R) -> (R, Attachments) {
    let _making = Making::start();
    let value = encode();
    let attachments = match OUTGOING.get() {
        Outgoing::Collected => {
            OUTGOING.set(Outgoing::Plain);
            let collected = pop().unwrap_or_default();
            Attachments::new(collected.descriptors, collected.parts)
        }
        Outgoing::Plain | Outgoing::Nothing => Attachments::NONE,
    };
    (value, attachments)
}

/// Runs `add` on what the message that is being made has collected; inside of it none is being made.
fn with_collected<R>(add: impl FnOnce(&mut Collected) -> R) -> Result<R, OutsideTransfer> {
    /// Puts it back, also when `add` panics.
    struct Taken(Collected);

    impl Drop for Taken {
        fn drop(&mut self) {
            let collected = std::mem::take(&mut self.0);
            COLLECTED.with(|all| all.borrow_mut().push(collected));
            OUTGOING.set(Outgoing::Collected);
        }
    }

    let mut taken = Taken(match OUTGOING.replace(Outgoing::Nothing) {
        Outgoing::Nothing => return Err(OutsideTransfer),
        Outgoing::Plain => Collected::default(),
        Outgoing::Collected => pop().unwrap_or_default(),
    });
    Ok(add(&mut taken.0))
}

/// Puts the attachments of a message that was read before back, also when a `Deserialize` panics.
struct Reading {
    around: Attachments,
}

impl Drop for Reading {
    fn drop(&mut self) {
        drop(INCOMING.with(|place| place.replace(std::mem::take(&mut self.around))));
    }
}

/// Runs `decode` while [`with_attachment`] gives those of one message.
pub(crate) fn provide<R>(attachments: &Attachments, decode: impl FnOnce() -> R) -> R {
    let _reading = Reading { around: INCOMING.with(|place| place.replace(attachments.clone())) };
    decode()
}

/// Attaches a descriptor to the message that is being made; gives its index.
///
/// # Errors
///
/// [`OutsideTransfer`] if none is being made.
pub fn attach(fd: OwnedFd) -> Result<usize, OutsideTransfer> {
    with_collected(|message| {
        message.descriptors.push(fd);
        message.descriptors.len() - 1
    })
}

/// Attaches the descriptor that all handles to the same file share in this message: `make` gives it
/// to the first of them, and `add` sees it for each, to lock its part for example.
///
/// `key` is the file: its device and its number there. `part` is the byte of it that has to be locked, in shared
/// mode, while the message exists: who keeps a message in another form than as its
/// descriptors, as a queue does, sees to it that it is. The two closures can attach nothing
/// themselves.
///
/// # Errors
///
/// [`OutsideTransfer`] if no message is being made, or what `make` and `add` say.
pub fn attach_shared<E>(
    key: (u64, u64),
    part: u32,
    make: impl FnOnce() -> Result<OwnedFd, E>,
    add: impl FnOnce(BorrowedFd<'_>) -> Result<(), E>,
) -> Result<usize, E>
where
    E: From<OutsideTransfer>,
{
    with_collected(|message| {
        let (index, _) = message.shared(key, || Ok::<_, E>((make()?, 0)))?;
        add(message.descriptors[index].as_fd())?;
        message.parts.push(Part { attachment: index, byte: part });
        Ok(index)
    })?
}

/// Attaches the descriptor that all handles with the same `key` share in this message: `make` gives it to the first of
/// them, with a number by which its maker knows it. Gives its index and that number.
///
/// For what is told by the closing of the last copy of a descriptor, of which one for a message is enough. `make` can attach
/// nothing itself.
///
/// # Errors
///
/// [`OutsideTransfer`] if no message is being made, or what `make` says.
pub fn attach_once<E>(
    key: (u64, u64),
    make: impl FnOnce() -> Result<(OwnedFd, u64), E>,
) -> Result<(usize, u64), E>
where
    E: From<OutsideTransfer>,
{
    with_collected(|message| message.shared(key, make))?
}

/// Looks at attachment `index` of the message that is being read; `None` outside one or beyond its
/// attachments.
pub fn with_attachment<R>(index: usize, look: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
    let message = INCOMING.with(|place| place.take());
    INCOMING.with(|place| place.set(message.clone())); // `look` may read another message
    message.descriptors().get(index).map(|fd| look(fd.as_fd()))
}
