//! [`SimpleQueue`]: a queue with nothing but put and get.

use std::fmt::{self, Debug};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::QueueError;
use crate::queue::Queue;

/// An unbounded queue with the fewest methods: what a [`Queue`] promises holds for it as well.
///
/// # Differences from Python
///
/// Python's blocks a `put` of more than a pipe holds until somebody gets; this one never does.
///
/// # Examples
///
/// ```
/// # use mp_queues as mp;
/// let queue = mp::SimpleQueue::new()?;
/// queue.put(&1.5)?;
/// assert_eq!(queue.get()?, 1.5);
/// assert!(queue.is_empty());
/// # Ok::<(), mp::QueueError>(())
/// ```
#[doc(alias = "multiprocessing.SimpleQueue")]
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct SimpleQueue<T>(Queue<T>);

impl<T> SimpleQueue<T> {
    /// A new queue.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    #[track_caller]
    pub fn new() -> Result<SimpleQueue<T>, QueueError> {
        Queue::new().map(SimpleQueue)
    }

    /// Whether nothing is in the queue.
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// See [`Queue::close`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Whether this handle, or a clone of it, was closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Whether both are handles to the same queue.
    pub fn is_same<U>(&self, other: &SimpleQueue<U>) -> bool {
        self.0.is_same(&other.0)
    }

    /// See [`Queue::token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token(&self) -> Result<String, QueueError> {
        self.0.token()
    }

    /// See [`Queue::from_token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn from_token(token: &str) -> Result<SimpleQueue<T>, QueueError> {
        Queue::from_token(token).map(SimpleQueue)
    }
}

impl<T: Serialize> SimpleQueue<T> {
    /// Puts an item; it does not sleep.
    ///
    /// # Errors
    ///
    /// As [`Queue::put`].
    pub fn put(&self, item: &T) -> Result<(), QueueError> {
        self.0.put(item)
    }
}

impl<T: DeserializeOwned> SimpleQueue<T> {
    /// Takes an item off, sleeping while there is none.
    ///
    /// # Errors
    ///
    /// As [`Queue::get`].
    pub fn get(&self) -> Result<T, QueueError> {
        self.0.get()
    }
}

impl<T> Clone for SimpleQueue<T> {
    fn clone(&self) -> SimpleQueue<T> {
        SimpleQueue(self.0.clone())
    }
}

impl<T> Debug for SimpleQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Simple{:?}", self.0)
    }
}
