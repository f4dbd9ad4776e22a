//! Bytes that nobody can foresee.

use std::io;

use crate::error::ConnectionError;

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], ConnectionError> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes).map_err(io::Error::from);
    filled.map_err(ConnectionError::io("get random bytes"))?;
    Ok(bytes)
}
