//! What a process can run: functions and closures that capture nothing.

use mp_remote_exception::Result;

/// A function, or a closure that captures nothing, that takes the arguments `Args` (a tuple of 0 to
/// 12) and returns `mp::Result<T>`.
///
/// The child runs the same program, so a target needs no registration: its place in the program
/// is all that is sent. That is why it cannot capture anything; pass values as arguments. (A value
/// without any bytes can be captured, and is made anew in the child: do not rely on such a value being
/// a proof of something that was done in this process.)
///
/// # Examples
///
/// ```
/// # use mp_context as mp;
/// mp::enable_test_support!();
///
/// fn power(base: u64, exponent: u32) -> mp::Result<u64> {
///     Ok(base.pow(exponent))
/// }
/// let p = mp::Process::start(power, (3, 4))?;
/// assert_eq!(p.into_result()?, 81);
///
/// let p = mp::Process::start(|name: String| Ok(name.len()), ("four".to_owned(),))?;
/// assert_eq!(p.into_result()?, 4);
/// # Ok::<(), mp::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the target of a process",
    label = "not a function that a process can run",
    note = "a target is a function or a closure that takes at most 12 arguments and returns `mp::Result<_>`",
    note = "it captures nothing: values go to it as arguments, in a tuple; one argument `x` is `(x,)`"
)]
pub trait Target<Args>: Copy + 'static {
    /// What the target returns when it succeeds.
    type Output;

    /// Calls the target.
    #[doc(hidden)]
    fn call(self, args: Args) -> Result<Self::Output>;
}

macro_rules! targets {
    ($(($($argument:ident)*))*) => {
        $(#[diagnostic::do_not_recommend] // else a closure that owns a `String` is told of `Copy`
        impl<Func, Out, $($argument),*> Target<($($argument,)*)> for Func
        where
            Func: Fn($($argument),*) -> Result<Out> + Copy + 'static,
        {
            type Output = Out;

            #[allow(non_snake_case, reason = "the arguments are named like their types")]
            fn call(self, ($($argument,)*): ($($argument,)*)) -> Result<Out> {
                self($($argument),*)
            }
        })*
    };
}

targets! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
    (A B C D E F G H I)
    (A B C D E F G H I J)
    (A B C D E F G H I J K)
    (A B C D E F G H I J K L)
}
