//! Bytes that nobody can foresee.

use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::ConnectionError;

pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], ConnectionError> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let more =
            rustix::io::retry_on_intr(|| getrandom(&mut bytes[filled..], GetRandomFlags::empty()));
        filled += more.map_err(ConnectionError::io("get random bytes"))?;
    }
    Ok(bytes)
}
