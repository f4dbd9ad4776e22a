//! [`Payload`]: a value on its way between a server and a client, and [`Item`], one at rest in a container of a server.
//! The server opens neither.

use mp_reduction::{Attachments, DecodeError, EncodeError, decode_from, encode_into};
use serde::Serialize;
use serde::de::DeserializeOwned;

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

    pub(crate) fn as_item(&self) -> ItemRef<'_> {
        let Payload { bytes, attachments, references } = self;
        ItemRef { bytes, attachments, references }
    }
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
