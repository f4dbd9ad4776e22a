//! Where in a program an object was made, which is kept beside it for people.

use std::fmt::Write;
use std::panic::Location;
use std::sync::atomic::Ordering;

use crate::region;
use crate::sys::layout::{BlockHeader, PLACE_LEN};

/// The end of a text of which the rest is dropped.
struct Tail {
    bytes: [u8; PLACE_LEN],
    len: usize,
}

impl Write for Tail {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let text = &text.as_bytes()[text.len().saturating_sub(PLACE_LEN)..];
        let kept = self.len.min(PLACE_LEN - text.len());
        self.bytes.copy_within(self.len - kept..self.len, 0);
        self.len = kept + text.len();
        self.bytes[kept..self.len].copy_from_slice(text);
        Ok(())
    }
}

pub(crate) fn store(header: &BlockHeader, place: &Location<'_>) {
    let mut tail = Tail { bytes: [0; PLACE_LEN], len: 0 };
    // It takes any text.
    let _written = write!(tail, "{}:{}", place.file(), place.line());
    region::store(&header.place, &tail.bytes);
    header.place_len.store(u32::try_from(tail.len).unwrap_or(0), Ordering::Relaxed);
}

pub(crate) fn load(header: &BlockHeader) -> String {
    let len = (header.place_len.load(Ordering::Relaxed) as usize).min(PLACE_LEN);
    let mut bytes = [0; PLACE_LEN];
    region::load(&header.place, &mut bytes);
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_end_of_a_text_is_kept(parts: Vec<String>) {
            let mut tail = Tail { bytes: [0; PLACE_LEN], len: 0 };
            for part in &parts {
                tail.write_str(part).unwrap();
            }
            let all = parts.concat().into_bytes();
            let end = &all[all.len().saturating_sub(PLACE_LEN)..];
            prop_assert_eq!(&tail.bytes[..tail.len], end);
        }
    }
}
