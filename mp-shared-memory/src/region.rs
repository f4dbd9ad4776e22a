//! What may lie in shared memory, and how plain bytes get in and out of it.
//!
//! # Safety
//!
//! Shared bytes are seen as atomics of their own size and alignment, all of which have every bit
//! pattern as a value.
#![expect(unsafe_code, reason = "a slice of atomic bytes is seen as one of atomic words")]

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::error::SharedMemoryError as Error;

/// Four letters that tell one kind of object from another, in memory and in tokens.
pub type Kind = u32;

/// A type that can lie in memory which other processes change at any time.
///
/// # Safety
///
/// The type is `repr(C)`, consists of atomics only, has no address or other handle of one process in it,
/// and means something when all its bytes are zero, as for all other values of them. It is no
/// longer than [`MAX_LEN`](crate::MAX_LEN) and aligned to no more than 64 bytes.
pub unsafe trait ShmLayout: Sync + 'static {
    /// What tells it from objects of other types; unique among them.
    const KIND: Kind;
}

/// `len` of these bytes from `offset` on.
pub(crate) fn part(bytes: &[AtomicU8], offset: usize, len: usize) -> Result<&[AtomicU8], Error> {
    let end = offset.checked_add(len).filter(|end| *end <= bytes.len());
    let size = bytes.len();
    end.map(|end| &bytes[offset..end]).ok_or(Error::OutOfBounds { offset, len, size })
}

/// The word at `offset`; `None` if it does not lie in these bytes or is not aligned.
pub(crate) fn word(bytes: &[AtomicU8], offset: usize) -> Option<&AtomicU64> {
    let word = part(bytes, offset, 8).ok()?;
    // SAFETY: see the head of the file.
    match unsafe { word.align_to::<AtomicU64>() } {
        ([], [word], []) => Some(word),
        _ => None,
    }
}

/// The short word at the start of these bytes; `None` if there is none, or it is not aligned.
pub(crate) fn word32(bytes: &[AtomicU8]) -> Option<&AtomicU32> {
    // SAFETY: see the head of the file.
    match unsafe { bytes.align_to::<AtomicU32>() } {
        ([], [word, ..], _) => Some(word),
        _ => None,
    }
}

/// From this length on one instruction that copies any number of bytes is faster than a loop.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 512;

