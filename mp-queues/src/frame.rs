//! What a message looks like in a block: a header, then its bytes, padded to whole units.
//!
//! A short message has its header in the first four bytes of its first unit and its bytes right behind
//! that; a long one has a unit for its header, so that its bytes are aligned. Whatever stands in a block may
//! have been put there by a stranger: a header is read once, and is nothing unless all of it is right.

/// What positions in a chain count, in bytes.
pub(crate) const UNIT: usize = 16;
/// The length of a header before a short message.
pub(crate) const SHORT_HEADER: usize = 4;
/// The longest short message.
const SHORT_MAX: u64 = 1020;

const LEN_BITS: u32 = 24;
const PARKED: u32 = 1 << 24;
const LONG: u32 = 1 << 25;
/// What the other bits of every header are.
const MARK: u32 = 0x2a << 26;

/// What stands before the bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The length of what follows, in bytes.
    pub(crate) len: u64,
    /// Whether the bytes begin with the number under which the session keeps what belongs to them.
    pub(crate) is_parked: bool,
}

impl Header {
    pub(crate) fn new(len: usize, is_parked: bool) -> Header {
        Header { len: len as u64, is_parked }
    }

    fn is_long(self) -> bool {
        self.len > SHORT_MAX
    }

    /// How many bytes stand before the message.
    pub(crate) fn len_of_header(self) -> usize {
        if self.is_long() { UNIT } else { SHORT_HEADER }
    }

    /// How many units the message takes; `None` if no position can count so many.
    pub(crate) fn units(self) -> Option<u32> {
        let bytes = self.len.checked_add(self.len_of_header() as u64)?;
        u32::try_from(bytes.div_ceil(UNIT as u64)).ok().filter(|units| *units <= i32::MAX as u32)
    }

    /// The first unit of the message, of which the first [`len_of_header`](Header::len_of_header) bytes count.
    pub(crate) fn to_unit(self) -> [u8; UNIT] {
        let parked = if self.is_parked { PARKED } else { 0 };
        let mut unit = [0; UNIT];
        let word = if self.is_long() {
            unit[8..].copy_from_slice(&self.len.to_le_bytes());
            MARK | LONG | parked
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "a short length")]
            let len = self.len as u32;
            MARK | parked | len
        };
        unit[..SHORT_HEADER].copy_from_slice(&word.to_le_bytes());
        unit
    }

    /// The header in the first unit of a message; `None` if there is none.
    pub(crate) fn from_unit(unit: &[u8; UNIT]) -> Option<Header> {
        let [w0, w1, w2, w3, rest @ ..] = *unit;
        let word = u32::from_le_bytes([w0, w1, w2, w3]);
        let [z0, z1, z2, z3, len @ ..] = rest;
        let is_parked = word & PARKED != 0;
        let short_len = u64::from(word & ((1 << LEN_BITS) - 1));
        let header = if word & LONG == 0 {
            Header { len: short_len, is_parked }
        } else {
            Header { len: u64::from_le_bytes(len), is_parked }
        };
        let is_right = word & !(PARKED | LONG | ((1 << LEN_BITS) - 1)) == MARK
            && header.is_long() == (word & LONG != 0)
            && (word & LONG == 0 || (short_len == 0 && [z0, z1, z2, z3] == [0; 4]));
        is_right.then_some(header)
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_comes_out_as_it_went_in() {
        for len in [0, 1, 12, 13, SHORT_MAX, SHORT_MAX + 1, 1 << 24, 1 << 40] {
            for is_parked in [false, true] {
                let header = Header { len, is_parked };
                assert_eq!(Header::from_unit(&header.to_unit()), Some(header));
            }
        }
    }

    #[test]
    fn units_hold_header_and_bytes() {
        let units = |len| Header { len, is_parked: false }.units();
        assert_eq!(
            [units(0), units(12), units(13), units(28)],
            [Some(1), Some(1), Some(2), Some(2)]
        );
        assert_eq!([units(1020), units(1021), units(1024)], [Some(64), Some(65), Some(65)]);
        assert_eq!([units(1 << 36), units(u64::MAX)], [None, None]);
    }

    proptest! {
        #[test]
        fn hostile_units_are_headers_or_nothing(unit: [u8; UNIT], mark: bool) {
            let mut unit = unit;
            if mark {
                unit[3] = unit[3] & 3 | (MARK >> 24) as u8;
            }
            if let Some(header) = Header::from_unit(&unit) {
                let again = header.to_unit();
                prop_assert_eq!(&again[..SHORT_HEADER], &unit[..SHORT_HEADER]);
            }
        }
    }
}
