//! Memory that each thread keeps for encoding and decoding, so that a short item costs no allocation.

use std::cell::Cell;

/// What is longer is not kept.
const KEPT_LEN: usize = 2 << 20;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Runs `with` with the buffer of this thread, whatever is in it. While an item that is encoded or decoded itself
/// uses a queue, that one has another.
pub(crate) fn with_buffer<R>(with: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    // A thread that ends has no buffer any more.
    let mut buffer = BUFFER.try_with(Cell::take).unwrap_or_default();
    let value = with(&mut buffer);
    if buffer.capacity() <= KEPT_LEN {
        let _dropped_at_the_end = BUFFER.try_with(|kept| kept.set(buffer));
    }
    value
}

/// The first `len` bytes of a buffer, which grows if need be; `None` if there is no memory for that.
pub(crate) fn first(buffer: &mut Vec<u8>, len: usize) -> Option<&mut [u8]> {
    if buffer.len() < len {
        buffer.try_reserve(len - buffer.len()).ok()?;
        buffer.resize(len, 0);
    }
    Some(&mut buffer[..len])
}
