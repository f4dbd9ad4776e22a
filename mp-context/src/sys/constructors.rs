//! The functions that run before `main`, for a child that never comes to `main`.
//!
//! # Safety
//!
//! The linker puts the program's constructors into one array and marks its end. An entry of it is
//! followed by the entries that have not run while it runs.
#![expect(unsafe_code, reason = "the array of constructors is known to the linker alone")]

use std::ffi::{c_char, c_int};

/// The arguments or the environment, as the system passes them to `main`.
pub type ConstructorArguments = *const *const c_char;

/// A function that runs before `main`.
pub type Constructor = extern "C" fn(c_int, ConstructorArguments, ConstructorArguments);

unsafe extern "C" {
    /// The end of the array; only its address means anything.
    static __init_array_end: [Constructor; 0];
}

/// Runs the constructors behind `entry`, which itself runs now and will not return.
pub(crate) fn run_those_behind(
    entry: &'static Constructor,
    (count, words, environment): (c_int, ConstructorArguments, ConstructorArguments),
) {
    let end = (&raw const __init_array_end).cast::<Constructor>();
    let mut next = std::ptr::from_ref(entry).wrapping_add(1);
    while next < end {
        // SAFETY: `next` lies behind an entry and before the end of the array.
        let constructor = unsafe { next.read() };
        constructor(count, words, environment);
        next = next.wrapping_add(1);
    }
}
