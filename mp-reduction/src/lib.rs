#![doc = include_str!("../README.md")]

mod attachments;
mod deep;
mod descriptor;
mod error;
mod message;
mod sys;
pub mod transfer;
pub mod wire;

pub use attachments::{Attachments, Part};
pub use descriptor::DupFd;
pub use error::{DecodeError, EncodeError};
pub use message::{Message, decode_from, encode, encode_bytes, encode_into};
pub use sys::image::{BuildId, Image, Offset, image};
pub use wire::MAX_DESCRIPTORS;

/// An error with all that it comes from, for where only a text can go on.
#[doc(hidden)]
pub fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
