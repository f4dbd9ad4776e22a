//! What an encoded value looks like, as a short text.
//!
//! Written as Python writes values, so the text of a container is the one that Python's manager shows. No code of the user
//! runs, any bytes are safe, and the time is bounded: what does not fit in the text is not read.

use std::fmt::{self, Write};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::payload::ItemRef;

/// Longer texts are cut.
const MAX_CHARS: usize = 200;
/// What is nested deeper is not shown.
const MAX_DEPTH: usize = 8;
/// What a proxy takes before it is known to be one.
const MAX_PROXY_CHARS: usize = 200;

/// A text that is being made; it fails when it has all that is to be shown.
#[derive(Debug)]
pub(crate) struct Preview {
    text: String,
    /// How many characters still fit.
    left: usize,
}

impl Write for Preview {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(char);
        }
        Ok(())
    }
}

/// The text that `write` makes, as much of it as is to be shown.
pub(crate) fn text(write: impl FnOnce(&mut Preview) -> fmt::Result) -> String {
    let mut preview = Preview { text: String::new(), left: MAX_CHARS };
    let is_whole = write(&mut preview).is_ok();
    let Preview { mut text, .. } = preview;
    let cut = text.char_indices().nth(MAX_CHARS).map(|(at, _)| at);
    if let Some(at) = cut {
        text.truncate(at);
    }
    if cut.is_some() || !is_whole {
        text.push('…');
    }
    text
}

/// The text of one value.
pub(crate) fn of(value: ItemRef<'_>) -> String {
    text(|preview| preview.value(value))
}

/// The text of several values.
pub(crate) fn of_all<'a>(
    open: &str,
    values: impl IntoIterator<Item = ItemRef<'a>>,
    close: &str,
) -> String {
    text(|preview| {
        preview.write_str(open)?;
        for (index, value) in values.into_iter().enumerate() {
            preview.separate(index)?;
            preview.value(value)?;
        }
        preview.write_str(close)
    })
}

impl Preview {
    /// What stands before a value that is not the first.
    pub(crate) fn separate(&mut self, index: usize) -> fmt::Result {
        if index == 0 { Ok(()) } else { self.write_str(", ") }
    }

    pub(crate) fn value(&mut self, value: ItemRef<'_>) -> fmt::Result {
        let may_have_proxies = !value.references.is_empty() || !value.attachments.is_empty();
        let extra = if may_have_proxies { MAX_PROXY_CHARS } else { 0 };
        self.left += extra;
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(value.bytes);
        // One more than is looked into.
        deserializer.set_max_depth(MAX_DEPTH + 2);
        let reading = Reading { preview: self, before: "", depth: 0, may_have_proxies };
        let read = reading.deserialize(&mut deserializer);
        if read.is_err() {
            // It is too deep, or no value; or there is no room left, also for this.
            self.write_str("…")?;
        }
        self.left = self.left.checked_sub(extra).ok_or(fmt::Error)?;
        Ok(())
    }

    fn quoted(&mut self, text: &str) -> fmt::Result {
        let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
        self.write_char(quote)?;
        for char in text.chars() {
            match char {
                '\'' | '"' if char != quote => self.write_char(char)?,
                _ => write!(self, "{}", char.escape_debug())?,
            }
        }
        self.write_char(quote)
    }
}

/// Reads one value into a preview.
struct Reading<'a> {
    preview: &'a mut Preview,
    /// What stands before the value, if there is one.
    before: &'static str,
    depth: usize,
    may_have_proxies: bool,
}

/// What was read, as far as a proxy consists of it.
#[derive(Clone, PartialEq)]
enum Seen {
    Number(u64),
    Pair,
    Text(String),
    Other,
}

