//! A value as bytes and attachments.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::deep::Deep;
use crate::{DecodeError, EncodeError, MAX_DESCRIPTORS, transfer};

/// Values nested deeper than this are not decoded, so that hostile bytes cannot eat memory
/// without bound; the stack grows on the heap as needed, so no depth below it can overflow.
const MAX_DEPTH: usize = u16::MAX as usize;

/// An encoded value with the descriptors that belong to it.
///
/// Dropping it closes its copies of the descriptors. It may be decoded any number of times.
#[derive(Clone, Debug)]
pub struct Message {
    bytes: Vec<u8>,
    /// `None` for the many messages without any.
    attachments: Option<Arc<[OwnedFd]>>,
}

/// Encodes any value, collecting the handles in it as attachments.
///
/// # Errors
///
/// [`EncodeError`] when a `Serialize` fails, a descriptor cannot be duplicated, or the value
/// holds more than [`MAX_DESCRIPTORS`] of them.
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
    let (outcome, attachments) = transfer::collect(|| encode_bytes(value, &mut bytes));
    outcome?;
    if attachments.len() > MAX_DESCRIPTORS {
        let type_name = std::any::type_name::<T>();
        return Err(EncodeError::TooManyDescriptors { type_name, count: attachments.len() });
    }
    Ok(Message::from_parts(bytes, attachments))
}

/// Appends the encoded form of a value without descriptors to `bytes`.
///
/// For messages so many and so short that a [`Message`] of their own for each would cost more than
/// what is in them.
///
/// # Errors
///
/// [`EncodeError`] when a `Serialize` fails, as that of a descriptor does here; `bytes` then ends
/// in part of a value.
pub fn encode_bytes<T: Serialize + ?Sized>(
    value: &T,
    bytes: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut serializer = rmp_serde::Serializer::new(bytes).with_struct_map();
    value.serialize(Deep(&mut serializer)).map_err(EncodeError::value::<T>)
}

impl Message {
    /// Puts together what came over a [`wire`](crate::wire).
    pub fn from_parts(bytes: Vec<u8>, attachments: Vec<OwnedFd>) -> Message {
        let attachments = (!attachments.is_empty()).then(|| attachments.into());
        Message { bytes, attachments }
    }

    /// The encoded value.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The descriptors that must travel with the bytes, in order.
    pub fn attachments(&self) -> &[OwnedFd] {
        self.attachments.as_deref().unwrap_or_default()
    }

    /// Turns the message back into a value.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are not an encoded `T`, have something behind it, or name a
    /// descriptor that is not there. Any bytes at all are safe to decode.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        transfer::provide(self.attachments.clone(), || {
            let mut rest: &[u8] = &self.bytes;
            let mut deserializer = rmp_serde::Deserializer::new(&mut rest);
            deserializer.set_max_depth(MAX_DEPTH);
            let value = T::deserialize(serde_stacker::Deserializer::new(&mut deserializer));
            drop(deserializer);
            let value = value.map_err(|cause| DecodeError::new::<T>(self.bytes.len(), cause))?;
            if rest.is_empty() {
                Ok(value)
            } else {
                let surplus = <rmp_serde::decode::Error as serde::de::Error>::custom(format_args!(
                    "{} bytes left over",
                    rest.len()
                ));
                Err(DecodeError::new::<T>(self.bytes.len(), surplus))
            }
        })
    }
}
