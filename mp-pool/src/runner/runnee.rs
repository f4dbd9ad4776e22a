//! [`ProcessRunnee`]: what the author of an object for another process writes.

use mp_context::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An object that is made once, in a process of its own, and called there many times; see
/// [`ProcessRunner`](crate::ProcessRunner).
///
/// All three functions run in that process, on its main thread. Neither the object nor anything that it holds
/// ever crosses, so it may have what cannot: files, pointers, a connection to a server. Log records that it
/// makes come out of the logger of the program that started the runner.
///
/// A call that raises an error or panics leaves the object as it was at that moment, and the next call finds
/// it so.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Counter(i64);
///
/// impl mp::ProcessRunnee for Counter {
///     type Init = i64;
///     type Args = i64;
///     type Out = i64;
///
///     fn new(start: i64) -> mp::Result<Counter> {
///         Ok(Counter(start))
///     }
///
///     fn call(&mut self, step: i64) -> mp::Result<i64> {
///         self.0 += step;
///         Ok(self.0)
///     }
/// }
///
/// let counter = mp::ProcessRunner::start::<Counter>(10)?;
/// assert_eq!(counter.call(1)?, 11);
/// assert_eq!(counter.call(5)?, 16);
/// # Ok::<(), mp::Error>(())
/// ```
pub trait ProcessRunnee: Sized + 'static {
    /// What the object is made from. Queues, locks, events and connections may be in it.
    type Init: Serialize + DeserializeOwned;
    /// The arguments of a call; a tuple for more than one.
    type Args: Serialize + DeserializeOwned;
    /// What a call returns.
    type Out: Serialize + DeserializeOwned;

    /// Makes the object.
    ///
    /// # Errors
    ///
    /// Whatever it raises: it is the error of every call then, and the process ends.
    fn new(init: Self::Init) -> Result<Self>;

    /// Serves a call.
    ///
    /// # Errors
    ///
    /// Whatever it raises: it is the error of this call.
    fn call(&mut self, args: Self::Args) -> Result<Self::Out>;

    /// Ends the object when all calls are done: what has to be written or closed, and whose failure somebody
    /// should hear of, is for here. Without it, the object is dropped.
    ///
    /// # Errors
    ///
    /// Whatever it raises: it is the error of [`join`](crate::ProcessRunner::join).
    fn finish(self) -> Result<()> {
        Ok(())
    }
}
