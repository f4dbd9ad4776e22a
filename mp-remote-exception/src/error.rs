//! [`Error`]: any error on its way up inside a process.
//!
//! It decides what is remembered at the moment of raising (the error, the line, the stack);
//! what of it crosses to another process is decided by [`RemoteException`](crate::RemoteException).

use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::panic::Location;

use serde::Serialize;

use crate::{Frames, get_remote_traceback};

/// The result of a function that runs in another process, and of most functions that call it.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error on its way up, with the place where it was raised.
///
/// Made by `?` from every [`std::error::Error`], by [`Error::msg`] and [`bail!`](crate::bail)
/// from text, and by [`Error::typed`] from an error that the other process wants back as a
/// value. It is not itself a `std::error::Error`, so that `?` can take all of them.
///
/// `{}` prints the message, `{:?}` the message, the causes, the place and, if the error came from
/// another process, the trace there.
///
/// # Examples
///
/// ```
/// fn parse(text: &str) -> mp_remote_exception::Result<i32> {
///     Ok(text.parse::<i32>()?)
/// }
/// let error = parse("x").unwrap_err();
/// assert_eq!(error.to_string(), "invalid digit found in string");
/// assert!(error.downcast_ref::<std::num::ParseIntError>().is_some());
/// ```
pub struct Error(Box<Raised>);

pub(crate) type Boxed = Box<dyn StdError + Send + Sync + 'static>;

/// Encodes the error it was made for; `None` when encoding fails.
pub(crate) type EncodeTyped = fn(&(dyn StdError + 'static)) -> Option<Vec<u8>>;

pub(crate) struct Raised {
    pub(crate) error: Boxed,
    pub(crate) type_name: &'static str,
    pub(crate) encode: Option<EncodeTyped>,
    /// What was said on the way up, oldest first.
    pub(crate) contexts: Vec<String>,
    pub(crate) location: &'static Location<'static>,
    pub(crate) frames: Frames,
}

/// An error that is nothing but a text.
struct Message<M>(M);

impl<M: Display> Display for Message<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl<M: Display> Debug for Message<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl<M: Display> StdError for Message<M> {}

/// The type name that a message error shows in a trace.
const MESSAGE_TYPE: &str = "Error";

impl Error {
    #[track_caller]
    fn raise(error: Boxed, type_name: &'static str, encode: Option<EncodeTyped>) -> Error {
        Error(Box::new(Raised {
            error,
            type_name,
            encode,
            contexts: Vec::new(),
            location: Location::caller(),
            frames: Frames::capture(),
        }))
    }

    /// An error that is only a message.
    #[track_caller]
    pub fn msg(message: impl Display + Send + Sync + 'static) -> Error {
        Error::raise(Box::new(Message(message)), MESSAGE_TYPE, None)
    }

    /// An error that survives the crossing as a value.
    ///
    /// The other side gets it back with [`RemoteException::downcast`](crate::RemoteException::downcast).
    ///
    /// # Examples
    ///
    /// ```
    /// use mp_remote_exception::{Error, RemoteException};
    ///
    /// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    /// struct OutOfStock { item: u32 }
    /// impl std::fmt::Display for OutOfStock {
    ///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    ///         write!(f, "item {} is out of stock", self.item)
    ///     }
    /// }
    /// impl std::error::Error for OutOfStock {}
    ///
    /// let sent = RemoteException::new(Error::typed(OutOfStock { item: 7 }));
    /// assert_eq!(sent.downcast::<OutOfStock>(), Some(OutOfStock { item: 7 }));
    /// ```
    #[track_caller]
    pub fn typed<E: StdError + Serialize + Send + Sync + 'static>(error: E) -> Error {
        fn encode<E: StdError + Serialize + 'static>(
            error: &(dyn StdError + 'static),
        ) -> Option<Vec<u8>> {
            rmp_serde::to_vec_named(error.downcast_ref::<E>()?).ok()
        }
        Error::raise(Box::new(error), std::any::type_name::<E>(), Some(encode::<E>))
    }

    /// An error that is already boxed, as many libraries return it.
    #[track_caller]
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync + 'static>) -> Error {
        Error::raise(error, "Error", None)
    }

    /// Says on the way up what was being done; the message of the error is now `message`, and
    /// what it was before becomes its cause.
    #[must_use]
    pub fn context(mut self, message: impl Display + Send + Sync + 'static) -> Error {
        self.0.contexts.push(message.to_string());
        self
    }

    /// The line at which the error was raised: that of the `?`, [`Error::msg`] or
    /// [`bail!`](crate::bail).
    pub fn location(&self) -> &'static Location<'static> {
        self.0.location
    }

    /// The error that was raised, if it is an `E`.
    pub fn downcast_ref<E: StdError + 'static>(&self) -> Option<&E> {
        self.0.error.downcast_ref()
    }

    pub(crate) fn raised(&self) -> &Raised {
        &self.0
    }

    /// The message and what caused it, outermost first.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.0.contexts.iter().rev().cloned().collect();
        let chain = std::iter::successors(Some(&*self.0.error as &dyn StdError), |&e| e.source());
        texts.extend(chain.map(ToString::to_string));
        texts
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Error {
        Error::raise(Box::new(error), std::any::type_name::<E>(), None)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return Debug::fmt(self, f);
        }
        match self.0.contexts.last() {
            Some(context) => f.write_str(context),
            None => Display::fmt(&self.0.error, f),
        }
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.texts();
        write!(f, "{} ({})", texts[0], self.0.location)?;
        for cause in &texts[1..] {
            write!(f, "\n  caused by: {cause}")?;
        }
        if let Some(traceback) = get_remote_traceback(&*self.0.error) {
            write!(f, "\n\n{traceback}")?;
        }
        Ok(())
    }
}

/// [`Error`] as a `std::error::Error`, for callers that box theirs.
struct Opened(Error);

impl Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

impl StdError for Opened {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        if self.0.0.contexts.is_empty() { self.0.0.error.source() } else { Some(&*self.0.0.error) }
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync + 'static> {
    fn from(error: Error) -> Self {
        Box::new(Opened(error))
    }
}

impl From<Error> for Box<dyn StdError + 'static> {
    fn from(error: Error) -> Self {
        Box::new(Opened(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_question_mark_is_kept() {
        fn parse() -> Result<u32> {
            Ok("x".parse::<u32>()?) // this line
        }
        let error = parse().unwrap_err();
        assert_eq!(error.location().file(), file!());
        assert_eq!(error.location().line(), line!() - 4);
    }

    #[test]
    fn context_becomes_the_message_and_the_error_its_cause() {
        let error = Error::msg("disk full").context("cannot save").context("cannot close");
        assert_eq!(error.to_string(), "cannot close");
        assert_eq!(error.texts(), ["cannot close", "cannot save", "disk full"]);
        let shown = format!("{error:?}");
        assert!(shown.contains("caused by: cannot save\n  caused by: disk full"), "{shown}");
    }

    #[test]
    fn a_boxed_error_keeps_message_and_cause() {
        let boxed: Box<dyn StdError> = Error::from(fmt::Error).context("no text").into();
        assert_eq!(boxed.to_string(), "no text");
        assert!(boxed.source().unwrap().is::<fmt::Error>());
    }

    #[test]
    fn ensure_without_a_message_says_the_condition() {
        fn check(n: i32) -> Result<()> {
            crate::ensure!(n > 2);
            Ok(())
        }
        assert_eq!(check(1).unwrap_err().to_string(), "condition failed: n > 2");
        assert!(check(3).is_ok());
    }
}
