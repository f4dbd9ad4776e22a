//! A value as bytes and attachments.

use std::io;
use std::os::fd::OwnedFd;

use rmp_serde::decode;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};

use crate::deep::Deep;
use crate::{Attachments, DecodeError, EncodeError, MAX_DESCRIPTORS, transfer};

/// Values nested deeper than this are not decoded, so that hostile bytes cannot eat memory
/// without bound; the stack grows on the heap as needed, so no depth below it can overflow.
const MAX_DEPTH: usize = u16::MAX as usize;

/// An encoded value with the descriptors that belong to it.
///
/// Dropping it closes its copies of the descriptors. It may be decoded any number of times.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    attachments: Attachments,
}

/// Encodes any value, collecting the handles in it as attachments.
///
/// # Errors
///
/// [`EncodeError`] when a `Serialize` fails, a descriptor cannot be duplicated, there is no memory for the
/// bytes, or the value holds more than [`MAX_DESCRIPTORS`] descriptors.
///
/// # Examples
///
/// ```
/// let message = mp_reduction::encode(&vec![Some(1.5), None])?;
/// assert_eq!(message.decode::<Vec<Option<f64>>>()?, [Some(1.5), None]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, EncodeError> {
    let mut bytes = Vec::with_capacity(64);
    let attachments = encode_into(value, &mut bytes)?;
    Ok(Message { bytes, attachments })
}

/// Appends the encoded form of a value to `bytes` and gives the attachments that belong to it, for
/// [`decode_from`].
///
/// For whoever keeps many messages in memory of its own. Nothing is allocated for a value without handles, beyond
/// what `bytes` has to grow.
///
/// # Errors
///
/// As [`encode`]; `bytes` is as before then.
///
/// # Examples
///
/// ```
/// let mut bytes = b"head".to_vec();
/// let attachments = mp_reduction::encode_into("body", &mut bytes)?;
/// assert!(attachments.is_empty());
/// assert_eq!(mp_reduction::decode_from::<String>(&bytes[4..], &attachments)?, "body");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<Attachments, EncodeError> {
    let before = bytes.len();
    let (outcome, attachments) = transfer::collect(|| encode_bytes(value, bytes));
    let count = attachments.descriptors().len();
    let outcome = outcome.and_then(|()| {
        let type_name = std::any::type_name::<T>();
        let is_too_many = count > MAX_DESCRIPTORS;
        if is_too_many { Err(EncodeError::TooManyDescriptors { type_name, count }) } else { Ok(()) }
    });
    if let Err(error) = outcome {
        bytes.truncate(before);
        return Err(error);
    }
    Ok(attachments)
}

/// Appends the encoded form of a value without descriptors to `bytes`.
///
/// For messages so many and so short that a [`Message`] of their own for each would cost more than
/// what is in them.
///
/// # Errors
///
/// [`EncodeError`] when a `Serialize` fails, as that of a descriptor does here; `bytes` then ends in part of a
/// value. [`EncodeError::NoMemory`] leaves them as they were.
pub fn encode_bytes<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let before = bytes.len();
    let room = Room { bytes, is_exhausted: false };
    let mut serializer = rmp_serde::Serializer::new(room).with_struct_map();
    value.serialize(Deep(&mut serializer)).map_err(|error| {
        let room = serializer.get_mut();
        if !room.is_exhausted {
            return EncodeError::value::<T>(error);
        }
        let (type_name, len) = (std::any::type_name::<T>(), room.bytes.len() - before);
        room.give_back(before);
        EncodeError::NoMemory { type_name, len }
    })
}

/// Who grows leaves room for so many bytes more: those who frame a value put a few before it or behind it.
const SPARE: usize = 64;

/// Bytes that grow while there is memory for it; where there is none, a `Vec` would end the process.
struct Room<'a> {
    bytes: &'a mut Vec<u8>,
    is_exhausted: bool,
}

impl Room<'_> {
    /// Makes room for so many bytes, and for as many again as there are, if there is memory for that; else for less.
    #[cold]
    fn grow(&mut self, more: usize) -> io::Result<()> {
        let least = more + SPARE;
        let mut steps = [self.bytes.len(), self.bytes.len() / 8, 64 * 1024, 0].into_iter();
        if steps.any(|step| self.bytes.try_reserve_exact(step.max(least)).is_ok()) {
            return Ok(());
        }
        self.is_exhausted = true;
        Err(io::ErrorKind::OutOfMemory.into())
    }

    /// Gives back what has come since there were so many bytes.
    fn give_back(&mut self, before: usize) {
        self.bytes.truncate(before);
        self.bytes.shrink_to(before + SPARE);
    }
}

impl io::Write for Room<'_> {
    #[inline]
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.write_all(more)?;
        Ok(more.len())
    }

    #[inline]
    fn write_all(&mut self, more: &[u8]) -> io::Result<()> {
        if self.bytes.capacity() - self.bytes.len() < more.len() {
            self.grow(more.len())?;
        }
        self.bytes.extend_from_slice(more);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Turns bytes back into a value, without a copy of them.
///
/// # Errors
///
/// [`DecodeError`] when the bytes are not an encoded `T`, have something behind it, or name a
/// descriptor that is not there. Any bytes at all are safe to decode.
pub fn decode_from<T: DeserializeOwned>(
    bytes: &[u8],
    attachments: &Attachments,
) -> Result<T, DecodeError> {
    transfer::provide(attachments, || {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
        deserializer.set_max_depth(MAX_DEPTH);
        let value = T::deserialize(serde_stacker::Deserializer::new(&mut deserializer))?;
        // How far it has read, it does not tell; but reading on must fail, and at the end.
        match bool::deserialize(&mut deserializer) {
            Err(decode::Error::InvalidMarkerRead(error))
                if error.kind() == io::ErrorKind::UnexpectedEof =>
            {
                Ok(value)
            }
            _ => Err(decode::Error::custom("something follows the value")),
        }
    })
    .map_err(|cause| DecodeError::new::<T>(bytes.len(), cause))
}

impl Message {
    /// Puts together what came over a [`wire`](crate::wire).
    pub fn from_parts(bytes: Vec<u8>, attachments: Vec<OwnedFd>) -> Message {
        Message { bytes, attachments: attachments.into() }
    }

    /// Puts together what was encoded into one place, with [`encode_into`].
    pub fn new(bytes: Vec<u8>, attachments: Attachments) -> Message {
        Message { bytes, attachments }
    }

    /// The encoded value.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The descriptors that must travel with the bytes, in order.
    pub fn attachments(&self) -> &[OwnedFd] {
        self.attachments.descriptors()
    }

    /// Turns the message back into a value.
    ///
    /// # Errors
    ///
    /// As [`decode_from`].
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        decode_from(&self.bytes, &self.attachments)
    }
}
