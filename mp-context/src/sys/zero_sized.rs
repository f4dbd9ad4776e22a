//! A target in another process: a function that captures nothing is known by its type alone.
//!
//! # Safety
//!
//! A value of a zero-sized type has no bytes, so any aligned pointer reads one; whether the type
//! has a value at all was shown by the process that had one. A closure that captures a value
//! without bytes passes too; `Target` tells its users what that means.
#![expect(unsafe_code, reason = "the value of a function type exists wherever its type does")]

use std::ptr::NonNull;

/// Fails to compile for a closure that captures something.
pub const fn assert_captures_nothing<F>() {
    const {
        assert!(
            size_of::<F>() == 0,
            "the target of a process must be a function or a closure that captures nothing: \
             pass values as arguments, and a function by its name rather than as a `fn` pointer"
        );
    }
}

/// The value of a function or of a closure that captures nothing.
pub fn value<F: Copy + 'static>() -> F {
    const { assert_captures_nothing::<F>() }
    // SAFETY: `F` is zero-sized, asserted above. It is `Copy`, and `Target` is implemented only for
    // types whose caller in the parent had a value of them: it is inhabited.
    unsafe { NonNull::<F>::dangling().read() }
}