/// Copies bytes in one instruction, which to the compiler is a call into the unknown: whatever others
/// store or load there meanwhile, it assumes nothing.
///
/// # Safety
///
/// `from` is readable and `to` writable for `len` bytes, they do not overlap, and one of them is not
/// shared.
#[cfg(target_arch = "x86_64")]
unsafe fn copy_long(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the caller vouches for the bytes; nothing else is touched, and the direction flag is clear
    // on entry.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies shared bytes out. Whole words are read at once where both sides are aligned to them, so a
/// value of up to eight bytes is never torn.
pub(crate) fn load(from: &[AtomicU8], to: &mut [u8]) {
    assert_eq!(from.len(), to.len(), "the caller has compared the lengths");
    // SAFETY: see the head of the file.
    let (head, words, tail) = unsafe { from.align_to::<AtomicU64>() };
    let (to_head, rest) = to.split_at_mut(head.len());
    let (to_words, to_tail) = rest.split_at_mut(words.len() * 8);
    load_few(head, to_head);
    for (word, to) in words.iter().zip(to_words.chunks_exact_mut(8)) {
        to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    load_few(tail, to_tail);
}

/// Copies bytes in; see [`load`].
pub(crate) fn store(to: &[AtomicU8], from: &[u8]) {
    assert_eq!(from.len(), to.len(), "the caller has compared the lengths");
    // SAFETY: see the head of the file.
    let (head, words, tail) = unsafe { to.align_to::<AtomicU64>() };
    let (from_head, rest) = from.split_at(head.len());
    let (from_words, from_tail) = rest.split_at(words.len() * 8);
    store_few(head, from_head);
    for (word, from) in words.iter().zip(from_words.chunks_exact(8)) {
        if let Ok(bytes) = from.try_into() {
            word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
    }
    store_few(tail, from_tail);
}

/// As [`load`] for bytes that nobody stores to meanwhile, or that may then be torn at any place.
pub(crate) fn load_long(from: &[AtomicU8], to: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if to.len() >= LONG {
        assert_eq!(from.len(), to.len(), "the caller has compared the lengths");
        // SAFETY: the two are slices of that length, and `to` is this caller's own.
        return unsafe { copy_long(from.as_ptr().cast(), to.as_mut_ptr(), to.len()) };
    }
    load(from, to);
}

/// As [`store`] for bytes that nobody looks at meanwhile, or may then find torn at any place.
pub(crate) fn store_long(to: &[AtomicU8], from: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    if from.len() >= LONG {
        assert_eq!(from.len(), to.len(), "the caller has compared the lengths");
        let shared = to.as_ptr().cast_mut().cast();
        // SAFETY: the two are slices of that length, and atomics may be stored to through a shared
        // reference; `from` is this caller's own.
        return unsafe { copy_long(from.as_ptr(), shared, from.len()) };
    }
    store(to, from);
}

/// Sets shared bytes to zero.
pub(crate) fn clear(bytes: &[AtomicU8]) {
    // SAFETY: see the head of the file.
    let (head, words, tail) = unsafe { bytes.align_to::<AtomicU64>() };
    head.iter().chain(tail).for_each(|byte| byte.store(0, Ordering::Relaxed));
    words.iter().for_each(|word| word.store(0, Ordering::Relaxed));
}

/// Fewer than eight bytes: four or two of them at once if they are alone and aligned.
fn load_few(from: &[AtomicU8], to: &mut [u8]) {
    // SAFETY: see the head of the file.
    if let ([], [word], []) = unsafe { from.align_to::<AtomicU32>() } {
        return to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    // SAFETY: see the head of the file.
    if let ([], [word], []) = unsafe { from.align_to::<AtomicU16>() } {
        return to.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
    }
    for (byte, to) in from.iter().zip(to) {
        *to = byte.load(Ordering::Relaxed);
    }
}

fn store_few(to: &[AtomicU8], from: &[u8]) {
    // SAFETY: see the head of the file.
    if let (([], [word], []), Ok(bytes)) = (unsafe { to.align_to::<AtomicU32>() }, from.try_into())
    {
        return word.store(u32::from_ne_bytes(bytes), Ordering::Relaxed);
    }
    // SAFETY: see the head of the file.
    if let (([], [word], []), Ok(bytes)) = (unsafe { to.align_to::<AtomicU16>() }, from.try_into())
    {
        return word.store(u16::from_ne_bytes(bytes), Ordering::Relaxed);
    }
    for (byte, from) in to.iter().zip(from) {
        byte.store(*from, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Store = fn(&[AtomicU8], &[u8]);
    type Load = fn(&[AtomicU8], &mut [u8]);

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(bytes: Vec<u8>, skip in 0_usize..16, times in 1_usize..40) {
            let bytes = bytes.repeat(times);
            let shared: Vec<AtomicU8> = (0..bytes.len() + skip).map(|_| AtomicU8::new(1)).collect();
            for (store, load) in [(store as Store, load as Load), (store_long, load_long)] {
                clear(&shared[skip..]);
                store(&shared[skip..], &bytes);
                let mut read = vec![7; bytes.len()];
                load(&shared[skip..], &mut read);
                prop_assert_eq!(&read, &bytes);
            }
            let mut read = vec![7; bytes.len()];
            prop_assert!(shared[..skip].iter().all(|byte| byte.load(Ordering::Relaxed) == 1));
            clear(&shared[skip..]);
            load(&shared[skip..], &mut read);
            prop_assert!(read.iter().all(|byte| *byte == 0));
        }
    }
}
