#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod carrier;
mod error;
mod frames;
mod origin;
mod remote;
mod trace;

pub use carrier::Carrier;
pub use error::{Error, Result};
pub use frames::Frames;
pub use origin::{Origin, set_process_name};
pub use remote::{RemoteException, get_remote_traceback, is_remote_exception};

#[doc(hidden)]
pub mod __private {
    pub use inventory;
    pub use std::format;
}

/// Returns from the enclosing function with an [`Error`] made of a message.
///
/// Takes what [`format!`] takes.
///
/// # Examples
///
/// ```
/// fn half(n: u32) -> mp_remote_exception::Result<u32> {
///     if n % 2 == 1 {
///         mp_remote_exception::bail!("{n} is odd");
///     }
///     Ok(n / 2)
/// }
/// assert_eq!(half(3).unwrap_err().to_string(), "3 is odd");
/// ```
#[macro_export]
macro_rules! bail {
    ($($message:tt)+) => {
        return ::core::result::Result::Err(
            $crate::Error::msg($crate::__private::format!($($message)+)),
        )
    };
}

/// Returns with an [`Error`] unless a condition holds.
///
/// Without a message the text of the condition is the message.
///
/// # Examples
///
/// ```
/// fn root(x: f64) -> mp_remote_exception::Result<f64> {
///     mp_remote_exception::ensure!(x >= 0.0, "no real root of {x}");
///     Ok(x.sqrt())
/// }
/// assert_eq!(root(-1.0).unwrap_err().to_string(), "no real root of -1");
/// ```
#[macro_export]
macro_rules! ensure {
    ($condition:expr $(,)?) => {
        if !$condition {
            $crate::bail!("condition failed: {}", stringify!($condition));
        }
    };
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            $crate::bail!($($message)+);
        }
    };
}
