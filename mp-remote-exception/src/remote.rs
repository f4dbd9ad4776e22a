//! [`RemoteException`]: what of an error crosses to another process.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::frames::Frames;
use crate::origin::Origin;
use crate::trace::{self, Block};
use crate::{Error, carrier};

/// The type name that a panic shows in a trace.
const PANIC_TYPE: &str = "panic";
/// The message of a panic whose payload is not text.
const PANIC_WITHOUT_TEXT: &str = "panicked with a payload that is not text";

/// An error as it arrives from another process: kind, message, causes, place and trace.
///
/// Cheap to clone; sent on, it keeps its trace. Raised on with `?` and sent by the next
/// process, it keeps kind, message and value, and its trace gets one more block.
///
/// `{}` prints the message; `{:?}` and `{:#}` print message, causes and trace.
///
/// # Differences from Python
///
/// It is an ordinary value before and after the crossing; nothing has to be wrapped to keep its
/// trace, and nothing loses it on the second hop.
///
/// # Examples
///
/// ```
/// use mp_remote_exception::RemoteException;
///
/// let error = RemoteException::new("x".parse::<i32>().unwrap_err());
/// assert_eq!(error.type_name(), "core::num::error::ParseIntError");
/// assert_eq!(error.message(), "invalid digit found in string");
/// assert!(error.traceback().starts_with("[MainProcess] Traceback (most recent call last):"));
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RemoteException(Arc<Report>);

#[derive(Clone, Serialize, Deserialize)]
struct Report {
    panic: bool,
    type_name: String,
    message: String,
    causes: Causes,
    value: Option<serde_bytes::ByteBuf>,
    location: Option<String>,
    origin: Origin,
    traceback: String,
    /// Whether it is from another process; what arrives always is.
    #[serde(skip, default = "has_crossed")]
    crossed: bool,
}

fn has_crossed() -> bool {
    true
}

/// More causes than this are cut: nobody reads them, and each is an object on a chain.
const MAX_CAUSES: usize = 100;

/// One cause of a remote error: its text is all that crossed.
#[derive(Clone)]
struct RemoteCause {
    message: String,
    cause: Option<Box<RemoteCause>>,
}

/// The chain of causes behind a remote error, which crosses as a list.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
struct Causes(Option<Box<RemoteCause>>);

impl From<Vec<String>> for Causes {
    fn from(mut texts: Vec<String>) -> Causes {
        texts.truncate(MAX_CAUSES);
        Causes(
            texts
                .into_iter()
                .rev()
                .fold(None, |cause, message| Some(Box::new(RemoteCause { message, cause }))),
        )
    }
}

impl From<Causes> for Vec<String> {
    fn from(causes: Causes) -> Vec<String> {
        causes.texts().map(ToOwned::to_owned).collect()
    }
}

impl Causes {
    fn texts(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.0.as_deref(), |c| c.cause.as_deref()).map(|c| c.message.as_str())
    }
}

impl RemoteException {
    /// Wraps an error, before it is put into a queue or sent over a pipe.
    ///
    /// An error that came from another process and was not raised again stays as it is.
    /// Resolving the names of the trace reads this program's debug information, which takes
    /// milliseconds the first time.
    #[track_caller]
    pub fn new(error: impl Into<Error> + 'static) -> RemoteException {
        let was_raised = (&error as &dyn Any).is::<Error>();
        let error = error.into();
        match carrier::carried(&*error.raised().error) {
            Some(arrived) if !was_raised => arrived.clone(),
            _ => RemoteException::from_raised(&error, Origin::current()),
        }
    }

    /// Wraps an error that was raised at `origin`.
    pub fn from_raised(error: &Error, origin: Origin) -> RemoteException {
        let raised = error.raised();
        let texts = error.texts();
        let earlier = carrier::find(&*raised.error);
        // A wrapper around what arrived is not a new failure: kind, panic and value stay.
        let arrived = carrier::carried(&*raised.error);
        let texts = match arrived {
            Some(arrived) => {
                let mut texts: Vec<String> = raised.contexts.iter().rev().cloned().collect();
                texts.extend(arrived.texts());
                texts
            }
            None => texts,
        };
        let type_name = arrived.map_or(raised.type_name, |arrived| arrived.type_name());
        let block = trace::block(&Block {
            origin: &origin,
            frames: &raised.frames.resolve(),
            place: Some((raised.location.file(), raised.location.line())),
            type_name,
            texts: &texts,
        });
        let value = match arrived {
            Some(arrived) => arrived.0.value.clone(),
            None => raised.encode.and_then(|f| f(&*raised.error)).map(serde_bytes::ByteBuf::from),
        };
        RemoteException(Arc::new(Report {
            panic: arrived.is_some_and(RemoteException::is_panic),
            type_name: type_name.to_owned(),
            message: texts[0].clone(),
            causes: texts[1..].to_vec().into(),
            value,
            location: Some(raised.location.to_string()),
            crossed: origin.thread_name().is_none(),
            origin,
            traceback: match earlier {
                Some(earlier) => trace::join(earlier.traceback(), &block),
                None => block,
            },
        }))
    }

