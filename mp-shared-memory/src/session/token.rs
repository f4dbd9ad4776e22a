//! Tokens: the text form of a handle.

use crate::error::SharedMemoryError as Error;
use crate::region::Kind;
use crate::session::SessionName;

/// What a token begins with, and the version of its form.
const PREFIX: &str = "mp1";

/// What a token says, beside the kind of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) session: SessionName,
    /// What the session calls the arena.
    pub(crate) nonce: u64,
    pub(crate) block: u32,
    pub(crate) generation: u32,
}

pub(crate) fn write(token: Token, kind: Kind) -> String {
    let Token { session, nonce, block, generation } = token;
    let session = write_session(session);
    format!("{PREFIX}-{session}-{kind:08x}-{nonce:016x}-{block:x}-{generation:x}")
}

/// What the text says, if it is a token of an object of this kind.
pub(crate) fn read(text: &str, kind: Kind) -> Result<Token, Error> {
    let mut parts = text.split('-');
    let mut part = || parts.next().ok_or(Error::foreign("it is no token"));
    if part()? != PREFIX {
        return Err(Error::foreign("it is no token"));
    }
    let session = read_session(part()?).ok_or(Error::foreign("its session is no name"))?;
    let found = hex(part()?)?;
    let nonce = hex(part()?)?;
    let (block, generation) = (small(part()?)?, small(part()?)?);
    if parts.next().is_some() {
        return Err(Error::foreign("something follows the token"));
    }
    if found != u64::from(kind) {
        return Err(Error::foreign("it is a token of an object of another kind"));
    }
    Ok(Token { session, nonce, block, generation })
}

pub(crate) fn write_session(session: SessionName) -> String {
    format!("{:016x}{:016x}", session[0], session[1])
}

pub(crate) fn read_session(text: &str) -> Option<SessionName> {
    let (first, second) = (text.len() == 32).then(|| text.split_at_checked(16))??;
    Some([hex(first).ok()?, hex(second).ok()?])
}

fn hex(text: &str) -> Result<u64, Error> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
    value.ok_or(Error::foreign("it is no token"))
}

fn small(text: &str) -> Result<u32, Error> {
    u32::try_from(hex(text)?).map_err(|_| Error::foreign("it is no token"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_written(
            session: [u64; 2], kind: u32, nonce: u64, block: u32, generation: u32
        ) {
            let token = Token { session, nonce, block, generation };
            let text = write(token, kind);
            prop_assert_eq!(read(&text, kind).unwrap(), token);
            prop_assert!(read(&text, kind ^ 1).is_err());
            prop_assert!(read(&(text.clone() + "-0"), kind).is_err());
            prop_assert!(read(&text[..text.len() / 2], kind).is_err());
        }

        #[test]
        fn hostile_text_is_an_error(text: String, tail in "mp1-[0-9a-f+]{0,40}-[0-9a-f+-]{0,40}") {
            prop_assert!(read(&text, 1).is_err());
            let _read = read(&tail, 1);
        }
    }
}
