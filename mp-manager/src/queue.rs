//! [`QueueProxy`] and [`JoinableQueueProxy`]: queues in a server, as their clients call them, and how they are made.
//!
//! Who gets which item, and who waits, is decided by [`QueueObject`](object::QueueObject).

mod object;

use std::time::Duration;

use mp_queues::QueueError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::manager::Manager;
use crate::proxy::TypedProxy;
use crate::sync::core::Limit;
use crate::typed::typed_proxy;

typed_proxy! {
    /// A first-in, first-out queue that lives in a server.
    ///
    /// Items go to those who wait for them in the order in which they came, and those who wait for room have it in that
    /// order; an item goes to one consumer. A call that waits sleeps, and a thread of the server with it. An item is in the
    /// server when [`put`](QueueProxy::put) returns, whatever becomes of this process; what it contains, proxies of other
    /// objects say, lives as long as it is there. The items of a queue go with its last proxy.
    ///
    /// It works between machines as well, but for items with locks, descriptors or shared memory; on one machine
    /// [`mp::Queue`](mp_queues::Queue) is by far the faster choice, for it needs no server.
    ///
    /// # When a process dies
    ///
    /// A producer that is killed inside of `put` has put the item whole or not at all. A consumer that is killed while it
    /// waits gets nothing: an item that is put after the end of its process goes to somebody else, and so does one that was
    /// meant for it if the server finds it gone when it is about to send the item. Only what the server has sent by then is
    /// gone with it, and that is one item at most for each thread that waited. Neither keeps anybody else
    /// waiting.
    ///
    /// When the server is gone, the items are, and every call is [`ManagerError::Disconnected`], those that wait included.
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let (numbers, squares) = (manager.queue::<u64>(0)?, manager.queue::<u64>(10)?);
    /// let p = mp::Process::start(
    ///     |numbers: mp::QueueProxy<u64>, squares: mp::QueueProxy<u64>| {
    ///         let n = numbers.get()?;
    ///         Ok(squares.put(&(n * n))?)
    ///     },
    ///     (numbers.clone(), squares.clone()),
    /// )?;
    /// numbers.put(&3)?;
    /// assert_eq!(squares.get()?, 9);
    /// p.join()?;
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.Queue")]
    pub struct QueueProxy<T> = "queue";
}

typed_proxy! {
    /// A [`QueueProxy`] of a queue that counts the items that were put and not yet reported as done.
    ///
    /// The count goes up when an item is put, and down with each [`task_done`](JoinableQueueProxy::task_done), by whomever;
    /// [`join`](JoinableQueueProxy::join) sleeps until it is zero.
    ///
    /// # When a process dies
    ///
    /// A worker that dies between `get` and `task_done` leaves the count up; then only
    /// [`join_timeout`](JoinableQueueProxy::join_timeout) returns. Everything else is as for a [`QueueProxy`].
    ///
    /// # Examples
    ///
    /// ```
    /// mp::enable_test_support!();
    ///
    /// let manager = mp::Manager::start()?;
    /// let queue = manager.joinable_queue::<String>(0)?;
    /// queue.put(&"work".to_owned())?;
    /// let p = mp::Process::start(
    ///     |queue: mp::JoinableQueueProxy<String>| {
    ///         let _work = queue.get()?;
    ///         Ok(queue.task_done()?)
    ///     },
    ///     (queue.clone(),),
    /// )?;
    /// queue.join()?;
    /// p.join()?;
    /// # Ok::<(), mp::Error>(())
    /// ```
    #[doc(alias = "multiprocessing.managers.SyncManager.JoinableQueue")]
    pub struct JoinableQueueProxy<T> = "joinable_queue";
}

