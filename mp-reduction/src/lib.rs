#![doc = include_str!("../README.md")]

mod deep;
mod descriptor;
mod error;
mod message;
mod sys;
pub mod transfer;
pub mod wire;

pub use descriptor::DupFd;
pub use error::{DecodeError, EncodeError};
pub use message::{Message, encode, encode_bytes};
pub use sys::image::{BuildId, Image, Offset, image};
pub use wire::MAX_DESCRIPTORS;