    /// A panic with this message, `None` if its payload is no text, at `location` (file, line,
    /// column).
    pub fn from_panic(
        message: Option<&str>,
        location: Option<(&str, u32, u32)>,
        frames: &Frames,
        origin: Origin,
    ) -> RemoteException {
        let texts = [message.unwrap_or(PANIC_WITHOUT_TEXT).to_owned()];
        let traceback = trace::block(&Block {
            origin: &origin,
            frames: &frames.resolve(),
            place: location.map(|(file, line, _)| (file, line)),
            type_name: PANIC_TYPE,
            texts: &texts,
        });
        let [message] = texts;
        RemoteException(Arc::new(Report {
            panic: true,
            type_name: PANIC_TYPE.to_owned(),
            message,
            causes: Causes::default(),
            value: None,
            location: location.map(|(file, line, column)| format!("{file}:{line}:{column}")),
            crossed: origin.thread_name().is_none(),
            origin,
            traceback,
        }))
    }

    /// The full type name of the error as it was raised first; `panic` for a panic.
    pub fn type_name(&self) -> &str {
        &self.0.type_name
    }

    /// The message of the error.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where it was raised last, as `src/worker.rs:42:13`.
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// The traces of every process that it went through, oldest first; in each the newest call
    /// is last.
    pub fn traceback(&self) -> &str {
        &self.0.traceback
    }

    /// The name of the process that raised it last.
    pub fn process_name(&self) -> &str {
        self.0.origin.process_name()
    }

    /// The pid of the process that raised it last.
    pub fn pid(&self) -> u32 {
        self.0.origin.pid()
    }

    /// The process and, for an error of a thread of this process, the thread.
    pub fn origin(&self) -> &Origin {
        &self.0.origin
    }

    /// Whether it was a panic rather than an error returned.
    pub fn is_panic(&self) -> bool {
        self.0.panic
    }

    /// The error itself, if it was raised as [`Error::typed`] of an `E`.
    pub fn downcast<E: DeserializeOwned + 'static>(&self) -> Option<E> {
        if self.0.type_name != std::any::type_name::<E>() {
            return None;
        }
        rmp_serde::from_slice(self.0.value.as_ref()?).ok()
    }

    fn texts(&self) -> Vec<String> {
        let causes = self.0.causes.texts().map(ToOwned::to_owned);
        std::iter::once(self.0.message.clone()).chain(causes).collect()
    }

    /// Whether it came from another process, rather than from a thread of this one.
    fn crossed(&self) -> bool {
        self.0.crossed
    }
}

impl Display for RemoteException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { Debug::fmt(self, f) } else { f.write_str(&self.0.message) }
    }
}

impl Debug for RemoteException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = self.texts();
        write!(f, "{}: {}", self.0.type_name, texts[0])?;
        for cause in &texts[1..] {
            write!(f, "\n  caused by: {cause}")?;
        }
        write!(f, "\n\n{}", self.0.traceback)
    }
}

impl StdError for RemoteException {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.causes.0.as_deref().map(|cause| cause as &dyn StdError)
    }
}

impl Display for RemoteCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Debug for RemoteCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl StdError for RemoteCause {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn StdError)
    }
}

