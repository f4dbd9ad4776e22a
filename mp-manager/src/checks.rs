//! What the code that `#[mp::managed]` writes asks the compiler, so that its answer is about the program of
//! the user and says what to do.
//!
//! A question is asked once, by an `assert_…`, with the user's type as its place. The code that needs the
//! answer to be yes goes through [`Checked`], and would not mind a no: else the compiler would say the same
//! again of each line of it, which the user did not write.

use std::fmt::{self, Debug, Write};
use std::marker::PhantomData;

use mp_remote_exception::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::Failure;
use crate::hosted::Reply;
use crate::managed::{Args, Manageable};
use crate::proxy::Proxy;

/// What can be an argument of a managed method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a managed method",
    label = "cannot be sent to a server",
    note = "arguments are sent: every type in them derives `serde::Serialize` and `serde::Deserialize`, or \
            implements them, and borrows nothing"
)]
pub trait Argument: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Argument for T {}

/// What can be the result of a managed method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a managed method",
    label = "cannot be sent to the caller",
    note = "results are sent: every type in them derives `serde::Serialize` and `serde::Deserialize`, or \
            implements them, and borrows nothing",
    note = "an object that stays in the server is returned as `mp::Managed<T>`, which `mp::managed(object)` makes"
)]
pub trait Returned: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Returned for T {}

/// What can be the error of a managed method.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a managed method",
    label = "cannot be raised at the caller",
    note = "return `mp::Result<T>`, or an error that implements `std::error::Error + Send + Sync + 'static`"
)]
pub trait Raised: Into<Error> {}

#[diagnostic::do_not_recommend]
impl<E: Into<Error>> Raised for E {}

/// What a type needs to have its objects in a server.
#[diagnostic::on_unimplemented(
    message = "an object of `{Self}` cannot live in a server",
    label = "cannot be used by several threads",
    note = "each caller has a thread in the server: what is managed is `Send + Sync + 'static`",
    note = "use `Arc` for `Rc`, an atomic or a `Mutex` for `Cell` and `RefCell`"
)]
pub trait Shareable: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + Sync + 'static> Shareable for T {}

/// What can be an argument of a constructor, beside what any argument needs.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of a constructor",
    label = "cannot go to another thread",
    note = "the arguments of `new` are kept until the object is made, in whichever thread: they are `Send + 'static`"
)]
pub trait Kept: Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Kept for T {}

/// Fails to compile where an argument cannot be sent.
pub fn assert_argument<T: Argument>() {}

/// Fails to compile where an argument cannot be kept until it is sent.
pub fn assert_kept<T: Kept>() {}

/// Fails to compile where a result cannot be sent.
pub fn assert_returned<T: Returned>() {}

/// Fails to compile where an error cannot be raised.
pub fn assert_raised<E: Raised>() {}

/// Fails to compile where an object cannot be shared.
pub fn assert_shareable<T: Shareable>() {}

/// A `Result` under another name, without its parameters: `fmt::Result`.
pub trait Fallible {
    /// What it has when nothing failed.
    type Value;
}

impl<T, E> Fallible for Result<T, E> {
    type Value = T;
}

/// Something whose type was asked for elsewhere. Its methods are those of [`Unchecked`] if the answer was no.
#[derive(Debug)]
pub struct Checked<T>(pub T);

impl<A: DeserializeOwned> Checked<PhantomData<A>> {
    /// The arguments of a call.
    ///
    /// # Errors
    ///
    /// That they are none of this kind.
    pub fn args(self, call: &Call<'_>) -> Result<A, Failure> {
        call.args()
    }
}

impl<T: Serialize> Checked<&T> {
    /// What a call gives that returned this.
    ///
    /// # Errors
    ///
    /// That it cannot be encoded.
    pub fn reply(self, call: &Call<'_>) -> Reply {
        call.reply(self.0)
    }
}

impl<E: Into<Error>> Checked<E> {
    /// What a call gives that failed with this.
    pub fn failure(self) -> Failure {
        Failure::raised(self.0)
    }
}

