#![forbid(unsafe_code)]
#![doc = include_str!("../README.md")]

mod address;
mod client;
mod closable;
mod connection;
mod deadline;
mod error;
mod frame;
mod handshake;
mod listener;
mod pipe;
mod socket_file;
mod state;
mod sys;
mod wait;

pub use address::Address;
pub use client::Client;
pub use connection::{Connection, Direction};
pub use error::{AuthenticationFailure, ConnectionError};
pub use listener::Listener;
pub use pipe::Pipe;
pub use wait::{Descriptor, Waitable, wait};