/// Whether `error`, or a cause of it, came from another process.
///
/// # Examples
///
/// ```
/// use mp_remote_exception::{RemoteException, is_remote_exception};
///
/// assert!(!is_remote_exception(&std::fmt::Error));
/// assert!(is_remote_exception(&RemoteException::new(std::fmt::Error)));
/// ```
pub fn is_remote_exception(error: &(dyn StdError + 'static)) -> bool {
    carrier::find(error).is_some_and(RemoteException::crossed)
}

/// The trace of the remote error that `error` is or was caused by.
pub fn get_remote_traceback<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a str> {
    carrier::find(error).filter(|remote| remote.crossed()).map(RemoteException::traceback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Result;

    #[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
    #[error("wrong value {0}!")]
    struct WrongValue(i32);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot load")]
    struct Load(#[source] WrongValue);

    fn crossing(error: &RemoteException) -> RemoteException {
        rmp_serde::from_slice(&rmp_serde::to_vec_named(error).unwrap()).unwrap()
    }

    #[test]
    fn re_01_re_02_kind_message_and_value_arrive() {
        let arrived = crossing(&RemoteException::new(Error::typed(WrongValue(3))));
        assert!(arrived.type_name().ends_with("WrongValue"));
        assert_eq!(arrived.message(), "wrong value 3!");
        assert_eq!(arrived.downcast::<WrongValue>(), Some(WrongValue(3)));
        assert_eq!(arrived.downcast::<i32>(), None);
    }

    #[test]
    fn re_03_the_trace_names_process_and_function() {
        fn a_function_of_its_own() -> Result<()> {
            Err(WrongValue(1))?
        }
        let arrived = crossing(&RemoteException::new(a_function_of_its_own().unwrap_err()));
        assert!(is_remote_exception(&arrived));
        let trace = get_remote_traceback(&arrived).unwrap();
        assert!(trace.starts_with("[MainProcess] Traceback (most recent call last):"), "{trace}");
        assert!(trace.contains("a_function_of_its_own"), "{trace}");
        assert!(trace.trim_end().ends_with("WrongValue: wrong value 1!"), "{trace}");
    }

    #[test]
    fn re_06_wrapping_again_without_raising_changes_nothing() {
        let first = RemoteException::new(WrongValue(1));
        let second = RemoteException::new(crossing(&first));
        assert_eq!(first.traceback(), second.traceback());
    }

    #[test]
    fn re_07_raising_again_adds_a_block_and_keeps_the_kind() {
        fn middle(arrived: RemoteException) -> Result<()> {
            Err(arrived)?
        }
        let first = crossing(&RemoteException::new(Error::typed(WrongValue(5))));
        let again = middle(first.clone()).unwrap_err().context("in the middle");
        let second = crossing(&RemoteException::new(again));
        assert!(second.traceback().starts_with(first.traceback()));
        assert_eq!(second.traceback().matches("Traceback (most recent call last)").count(), 2);
        assert_eq!(second.type_name(), first.type_name());
        assert_eq!(second.message(), "in the middle");
        assert_eq!(second.source().unwrap().to_string(), "wrong value 5!");
        assert_eq!(second.downcast::<WrongValue>(), Some(WrongValue(5)));
    }

    #[test]
    fn re_10_other_errors_are_not_remote() {
        assert!(!is_remote_exception(&Load(WrongValue(1))));
        let in_a_thread =
            RemoteException::from_raised(&WrongValue(1).into(), Origin::current_thread("t"));
        assert!(!is_remote_exception(&in_a_thread));
        assert!(in_a_thread.traceback().starts_with("[t] Traceback"));
    }

    #[test]
    fn re_15_chain_and_place_are_kept_and_an_odd_panic_has_a_text() {
        let arrived = crossing(&RemoteException::new(Load(WrongValue(2))));
        assert_eq!(arrived.to_string(), "cannot load");
        assert_eq!(arrived.source().unwrap().to_string(), "wrong value 2!");
        assert!(arrived.location().unwrap().contains("remote.rs:"));
        assert!(format!("{arrived:?}").contains("caused by: wrong value 2!"));
        assert!(format!("{arrived:#}").contains("Traceback"));

        let frames = Frames::capture();
        let odd = RemoteException::from_panic(None, None, &frames, Origin::current());
        assert!(odd.is_panic());
        assert_eq!(odd.message(), PANIC_WITHOUT_TEXT);
        let place = Some(("src/a.rs", 3, 9));
        let text = RemoteException::from_panic(Some("boom"), place, &frames, Origin::current());
        assert_eq!((text.type_name(), text.message()), ("panic", "boom"));
        assert_eq!(text.location(), Some("src/a.rs:3:9"));
    }

    #[test]
    fn an_error_of_a_thread_is_remote_once_it_has_crossed() {
        let in_a_thread =
            RemoteException::from_raised(&WrongValue(1).into(), Origin::current_thread("t"));
        assert!(is_remote_exception(&crossing(&in_a_thread)));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_causes_is_cut() {
        let mut error = Error::msg("first");
        for n in 0..100_000 {
            error = error.context(n);
        }
        let arrived = crossing(&RemoteException::new(error));
        assert_eq!(arrived.texts().len(), 1 + MAX_CAUSES);
    }
}
