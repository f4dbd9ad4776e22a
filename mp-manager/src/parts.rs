//! Several values as one payload.
//!
//! The encoded values stand one behind the other. Behind them it says of each how many bytes, descriptors and references
//! it has, and at the end where that begins. So neither side has to copy a value to put it in or to take it out, and a
//! small one costs one byte more than alone. No values are no bytes.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use mp_reduction::{Attachments, DecodeError, EncodeError, decode_from, encode_into};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::failure::{Failure, Refusal};
use crate::id::ServerId;
use crate::passage;
use crate::payload::{Item, ItemRef, Payload};
use crate::reference::Reference;
use mp_reduction::in_full;

/// A payload of several values that is being made.
#[derive(Debug)]
pub(crate) struct Packing {
    server: ServerId,
    bytes: Vec<u8>,
    /// What stands behind the values.
    table: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    references: Vec<Reference>,
}

/// The values of a payload, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a> {
    values: &'a [u8],
    table: &'a [u8],
    descriptors: &'a [OwnedFd],
    references: &'a [Reference],
}

/// One of several values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    pub(crate) bytes: &'a [u8],
    descriptors: &'a [OwnedFd],
    references: &'a [Reference],
}

/// A payload is not what it has to be: the other side is none of this library's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its parts do not fit together")]
pub(crate) struct Malformed;

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Failure {
        Failure::Arguments(error.to_string())
    }
}

impl Packing {
    /// For a server, or for a client of it.
    pub(crate) fn new(server: ServerId) -> Packing {
        let (table, descriptors, references) = (Vec::new(), Vec::new(), Vec::new());
        Packing { server, bytes: Vec::with_capacity(64), table, descriptors, references }
    }

    /// Adds a value.
    pub(crate) fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        let before = self.bytes.len();
        let encode = || encode_into(value, &mut self.bytes);
        let (attachments, references) = passage::collect(self.server, encode);
        self.note(self.bytes.len() - before, &attachments?, &references)
    }

    /// Adds values that are encoded.
    pub(crate) fn add_items<'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a Item>,
    ) -> Result<(), Failure> {
        for item in items {
            let ItemRef { bytes, attachments, references } = item.as_ref();
            self.bytes.extend_from_slice(bytes);
            self.note(bytes.len(), attachments, references)
                .map_err(|error| Failure::Result(in_full(&error)))?;
        }
        Ok(())
    }

    /// Adds a value that `encode` appends, and that is for somebody else than the server. Of one that fails or panics, nothing
    /// is added.
    pub(crate) fn add_with<E>(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<Attachments, E>,
        failed: impl FnOnce(EncodeError) -> E,
    ) -> Result<(), E> {
        let before = self.bytes.len();
        let appending = Appending { bytes: &mut self.bytes, len: before };
        let attachments = encode(&mut *appending.bytes)?;
        appending.keep();
        self.note(self.bytes.len() - before, &attachments, &[]).map_err(failed)
    }

    /// Has a value end here.
    fn note(
        &mut self,
        len: usize,
        attachments: &Attachments,
        references: &[Reference],
    ) -> Result<(), EncodeError> {
        let descriptors = attachments.descriptors();
        let is_plain = descriptors.is_empty() && references.is_empty();
        append_number(len << 1 | usize::from(!is_plain), &mut self.table);
        if is_plain {
            return Ok(());
        }
        append_number(descriptors.len(), &mut self.table);
        append_number(references.len(), &mut self.table);
        for fd in descriptors {
            self.descriptors.push(fd.try_clone().map_err(copying)?);
        }
        self.references.extend_from_slice(references);
        Ok(())
    }

    /// The payload.
    pub(crate) fn finish(self) -> Payload {
        let Packing { mut bytes, table, descriptors, references, .. } = self;
        if !table.is_empty() {
            let start = bytes.len() as u64;
            bytes.reserve(table.len() + 32);
            bytes.extend_from_slice(&table);
            bytes.extend_from_slice(&start.to_le_bytes());
        }
        Payload { bytes, attachments: Attachments::from(descriptors), references }
    }
}

/// Takes back what is appended to some bytes, unless it is kept.
struct Appending<'a> {
    bytes: &'a mut Vec<u8>,
    len: usize,
}

impl Appending<'_> {
    fn keep(mut self) {
        self.len = usize::MAX;
    }
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.bytes.truncate(self.len);
    }
}

fn copying(error: io::Error) -> EncodeError {
    EncodeError::Value { type_name: "a descriptor", cause: Arc::new(error) }
}

impl Payload {
    /// Puts a number behind the value.
    pub(crate) fn with_number(mut self, number: i64) -> Payload {
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self
    }

    /// The number behind the value, and the value.
    pub(crate) fn split_number(&self) -> Result<(i64, ItemRef<'_>), Malformed> {
        self.as_item().split_number()
    }

    /// The values that were put into it.
    pub(crate) fn parts(&self) -> Result<Parts<'_>, Malformed> {
        self.as_item().parts()
    }
}

impl<'a> ItemRef<'a> {
    /// As [`Payload::split_number`].
    pub(crate) fn split_number(self) -> Result<(i64, ItemRef<'a>), Malformed> {
        let (bytes, number) = self.bytes.split_last_chunk::<8>().ok_or(Malformed)?;
        Ok((i64::from_le_bytes(*number), ItemRef { bytes, ..self }))
    }

