//! [`Queue`]: items from any process to any other.

use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::time::Duration;

use mp_sync::parts::after;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::QueueError;
use crate::handle::Handle;
use crate::iter::{Iter, TryIter};
use crate::state::chain::Patience;

/// A first-in, first-out queue that any number of processes and threads put items into and get items from.
///
/// An item is in shared memory when [`put`](Queue::put) returns: there is no thread that writes it later and
/// nothing to flush, so the process may end at once, in any way. Items of one producer come out
/// in the order in which they were put; each goes to one consumer. An unbounded queue takes memory as it fills and gives it
/// back as it is emptied.
///
/// Handles are cheap to clone, and go to other processes inside arguments, results and messages, through queues too, or as
/// a [`token`](Queue::token). The items of a queue go with its last handle. Any value is an item that `serde` can encode;
/// locks, events, queues and connections in it travel along.
///
/// # When a process dies
///
/// A producer that is killed inside `put` has put the item whole or not at all. A consumer that is killed
/// inside `get` has taken the item off or not, in which case it goes to the next consumer; at most the item
/// (of [`get_many`](Queue::get_many) the items) that it had in its hands is gone with it. Neither keeps anybody else
/// waiting, and no item is ever seen in part.
///
/// # Differences from Python
///
/// There is no feeder thread: `put` encodes the item and reports what is wrong with it, an item can be got as soon
/// as `put` has returned, and `join_thread` and `cancel_join_thread` have nothing to do and do not exist.
/// `close` also ends the calls of other threads that wait with the same handle.
///
/// # Examples
///
/// ```
/// fn square(numbers: mp::Queue<u64>, squares: mp::Queue<u64>) -> mp::Result<()> {
///     loop {
///         match numbers.get()? {
///             0 => return Ok(()),
///             n => squares.put(&(n * n))?,
///         }
///     }
/// }
///
/// mp::enable_test_support!();
/// let (numbers, squares) = (mp::Queue::new()?, mp::Queue::new()?);
/// let worker = mp::Process::start(square, (numbers.clone(), squares.clone()))?;
/// numbers.put_many(&[3, 4, 0])?;
/// assert_eq!((squares.get()?, squares.get()?), (9, 16));
/// worker.join()?;
/// # Ok::<(), mp::Error>(())
/// ```
#[doc(alias = "multiprocessing.Queue")]
pub struct Queue<T> {
    pub(crate) handle: Handle,
    items: PhantomData<fn(T) -> T>,
}

/// How a queue is to be limited; see [`Queue::builder`].
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueBuilder<T> {
    maxsize: usize,
    max_bytes: usize,
    items: PhantomData<fn(T) -> T>,
}

impl<T> QueueBuilder<T> {
    /// At most so many items; 0, as it is without this call, for any number.
    pub fn maxsize(mut self, maxsize: usize) -> QueueBuilder<T> {
        self.maxsize = maxsize;
        self
    }

    /// At most so many bytes of encoded items, of which each takes 4 to 31 more than its own; 0, as it is without this
    /// call, for what there is memory for.
    pub fn max_bytes(mut self, max_bytes: usize) -> QueueBuilder<T> {
        self.max_bytes = max_bytes;
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    ///
    /// [`QueueError::InvalidMaxsize`] for more than 2147483647 items, and when there is no memory for it.
    #[track_caller]
    pub fn build(self) -> Result<Queue<T>, QueueError> {
        Ok(Queue::of(Handle::new(self.maxsize as u64, self.max_bytes as u64)?))
    }
}

/// A timeout as patience; it becomes a deadline here.
pub(crate) fn until(timeout: Duration) -> Patience {
    if timeout.is_zero() { Patience::None } else { Patience::Until(after(timeout)) }
}

pub(crate) const FOR_EVER: Patience = Patience::Until(None);

impl<T> Queue<T> {
    pub(crate) fn of(handle: Handle) -> Queue<T> {
        Queue { handle, items: PhantomData }
    }

    /// A new queue without a limit.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<Queue<T>, QueueError> {
        Queue::builder().build()
    }

    /// A new queue for at most `maxsize` items, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// As [`QueueBuilder::build`].
    #[track_caller]
    pub fn bounded(maxsize: usize) -> Result<Queue<T>, QueueError> {
        Queue::builder().maxsize(maxsize).build()
    }

    /// Describes a queue that is limited in items, in bytes, or both.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mp_queues as mp;
    /// let queue = mp::Queue::<String>::builder().maxsize(100).max_bytes(1 << 20).build()?;
    /// assert_eq!(queue.maxsize(), 100);
    /// # Ok::<(), mp::QueueError>(())
    /// ```
    pub fn builder() -> QueueBuilder<T> {
        QueueBuilder { maxsize: 0, max_bytes: 0, items: PhantomData }
    }

