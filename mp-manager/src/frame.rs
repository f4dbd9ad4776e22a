//! Calls and replies as bytes: what is called or what came of it stands behind the encoded value, so that neither side has
//! to move the value.

use crate::id::ObjectId;

/// What a call is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request<'a> {
    pub(crate) object: ObjectId,
    pub(crate) method: &'a str,
    /// How many descriptors belong to the arguments.
    pub(crate) descriptors: u32,
    /// The objects in the arguments.
    pub(crate) references: Vec<ObjectId>,
}

/// What kind of value a reply has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The result.
    Returned,
    /// A [`Failure`](crate::failure::Failure).
    Failed,
    /// A [`Failure`](crate::failure::Failure), and nobody serves this line any more.
    Ended,
}

/// What stands behind the value of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) kind: Kind,
    /// How many descriptors belong to the value.
    pub(crate) descriptors: u32,
    /// The objects in the value; the caller holds them from now on.
    pub(crate) references: Vec<ObjectId>,
}

impl Request<'_> {
    /// Appends it to the encoded arguments.
    pub(crate) fn append(&self, frame: &mut Vec<u8>) {
        append_references(&self.references, frame);
        frame.extend_from_slice(self.method.as_bytes());
        frame.extend_from_slice(&self.object.0.to_le_bytes());
        // A longer name is that of no method; what is left of it is none either.
        frame.extend_from_slice(&count(self.method.len()).to_le_bytes());
        frame.extend_from_slice(&self.descriptors.to_le_bytes());
        frame.extend_from_slice(&count(self.references.len()).to_le_bytes());
    }

    /// Takes it apart; the arguments are the first bytes, as many as is said.
    pub(crate) fn read(frame: &[u8]) -> Option<(usize, Request<'_>)> {
        let (rest, references) = split_number(frame)?;
        let (rest, descriptors) = split_number(rest)?;
        let (rest, method_len) = split_number(rest)?;
        let (rest, object) = rest.split_last_chunk::<8>()?;
        let (rest, method) = rest.split_at_checked(rest.len().checked_sub(method_len as usize)?)?;
        let (rest, references) = split_references(rest, references)?;
        let object = ObjectId(u64::from_le_bytes(*object));
        let method = std::str::from_utf8(method).ok()?;
        Some((rest.len(), Request { object, method, descriptors, references }))
    }
}

impl Answer {
    /// Appends it to the encoded value.
    pub(crate) fn append(&self, frame: &mut Vec<u8>) {
        append_references(&self.references, frame);
        frame.push(self.kind as u8);
        frame.extend_from_slice(&self.descriptors.to_le_bytes());
        frame.extend_from_slice(&count(self.references.len()).to_le_bytes());
    }

    /// Takes it apart; the value is the first bytes, as many as is said.
    pub(crate) fn read(frame: &[u8]) -> Option<(usize, Answer)> {
        let (rest, references) = split_number(frame)?;
        let (rest, descriptors) = split_number(rest)?;
        let (kind, rest) = rest.split_last()?;
        let (rest, references) = split_references(rest, references)?;
        let kind = match kind {
            0 => Kind::Returned,
            1 => Kind::Failed,
            2 => Kind::Ended,
            _ => return None,
        };
        Some((rest.len(), Answer { kind, descriptors, references }))
    }
}

/// No message has more than four thousand million of anything.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn append_references(references: &[ObjectId], frame: &mut Vec<u8>) {
    for object in references {
        frame.extend_from_slice(&object.0.to_le_bytes());
    }
}

fn split_number(frame: &[u8]) -> Option<(&[u8], u32)> {
    let (rest, number) = frame.split_last_chunk::<4>()?;
    Some((rest, u32::from_le_bytes(*number)))
}

fn split_references(frame: &[u8], count: u32) -> Option<(&[u8], Vec<ObjectId>)> {
    let len = (count as usize).checked_mul(8)?;
    let (rest, references) = frame.split_at_checked(frame.len().checked_sub(len)?)?;
    let (words, _none) = references.as_chunks::<8>();
    Some((rest, words.iter().map(|word| ObjectId(u64::from_le_bytes(*word))).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_appended_is_read(
            value: Vec<u8>,
            method in ".{0,40}",
            object: u64,
            descriptors: u32,
            references: Vec<u64>,
            kind in 0_u8..3,
        ) {
            let references: Vec<ObjectId> = references.into_iter().map(ObjectId).collect();
            let mut frame = value.clone();
            let request =
                Request { object: ObjectId(object), method: &method, descriptors, references };
            request.append(&mut frame);
            prop_assert_eq!(Request::read(&frame), Some((value.len(), request.clone())));

            let kind = [Kind::Returned, Kind::Failed, Kind::Ended][usize::from(kind)];
            let answer = Answer { kind, descriptors, references: request.references };
            let mut frame = value.clone();
            answer.append(&mut frame);
            prop_assert_eq!(Answer::read(&frame), Some((value.len(), answer)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(frame: Vec<u8>) {
            let _request = Request::read(&frame);
            let _answer = Answer::read(&frame);
        }
    }
}