    pub(crate) fn decode<T: DeserializeOwned>(self) -> Result<T, DecodeError> {
        let ItemRef { bytes, attachments, references } = self;
        if references.is_empty() {
            return decode_from(bytes, attachments);
        }
        passage::provide(references, || decode_from(bytes, attachments))
    }

    /// The values that were put into it.
    pub(crate) fn parts(self) -> Result<Parts<'a>, Malformed> {
        let (values, table) = if self.bytes.is_empty() {
            (self.bytes, self.bytes)
        } else {
            let (rest, start) = self.bytes.split_last_chunk::<8>().ok_or(Malformed)?;
            let start = usize::try_from(u64::from_le_bytes(*start)).map_err(|_| Malformed)?;
            rest.split_at_checked(start).ok_or(Malformed)?
        };
        let (descriptors, references) = (self.attachments.descriptors(), self.references);
        Ok(Parts { values, table, descriptors, references })
    }
}

impl<'a> Parts<'a> {
    /// How many there are at most.
    pub(crate) fn max_len(&self) -> usize {
        self.table.len()
    }

    fn take(&mut self) -> Option<Part<'a>> {
        let len = take_number(&mut self.table)?;
        let (descriptors, references) = match len & 1 {
            0 => (0, 0),
            _ => (take_number(&mut self.table)?, take_number(&mut self.table)?),
        };
        let (bytes, values) = self.values.split_at_checked(len >> 1)?;
        let (descriptors, other_descriptors) = self.descriptors.split_at_checked(descriptors)?;
        let (references, other_references) = self.references.split_at_checked(references)?;
        self.values = values;
        (self.descriptors, self.references) = (other_descriptors, other_references);
        Some(Part { bytes, descriptors, references })
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.table.is_empty() && self.values.is_empty() {
            return None;
        }
        let taken = self.take().ok_or(Malformed);
        if taken.is_err() {
            (self.values, self.table) = (&[], &[]);
        }
        Some(taken)
    }
}

impl Part<'_> {
    pub(crate) fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        if self.descriptors.is_empty() && self.references.is_empty() {
            return decode_from(self.bytes, &Attachments::NONE);
        }
        // What lacks a descriptor cannot be decoded, and says so.
        let attachments = self.attachments().unwrap_or_default();
        passage::provide(self.references, || decode_from(self.bytes, &attachments))
    }

    /// For a container of the server.
    pub(crate) fn to_item(self) -> Result<Item, Failure> {
        if self.descriptors.is_empty() && self.references.is_empty() {
            return Ok(Item::plain(self.bytes));
        }
        let attachments = self.attachments().map_err(|error| {
            Refusal::System(format!("keep a handle, for it has no descriptor left: {error}"))
        })?;
        let item =
            ItemRef { bytes: self.bytes, attachments: &attachments, references: self.references };
        Ok(item.to_item())
    }

    /// What belongs to it.
    pub(crate) fn attachments(&self) -> io::Result<Attachments> {
        let copies: io::Result<Vec<OwnedFd>> =
            self.descriptors.iter().map(OwnedFd::try_clone).collect();
        copies.map(Attachments::from)
    }
}

impl Call<'_> {
    /// The arguments as values that were put together.
    pub(crate) fn items(&self) -> Result<Vec<Item>, Failure> {
        let parts = self.payload().parts()?;
        let mut items = Vec::with_capacity(parts.max_len());
        for part in parts {
            items.push(part?.to_item()?);
        }
        Ok(items)
    }

    /// The arguments as so many values that were put together.
    pub(crate) fn parts<const N: usize>(&self) -> Result<[Part<'_>; N], Failure> {
        let mut parts = self.payload().parts()?;
        let mut next = || parts.next().unwrap_or(Err(Malformed));
        let mut first = [Part { bytes: &[], descriptors: &[], references: &[] }; N];
        for part in &mut first {
            *part = next()?;
        }
        Ok(first)
    }

    /// The arguments as a value; it is not opened.
    pub(crate) fn item(&self) -> Item {
        self.payload().as_item().to_item()
    }
}

/// Seven bits in a byte, the low ones first; the highest says that more follow.
fn append_number(mut number: usize, bytes: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

fn take_number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(first & 0x7f).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::host::Host;

    proptest! {
        #[test]
        fn what_was_put_together_comes_apart(values: Vec<String>, number: i64, large: usize) {
            let mut packing = Packing::new(Host::here().id());
            for value in &values {
                packing.add(value).unwrap();
            }
            let payload = packing.finish().with_number(number);
            let (found, rest) = payload.split_number().unwrap();
            prop_assert_eq!(found, number);
            let parts: Vec<String> =
                rest.parts().unwrap().map(|part| part.unwrap().decode().unwrap()).collect();
            prop_assert_eq!(parts, values);

            let mut bytes = Vec::new();
            append_number(large, &mut bytes);
            prop_assert_eq!(take_number(&mut &bytes[..]), Some(large));
        }

        #[test]
        fn any_bytes_come_apart_or_are_refused(bytes: Vec<u8>, start: u8) {
            let mut bytes = bytes;
            bytes.extend_from_slice(&u64::from(start).to_le_bytes());
            let payload = Payload { bytes, ..Payload::default() };
            if let Ok(parts) = payload.parts() {
                assert!(parts.take(1000).count() < 1000);
            }
        }
    }
}
