//! The functions that a parent names and its child calls, by their place in the program's image.
//!
//! # Safety
//!
//! An offset is that of a function of one type, and is turned back into one of the same type by a process that
//! has compared the build ids.
#![expect(unsafe_code, reason = "an address becomes a function again")]

use mp_reduction::{Message, Offset, image};
use mp_remote_exception::RemoteException;

use crate::state::ending::Report;

/// Runs a target of one type on its encoded arguments, in the child.
pub(crate) type Entry = fn(Message) -> Report;

/// Runs in a child whose target has failed.
pub(crate) type FailureHook = fn(&RemoteException);

/// Where an entry function is; `None` if it is in a shared library rather than the program.
pub(crate) fn offset_of_entry(entry: Entry) -> Option<Offset> {
    image().offset(entry as usize)
}

/// Where a failure hook is.
pub(crate) fn offset_of_hook(hook: FailureHook) -> Option<Offset> {
    image().offset(hook as usize)
}

/// The entry function at `offset`; the caller has compared the build ids.
pub(crate) fn entry_at(offset: Offset) -> Option<Entry> {
    let address = image().address(offset)? as *const ();
    // SAFETY: a parent of the same build computed the offset from an `Entry`, so one begins
    // here, inside the executable segments.
    Some(unsafe { std::mem::transmute::<*const (), Entry>(address) })
}

/// The failure hook at `offset`; the caller has compared the build ids.
pub(crate) fn hook_at(offset: Offset) -> Option<FailureHook> {
    let address = image().address(offset)? as *const ();
    // SAFETY: a parent of the same build computed the offset from such a function.
    Some(unsafe { std::mem::transmute::<*const (), FailureHook>(address) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_again_at_its_offset() {
        fn hook(_: &RemoteException) {}
        let offset = offset_of_hook(hook).unwrap();
        assert_eq!(hook_at(offset).unwrap() as usize, hook as FailureHook as usize);
    }
}