    /// How many items are in the queue: exact while no other process puts or gets any.
    #[doc(alias = "len")]
    pub fn qsize(&self) -> usize {
        usize::try_from(self.handle.chain().len()).unwrap_or(usize::MAX)
    }

    /// Whether nothing is in the queue.
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.handle.chain().is_empty()
    }

    /// Whether there is no room for another item.
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.handle.chain().is_full()
    }

    /// The most items there may be, 0 for any number.
    pub fn maxsize(&self) -> usize {
        self.handle.chain().max_items().map_or(0, |max| usize::try_from(max).unwrap_or(usize::MAX))
    }

    /// Ends the use of this handle and its clones in this process: each further call to put or get, and each that
    /// waits, is [`QueueError::Closed`]. Other handles are not concerned, and what is in the queue stays there.
    pub fn close(&self) {
        self.handle.close();
    }

    /// Whether this handle, or a clone of it, was closed.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Whether both are handles to the same queue.
    pub fn is_same<U>(&self, other: &Queue<U>) -> bool {
        self.handle.id() == other.handle.id()
    }

    /// A text from which any process of the same user on this machine can make a handle, while the queue lives
    /// and the process at the root of the session does. The text itself keeps neither.
    ///
    /// # Errors
    ///
    /// [`QueueError::Memory`] when that process is gone or does not answer.
    pub fn token(&self) -> Result<String, QueueError> {
        self.handle.token()
    }

    /// The handle that a [`token`](Queue::token) stands for.
    ///
    /// # Errors
    ///
    /// [`QueueError::Memory`] for a text that is no token of a queue, when the queue is gone, and as `token`.
    pub fn from_token(token: &str) -> Result<Queue<T>, QueueError> {
        Handle::from_token(token).map(Queue::of)
    }

    /// Puts bytes as they are, without encoding. They are got as bytes; or as an item, if they are one that was
    /// encoded. Sleeps while the queue is full.
    ///
    /// # Errors
    ///
    /// As [`put`](Queue::put), but for [`QueueError::Encode`].
    pub fn put_bytes(&self, bytes: &[u8]) -> Result<(), QueueError> {
        self.handle.put_bytes(bytes, FOR_EVER)
    }

    /// As [`put_bytes`](Queue::put_bytes), sleeping no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As `put_bytes`, and [`QueueError::Full`].
    pub fn put_bytes_timeout(&self, bytes: &[u8], timeout: Duration) -> Result<(), QueueError> {
        self.handle.put_bytes(bytes, until(timeout))
    }

    /// As [`put_bytes`](Queue::put_bytes), if there is room at once.
    ///
    /// # Errors
    ///
    /// As `put_bytes`, and [`QueueError::Full`].
    pub fn put_bytes_nowait(&self, bytes: &[u8]) -> Result<(), QueueError> {
        self.handle.put_bytes(bytes, Patience::None)
    }

    /// Takes an item off as bytes, which become all that is in `bytes`; its memory is used again. Sleeps while there is
    /// none.
    ///
    /// What was put with [`put`](Queue::put) comes encoded, without the locks, queues and connections in it.
    ///
    /// # Errors
    ///
    /// As [`get`](Queue::get), but for [`QueueError::Decode`]; `bytes` may have changed.
    pub fn get_bytes(&self, bytes: &mut Vec<u8>) -> Result<(), QueueError> {
        self.handle.get_bytes(bytes, FOR_EVER)
    }

    /// As [`get_bytes`](Queue::get_bytes), sleeping no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As `get_bytes`, and [`QueueError::Empty`].
    pub fn get_bytes_timeout(
        &self,
        bytes: &mut Vec<u8>,
        timeout: Duration,
    ) -> Result<(), QueueError> {
        self.handle.get_bytes(bytes, until(timeout))
    }

    /// As [`get_bytes`](Queue::get_bytes), if there is an item.
    ///
    /// # Errors
    ///
    /// As `get_bytes`, and [`QueueError::Empty`].
    pub fn get_bytes_nowait(&self, bytes: &mut Vec<u8>) -> Result<(), QueueError> {
        self.handle.get_bytes(bytes, Patience::None)
    }
}

impl<T: Serialize> Queue<T> {
    /// Puts an item, sleeping while the queue is full. When this returns `Ok` the item is in the queue, whatever becomes
    /// of this process.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`], [`QueueError::Encode`], [`QueueError::TooLarge`] for a queue that is limited in bytes,
    /// [`QueueError::NoSpace`], and what the system says. The queue is as it was then.
    pub fn put(&self, item: &T) -> Result<(), QueueError> {
        self.handle.put(item, FOR_EVER)
    }

