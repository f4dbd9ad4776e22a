//! The values that a list can hold, and how they lie in a slot.

use super::slot::Contents;

const INT: u8 = 1;
const FLOAT: u8 = 2;
const BOOL: u8 = 3;
const TEXT: u8 = 4;
const BYTES: u8 = 5;
const NONE: u8 = 6;

/// A value in a [`ShareableList`](crate::ShareableList).
///
/// # Examples
///
/// ```
/// use mp_shared_memory::ShareableItem;
///
/// assert_eq!(ShareableItem::from("100"), ShareableItem::Text("100".to_owned()));
/// assert_eq!(ShareableItem::from(Some(2.5)), ShareableItem::Float(2.5));
/// assert_ne!(ShareableItem::from(100), ShareableItem::from("100"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum ShareableItem {
    /// An integer of 64 bits.
    Int(i64),
    /// A float; as everywhere, one that is no number equals none.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing.
    None,
}

impl ShareableItem {
    pub(super) fn into_contents(self) -> Contents {
        let (kind, payload) = match self {
            ShareableItem::Int(value) => (INT, value.to_ne_bytes().to_vec()),
            ShareableItem::Float(value) => (FLOAT, value.to_ne_bytes().to_vec()),
            ShareableItem::Bool(value) => (BOOL, vec![u8::from(value)]),
            ShareableItem::Text(value) => (TEXT, value.into_bytes()),
            ShareableItem::Bytes(value) => (BYTES, value),
            ShareableItem::None => (NONE, Vec::new()),
        };
        Contents { kind, payload }
    }

    /// The value, if these bytes are one.
    pub(super) fn from_contents(contents: Contents) -> Result<ShareableItem, &'static str> {
        let Contents { kind, payload } = contents;
        let word = |payload: Vec<u8>| payload.try_into().map_err(|_| "its number is cut off");
        match kind {
            INT => Ok(ShareableItem::Int(i64::from_ne_bytes(word(payload)?))),
            FLOAT => Ok(ShareableItem::Float(f64::from_ne_bytes(word(payload)?))),
            BOOL if payload.len() == 1 && payload[0] <= 1 => {
                Ok(ShareableItem::Bool(payload[0] == 1))
            }
            TEXT => String::from_utf8(payload)
                .map(ShareableItem::Text)
                .map_err(|_| "its text is no UTF-8"),
            BYTES => Ok(ShareableItem::Bytes(payload)),
            NONE if payload.is_empty() => Ok(ShareableItem::None),
            _ => Err("its kind is unknown"),
        }
    }

    pub(super) fn format(&self, capacity: usize) -> String {
        match self {
            ShareableItem::Int(_) => "q".to_owned(),
            ShareableItem::Float(_) => "d".to_owned(),
            ShareableItem::Bool(_) => "xxxxxxx?".to_owned(),
            ShareableItem::Text(_) | ShareableItem::Bytes(_) => format!("{capacity}s"),
            ShareableItem::None => "xxxxxx?x".to_owned(),
        }
    }
}

/// `From` for types that are one variant after a conversion without loss.
macro_rules! from {
    ($($variant:ident: $($from:ty),+;)+) => {$($(
        impl From<$from> for ShareableItem {
            fn from(value: $from) -> ShareableItem {
                ShareableItem::$variant(value.into())
            }
        }
    )+)+};
}

from! {
    Int: i8, i16, i32, i64, u8, u16, u32;
    Float: f32, f64;
    Bool: bool;
    Text: &str, String;
    Bytes: &[u8], Vec<u8>;
}

impl<const N: usize> From<&[u8; N]> for ShareableItem {
    fn from(value: &[u8; N]) -> ShareableItem {
        ShareableItem::Bytes(value.to_vec())
    }
}

impl From<()> for ShareableItem {
    fn from((): ()) -> ShareableItem {
        ShareableItem::None
    }
}

impl<T: Into<ShareableItem>> From<Option<T>> for ShareableItem {
    fn from(value: Option<T>) -> ShareableItem {
        value.map_or(ShareableItem::None, Into::into)
    }
}