impl<'a> Reading<'a> {
    fn inner(&mut self, before: &'static str) -> Reading<'_> {
        Reading {
            preview: self.preview,
            before,
            depth: self.depth + 1,
            may_have_proxies: self.may_have_proxies,
        }
    }

    fn write<E: Error>(self, text: fmt::Arguments<'_>) -> Result<Seen, E> {
        self.preview.write_fmt(text).map_err(E::custom)?;
        Ok(Seen::Other)
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Seen;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Seen, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("too deep"));
        }
        self.preview.write_str(self.before).map_err(D::Error::custom)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Seen, E> {
        self.write(format_args!("{value}"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Seen, E> {
        self.write(format_args!("{value}"))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Seen, E> {
        self.write(format_args!("{value}"))?;
        Ok(Seen::Number(value))
    }

    fn visit_f32<E: Error>(self, value: f32) -> Result<Seen, E> {
        self.write(format_args!("{value:?}"))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Seen, E> {
        self.write(format_args!("{value:?}"))
    }

    fn visit_unit<E: Error>(self) -> Result<Seen, E> {
        self.write(format_args!("None"))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Seen, E> {
        self.preview.quoted(value).map_err(E::custom)?;
        let may_be_part = self.may_have_proxies && value.len() < MAX_PROXY_CHARS;
        Ok(if may_be_part { Seen::Text(value.to_owned()) } else { Seen::Other })
    }

    fn visit_bytes<E: Error>(self, value: &[u8]) -> Result<Seen, E> {
        // Each byte takes one character or more.
        let shown = &value[..value.len().min(MAX_CHARS + 1)];
        self.write(format_args!("b'{}'", shown.escape_ascii()))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, _: D) -> Result<Seen, D::Error> {
        // An extension of the format, which this library does not use.
        Err(D::Error::custom("unknown"))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut values: A) -> Result<Seen, A::Error> {
        let failed = |error: fmt::Error| A::Error::custom(error);
        let (start, left) = (self.preview.text.len(), self.preview.left);
        let mut seen = Vec::new();
        self.preview.write_str("[").map_err(failed)?;
        let mut before = "";
        while let Some(value) = values.next_element_seed(self.inner(before))? {
            before = ", ";
            if seen.len() < 5 {
                seen.push(value);
            }
        }
        self.preview.write_str("]").map_err(failed)?;
        if !self.may_have_proxies {
            return Ok(Seen::Other);
        }
        match &seen[..] {
            [Seen::Number(_), Seen::Number(_)] => return Ok(Seen::Pair),
            [Seen::Pair, Seen::Number(object), Seen::Text(type_name), _] => {
                self.preview.text.truncate(start);
                self.preview.left = left;
                return self.write(format_args!("<{type_name}Proxy object {object}>"));
            }
            _ => {}
        }
        Ok(Seen::Other)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut values: A) -> Result<Seen, A::Error> {
        let failed = |error: fmt::Error| A::Error::custom(error);
        self.preview.write_str("{").map_err(failed)?;
        let mut before = "";
        while values.next_key_seed(self.inner(before))?.is_some() {
            values.next_value_seed(self.inner(": "))?;
            before = ", ";
        }
        self.write(format_args!("}}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_bytes::Bytes;

    use super::*;
    use crate::payload::Item;

    fn shown<T: Serialize>(value: T) -> String {
        of(Item::encode(&value).unwrap().as_ref())
    }

    #[derive(Serialize)]
    enum Shape {
        Point,
        Circle { radius: f64 },
    }

    #[test]
    fn values_look_as_they_do_in_python() {
        assert_eq!(shown((1, -2, 2.0, 0.1_f32, true, ())), "[1, -2, 2.0, 0.1, true, None]");
        assert_eq!(shown("Bob"), "'Bob'");
        assert_eq!(shown("it's"), "\"it's\"");
        assert_eq!(shown("'\"\n"), "'\\'\"\\n'");
        assert_eq!(shown(Bytes::new(b"a\0")), "b'a\\x00'");
        assert_eq!(shown(BTreeMap::from([("a", vec![1]), ("b", vec![])])), "{'a': [1], 'b': []}");
        assert_eq!(shown([Some(1), None]), "[1, None]");
        assert_eq!(
            shown((Shape::Point, Shape::Circle { radius: 1.0 })),
            "['Point', {'Circle': {'radius': 1.0}}]"
        );
    }

    #[test]
    fn what_is_long_or_deep_is_cut() {
        let long = shown("x".repeat(1 << 20));
        assert_eq!(long.chars().count(), MAX_CHARS + 1);
        assert!(long.starts_with("'xxx") && long.ends_with("x…"), "{long}");
        assert!(shown(vec![7; 1 << 20]).ends_with('…'));
        let mut deep = vec![0x91; 100_000];
        deep.push(0xc0);
        assert_eq!(of(Item::plain(&deep).as_ref()), "[[[[[[[[[…");
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_text(bytes: Vec<u8>) {
            let text = of(Item::plain(&bytes).as_ref());
            prop_assert!(text.chars().count() <= MAX_CHARS + 1);
        }
    }
}
