//! Iterators over the items of a queue, which take them off.

use serde::de::DeserializeOwned;

use crate::error::QueueError;
use crate::queue::Queue;

/// Takes items off, and sleeps while there are none; see [`Queue::iter`].
#[derive(Debug)]
pub struct Iter<'a, T>(pub(crate) &'a Queue<T>);

/// Takes off what there is; see [`Queue::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T>(pub(crate) &'a Queue<T>);

impl<T: DeserializeOwned> Iterator for Iter<'_, T> {
    type Item = Result<T, QueueError>;

    fn next(&mut self) -> Option<Result<T, QueueError>> {
        Some(self.0.get()).filter(|got| !matches!(got, Err(QueueError::Closed)))
    }
}

impl<T: DeserializeOwned> Iterator for TryIter<'_, T> {
    type Item = Result<T, QueueError>;

    fn next(&mut self) -> Option<Result<T, QueueError>> {
        let is_end = |error: &QueueError| matches!(error, QueueError::Closed | QueueError::Empty);
        Some(self.0.get_nowait()).filter(|got| !got.as_ref().is_err_and(is_end))
    }
}

impl<'a, T: DeserializeOwned> IntoIterator for &'a Queue<T> {
    type Item = Result<T, QueueError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
