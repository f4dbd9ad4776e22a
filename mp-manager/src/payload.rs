//! [`Payload`]: a value on its way between a server and a client, and [`Item`], one at rest in a container of a server.
//! The server opens neither.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use mp_reduction::{Attachments, DecodeError, EncodeError, decode_from, encode_bytes, encode_into};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes;

use crate::host::Host;
use crate::id::ServerId;
use crate::passage;
use crate::reference::Reference;

/// An encoded value, with what belongs to it and cannot be bytes: descriptors, and references to objects of the server.
///
/// Clones share the descriptors and hold references of their own.
#[derive(Clone, Debug, Default)]
pub struct Payload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) attachments: Attachments,
    pub(crate) references: Vec<Reference>,
}

/// Which part of what several payloads have together belongs to one of them.
#[derive(Serialize, Deserialize)]
struct Part<B> {
    bytes: B,
    descriptors: u32,
    references: u32,
}

impl Payload {
    /// Encodes a value for a server, or for a client of it.
    pub(crate) fn encode<T: Serialize + ?Sized>(
        server: ServerId,
        value: &T,
    ) -> Result<Payload, EncodeError> {
        let mut bytes = Vec::with_capacity(32);
        let (attachments, references) = passage::collect(server, || encode_into(value, &mut bytes));
        Ok(Payload { bytes, attachments: attachments?, references })
    }

    /// The value.
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        if self.references.is_empty() {
            return decode_from(&self.bytes, &self.attachments);
        }
        passage::provide(&self.references, || decode_from(&self.bytes, &self.attachments))
    }

    /// Several as one, for [`split`](Payload::split).
    pub(crate) fn join<'a>(
        payloads: impl IntoIterator<Item = ItemRef<'a>>,
    ) -> Result<Payload, EncodeError> {
        let (mut parts, mut descriptors, mut references) = (Vec::new(), Vec::new(), Vec::new());
        for ItemRef { bytes, attachments, references: some } in payloads {
            for fd in attachments.descriptors() {
                descriptors.push(fd.try_clone().map_err(copying)?);
            }
            references.extend(some.iter().cloned());
            parts.push(Part {
                bytes: Bytes::new(bytes),
                descriptors: count(attachments.descriptors().len()),
                references: count(some.len()),
            });
        }
        let mut bytes = Vec::new();
        encode_bytes(&parts, &mut bytes)?;
        Ok(Payload { bytes, attachments: Attachments::from(descriptors), references })
    }

    /// The payloads that this one is made of.
    pub(crate) fn split(&self) -> Result<Vec<Payload>, DecodeError> {
        let parts: Vec<Part<serde_bytes::ByteBuf>> =
            decode_from(&self.bytes, &Attachments::default())?;
        let mut descriptors = self.attachments.descriptors();
        let mut references = &self.references[..];
        let mut payloads = Vec::with_capacity(parts.len());
        for Part { bytes, descriptors: fds, references: some } in parts {
            // A part that has less than it says fails when it is decoded.
            let (own, rest) = descriptors.split_at(descriptors.len().min(fds as usize));
            let (kept, others) = references.split_at(references.len().min(some as usize));
            (descriptors, references) = (rest, others);
            let copies: Result<Vec<OwnedFd>, _> = own.iter().map(OwnedFd::try_clone).collect();
            let attachments = copies.map(Attachments::from).unwrap_or_default();
            payloads.push(Payload {
                bytes: bytes.into_vec(),
                attachments,
                references: kept.to_vec(),
            });
        }
        Ok(payloads)
    }

    pub(crate) fn as_item(&self) -> ItemRef<'_> {
        let Payload { bytes, attachments, references } = self;
        ItemRef { bytes, attachments, references }
    }
}

fn copying(error: std::io::Error) -> EncodeError {
    EncodeError::Value { type_name: "a descriptor", cause: Arc::new(error) }
}

/// No message has more than four thousand million of anything.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// A value in a container of a server: a [`Payload`] that takes little memory.
#[derive(Clone, Debug)]
pub(crate) struct Item(Kept);

/// Most values are numbers and short texts, and few have more than bytes.
#[derive(Clone, Debug)]
enum Kept {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
    Full(Box<Payload>),
}

/// As many bytes as fit in without an item taking more memory than it would with none.
const SHORT: usize = 22;

/// An item, or what could be one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemRef<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) attachments: &'a Attachments,
    pub(crate) references: &'a [Reference],
}

impl Item {
    /// Encodes a value in the server.
    pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Item, EncodeError> {
        Payload::encode(Host::here().id(), value).map(Item::from)
    }

    /// Of a value that has nothing but bytes.
    pub(crate) fn plain(bytes: &[u8]) -> Item {
        let mut short = [0; SHORT];
        Item(match (short.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(start), Ok(len)) => {
                start.copy_from_slice(bytes);
                Kept::Short { len, bytes: short }
            }
            _ => Kept::Long(bytes.into()),
        })
    }

    /// The value as bytes; equal bytes are equal values.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or(bytes),
            Kept::Long(bytes) => bytes,
            Kept::Full(payload) => &payload.bytes,
        }
    }

    /// The value, if it is more than bytes.
    pub(crate) fn full(&self) -> Option<&Payload> {
        match &self.0 {
            Kept::Full(payload) => Some(payload),
            Kept::Short { .. } | Kept::Long(_) => None,
        }
    }

    pub(crate) fn references(&self) -> &[Reference] {
        self.full().map_or(&[], |payload| &payload.references)
    }

    pub(crate) fn as_ref(&self) -> ItemRef<'_> {
        static NONE: Attachments = Attachments::NONE;
        match self.full() {
            Some(payload) => payload.as_item(),
            None => ItemRef { bytes: self.bytes(), attachments: &NONE, references: &[] },
        }
    }

    pub(crate) fn to_payload(&self) -> Payload {
        let ItemRef { bytes: value, attachments, references } = self.as_ref();
        let (attachments, references) = (attachments.clone(), references.to_vec());
        // With room for what stands behind it in a reply.
        let mut bytes = Vec::with_capacity(value.len() + 16);
        bytes.extend_from_slice(value);
        Payload { bytes, attachments, references }
    }
}

impl ItemRef<'_> {
    pub(crate) fn to_item(self) -> Item {
        let ItemRef { bytes, attachments, references } = self;
        if attachments.is_empty() && references.is_empty() {
            return Item::plain(bytes);
        }
        let (attachments, references) = (attachments.clone(), references.to_vec());
        Item(Kept::Full(Box::new(Payload { bytes: bytes.to_vec(), attachments, references })))
    }
}

impl From<Payload> for Item {
    fn from(payload: Payload) -> Item {
        if !payload.attachments.is_empty() || !payload.references.is_empty() {
            return Item(Kept::Full(Box::new(payload)));
        }
        if payload.bytes.len() <= SHORT {
            return Item::plain(&payload.bytes);
        }
        Item(Kept::Long(payload.bytes.into()))
    }
}

impl From<Item> for Payload {
    fn from(item: Item) -> Payload {
        match item.0 {
            Kept::Short { .. } => item.to_payload(),
            Kept::Long(bytes) => {
                let bytes = bytes.into_vec();
                Payload { bytes, attachments: Attachments::NONE, references: Vec::new() }
            }
            Kept::Full(payload) => *payload,
        }
    }
}