    /// As [`put`](Queue::put), sleeping no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As `put`, and [`QueueError::Full`].
    pub fn put_timeout(&self, item: &T, timeout: Duration) -> Result<(), QueueError> {
        self.handle.put(item, until(timeout))
    }

    /// As [`put`](Queue::put), if there is room at once. It waits only for a process that is in the midst of a `put`: if that
    /// is stopped there, for a second.
    ///
    /// # Errors
    ///
    /// As `put`, and [`QueueError::Full`].
    pub fn put_nowait(&self, item: &T) -> Result<(), QueueError> {
        self.handle.put(item, Patience::None)
    }

    /// Puts items one after the other, which costs far less than a call for each. Sleeps while the queue is full;
    /// other producers may put items in between.
    ///
    /// # Errors
    ///
    /// As [`put`](Queue::put) if the first item was not put, and [`QueueError::Partial`] if a later one was not.
    pub fn put_many(&self, items: &[T]) -> Result<(), QueueError> {
        self.handle.put_many(items, FOR_EVER)
    }

    /// As [`put_many`](Queue::put_many), sleeping no longer than `timeout` in all.
    ///
    /// # Errors
    ///
    /// As `put_many`, and [`QueueError::Full`].
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<(), QueueError> {
        self.handle.put_many(items, until(timeout))
    }

    /// As [`put_many`](Queue::put_many), for as many as there is room for at once.
    ///
    /// # Errors
    ///
    /// As `put_many`, and [`QueueError::Full`].
    pub fn put_many_nowait(&self, items: &[T]) -> Result<(), QueueError> {
        self.handle.put_many(items, Patience::None)
    }
}

impl<T: DeserializeOwned> Queue<T> {
    /// Takes an item off, sleeping while there is none.
    ///
    /// # Errors
    ///
    /// [`QueueError::Closed`]; [`QueueError::Decode`] when the item is not a `T`, which is taken off all the same;
    /// and what the system says.
    pub fn get(&self) -> Result<T, QueueError> {
        self.handle.get(FOR_EVER)
    }

    /// As [`get`](Queue::get), sleeping no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As `get`, and [`QueueError::Empty`].
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, QueueError> {
        self.handle.get(until(timeout))
    }

    /// As [`get`](Queue::get), if there is an item. It waits only for a process that is in the midst of a `get`: if that is
    /// stopped there, or the `Deserialize` of its item is slow, for a second.
    ///
    /// # Errors
    ///
    /// As `get`, and [`QueueError::Empty`].
    pub fn get_nowait(&self) -> Result<T, QueueError> {
        self.handle.get(Patience::None)
    }

    /// Takes up to `max` items off, which costs far less than a call for each: what there is, up to some hundred
    /// kilobytes; at least one, for which it sleeps while there is none. None if `max` is 0.
    ///
    /// # Errors
    ///
    /// As [`get`](Queue::get). An item that is not a `T` ends those that are got before it, and is an error only when it is
    /// the first.
    pub fn get_many(&self, max: usize) -> Result<Vec<T>, QueueError> {
        self.handle.get_many(max, FOR_EVER)
    }

    /// As [`get_many`](Queue::get_many), sleeping no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As `get_many`, and [`QueueError::Empty`].
    pub fn get_many_timeout(&self, max: usize, timeout: Duration) -> Result<Vec<T>, QueueError> {
        self.handle.get_many(max, until(timeout))
    }

    /// As [`get_many`](Queue::get_many), if there is an item.
    ///
    /// # Errors
    ///
    /// As `get_many`, and [`QueueError::Empty`].
    pub fn get_many_nowait(&self, max: usize) -> Result<Vec<T>, QueueError> {
        self.handle.get_many(max, Patience::None)
    }

    /// Takes items off one by one, sleeping while there are none, until this handle is [closed](Queue::close).
    /// Who puts the items cannot end that; give them an item that says so.
    ///
    /// # Examples
    ///
    /// ```
    /// # use mp_queues as mp;
    /// let queue = mp::Queue::new()?;
    /// queue.put_many(&[Some(1), Some(2), None])?;
    /// for item in &queue {
    ///     match item? {
    ///         Some(n) => println!("{n}"),
    ///         None => queue.close(),
    ///     }
    /// }
    /// # Ok::<(), mp::QueueError>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// Takes items off one by one until there is none.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue::of(self.handle.clone())
    }
}

impl<T> Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = std::any::type_name::<T>();
        write!(f, "Queue({} of {items}, maxsize {})", self.qsize(), self.maxsize())
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Queue<T>, D::Error> {
        Handle::deserialize(deserializer).map(Queue::of)
    }
}