/// The methods that both kinds have.
macro_rules! methods {
    ($name:ident) => {
        impl<T: 'static> $name<T> {
            /// How many items are in the queue, at this moment.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            #[doc(alias = "len")]
            pub fn qsize(&self) -> Result<usize, ManagerError> {
                let size: u64 = self.as_proxy().call("qsize", &())?;
                Ok(usize::try_from(size).unwrap_or(usize::MAX))
            }

            /// Whether nothing is in the queue.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            #[doc(alias = "empty")]
            pub fn is_empty(&self) -> Result<bool, ManagerError> {
                Ok(self.qsize()? == 0)
            }

            /// Whether there is no room for another item.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            #[doc(alias = "full")]
            pub fn is_full(&self) -> Result<bool, ManagerError> {
                self.as_proxy().call("is_full", &())
            }

            /// The most items there may be, 0 for any number.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Disconnected`].
            pub fn maxsize(&self) -> Result<usize, ManagerError> {
                let maxsize: u64 = self.as_proxy().call("maxsize", &())?;
                Ok(usize::try_from(maxsize).unwrap_or(usize::MAX))
            }
        }

        impl<T: Serialize + 'static> $name<T> {
            /// Puts an item, sleeping while the queue is full.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Encode`] for an item that cannot be encoded; [`ManagerError::Disconnected`].
            pub fn put(&self, item: &T) -> Result<(), ManagerError> {
                self.put_limited(item, Limit::FOR_EVER)
            }

            /// As [`put`](Self::put), sleeping no longer than `timeout`.
            ///
            /// # Errors
            ///
            /// As `put`, and [`QueueError::Full`].
            pub fn put_timeout(&self, item: &T, timeout: Duration) -> Result<(), ManagerError> {
                self.put_limited(item, Limit::of(timeout))
            }

            /// As [`put`](Self::put), if there is room at once.
            ///
            /// # Errors
            ///
            /// As `put`, and [`QueueError::Full`].
            pub fn put_nowait(&self, item: &T) -> Result<(), ManagerError> {
                self.put_limited(item, Limit::NONE)
            }

            fn put_limited(&self, item: &T, limit: Limit) -> Result<(), ManagerError> {
                let payload = self.as_proxy().encode(item)?.with_number(limit.0);
                self.as_proxy().call_encoded("put", payload).map(drop)
            }
        }

        impl<T: DeserializeOwned + 'static> $name<T> {
            /// Takes an item off, sleeping while there is none.
            ///
            /// # Errors
            ///
            /// [`ManagerError::Decode`] when the item is not a `T`, and [`ManagerError::Transfer`] when it cannot come to
            /// this machine: it is taken off all the same. [`ManagerError::Disconnected`].
            pub fn get(&self) -> Result<T, ManagerError> {
                self.get_limited(Limit::FOR_EVER)
            }

            /// As [`get`](Self::get), sleeping no longer than `timeout`.
            ///
            /// # Errors
            ///
            /// As `get`, and [`QueueError::Empty`].
            pub fn get_timeout(&self, timeout: Duration) -> Result<T, ManagerError> {
                self.get_limited(Limit::of(timeout))
            }

            /// As [`get`](Self::get), if there is an item.
            ///
            /// # Errors
            ///
            /// As `get`, and [`QueueError::Empty`].
            pub fn get_nowait(&self) -> Result<T, ManagerError> {
                self.get_limited(Limit::NONE)
            }

            fn get_limited(&self, limit: Limit) -> Result<T, ManagerError> {
                self.as_proxy().call("get", &(limit,))
            }
        }
    };
}

methods!(QueueProxy);
methods!(JoinableQueueProxy);

impl<T: 'static> JoinableQueueProxy<T> {
    /// Reports one item as done; wakes those who join if it was the last.
    ///
    /// # Errors
    ///
    /// [`QueueError::TooManyTaskDone`] if all that were put are done already; [`ManagerError::Disconnected`].
    pub fn task_done(&self) -> Result<(), ManagerError> {
        self.as_proxy().call("task_done", &())
    }

    /// Sleeps until every item that was put is reported as done.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn join(&self) -> Result<(), ManagerError> {
        while !self.join_limited(Limit::FOR_EVER)? {}
        Ok(())
    }

    /// As [`join`](JoinableQueueProxy::join), sleeping no longer than `timeout`; whether all was done by then.
    ///
    /// # Errors
    ///
    /// As `join`.
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool, ManagerError> {
        self.join_limited(Limit::of(timeout))
    }

    fn join_limited(&self, limit: Limit) -> Result<bool, ManagerError> {
        self.as_proxy().call("join", &(limit,))
    }

    /// How many items were put and are not done.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Disconnected`].
    pub fn unfinished(&self) -> Result<usize, ManagerError> {
        let unfinished: u64 = self.as_proxy().call("unfinished", &())?;
        Ok(usize::try_from(unfinished).unwrap_or(usize::MAX))
    }
}

impl Manager {
    /// A new queue for at most `maxsize` items, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// [`QueueError::InvalidMaxsize`] for more than 2147483647 items; [`ManagerError::Disconnected`].
    #[doc(alias = "Queue")]
    pub fn queue<T: 'static>(&self, maxsize: usize) -> Result<QueueProxy<T>, ManagerError> {
        check(maxsize as u64).map_err(ManagerError::Queue)?;
        self.handle().create(self.handle().encode(&(maxsize as u64,))?)
    }

    /// A new queue that knows when all is done, for at most `maxsize` items, or any number if that is 0.
    ///
    /// # Errors
    ///
    /// As [`queue`](Manager::queue).
    #[doc(alias = "JoinableQueue")]
    pub fn joinable_queue<T: 'static>(
        &self,
        maxsize: usize,
    ) -> Result<JoinableQueueProxy<T>, ManagerError> {
        check(maxsize as u64).map_err(ManagerError::Queue)?;
        self.handle().create(self.handle().encode(&(maxsize as u64,))?)
    }
}

/// That a queue can have such a limit.
fn check(maxsize: u64) -> Result<usize, QueueError> {
    let max = usize::try_from(maxsize).ok().filter(|_| maxsize <= i32::MAX as u64);
    max.ok_or(QueueError::InvalidMaxsize { maxsize })
}