impl<R: DeserializeOwned, A: Serialize> Checked<(PhantomData<R>, &A)> {
    /// Calls a method with these arguments, and takes its result.
    ///
    /// # Errors
    ///
    /// As [`Proxy::call`] has them.
    pub fn call(self, proxy: &Proxy, method: &str) -> Result<R, ManagerError> {
        proxy.call(method, self.0.1)
    }
}

impl<A: Serialize + Send + 'static> Checked<A> {
    /// The arguments of a constructor.
    pub fn into_args<T: Manageable>(self) -> Args<T> {
        Args::new(self.0)
    }
}

/// The methods of [`Checked`] for types that do not have them: it is in scope, and comes second.
#[expect(unused_variables, reason = "what has these methods does not compile")]
pub trait Unchecked: Sized {
    /// In place of the arguments of a call.
    ///
    /// # Errors
    ///
    /// None.
    fn args<A>(self, call: &Call<'_>) -> Result<A, Failure> {
        does_not_compile()
    }

    /// In place of what a call gives that returned this.
    ///
    /// # Errors
    ///
    /// None.
    fn reply(self, call: &Call<'_>) -> Reply {
        does_not_compile()
    }

    /// In place of what a call gives that failed with this.
    fn failure(self) -> Failure {
        does_not_compile()
    }

    /// In place of a call.
    ///
    /// # Errors
    ///
    /// None.
    fn call<R>(self, proxy: &Proxy, method: &str) -> Result<R, ManagerError> {
        does_not_compile()
    }

    /// In place of the arguments of a constructor.
    fn into_args<T: Manageable>(self) -> Args<T> {
        does_not_compile()
    }
}

impl<T> Unchecked for Checked<T> {}

fn does_not_compile() -> ! {
    unreachable!("an assertion beside this one fails to compile")
}

/// Shows an object: `Preview(&object).preview()` is its `Debug` text. Where its type has none, it is
/// [`NoPreview`]'s method of the same name, which has to be in scope and comes second.
#[derive(Debug)]
pub struct Preview<'a, T>(pub &'a T);

impl<T: Debug> Preview<'_, T> {
    /// The beginning of its `Debug` text.
    pub fn preview(&self) -> Option<String> {
        let mut text = Beginning::default();
        // An error is the end of what is wanted, or the object's own, with which its text ends too.
        let is_whole = write!(text, "{:?}", self.0).is_ok();
        if !is_whole {
            text.0.push('…');
        }
        Some(text.0)
    }
}

/// Shows nothing.
pub trait NoPreview {
    /// Nothing.
    fn preview(&self) -> Option<String> {
        None
    }
}

impl<T> NoPreview for Preview<'_, T> {}

/// A text that is not written further than it is read.
#[derive(Default)]
struct Beginning(String);

impl Beginning {
    const LEN: usize = 200;
}

impl Write for Beginning {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let mut end = more.len().min(Self::LEN.saturating_sub(self.0.len()));
        while !more.is_char_boundary(end) {
            end -= 1;
        }
        self.0.push_str(&more[..end]);
        if end == more.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    #[test]
    fn an_object_is_shown_if_its_type_can_be() {
        assert_eq!(Preview(&Some(5)).preview().as_deref(), Some("Some(5)"));
        assert_eq!(Preview(&Silent).preview(), None);
    }

    #[test]
    fn a_long_text_is_not_written_to_its_end() {
        /// Counts how much of it was asked for.
        struct Endless<'a>(&'a std::cell::Cell<u32>);

        impl Debug for Endless<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    self.0.set(self.0.get() + 1);
                    f.write_str("€uro")?;
                }
            }
        }

        let asked = std::cell::Cell::new(0);
        let text = Preview(&Endless(&asked)).preview().unwrap();
        assert!(text.starts_with("€uro€uro") && text.ends_with('…'));
        assert!(text.len() <= Beginning::LEN + '…'.len_utf8());
        assert_eq!(asked.get(), 34);
    }
}
