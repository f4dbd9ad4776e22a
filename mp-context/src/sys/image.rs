//! The functions that a parent names and its child calls, by their place in the program's image.
//!
//! # Safety
//!
//! An offset is that of a function of one type, and is turned back into one of the same type by a process that
//! has compared the build ids.
#![expect(unsafe_code, reason = "an address becomes a function again")]

use mp_reduction::{Attachments, Message, Offset, image};
use mp_remote_exception::RemoteException;

use crate::state::ending::Report;

/// Runs a target of one type on its encoded arguments, in the child.
pub(crate) type Entry = fn(Message) -> Report;

/// Runs in a child whose target has failed.
pub(crate) type FailureHook = fn(&RemoteException);

/// What a process that runs many functions calls: encoded arguments with their attachments in, encoded outcome out, with
/// those of its own.
pub type Job = fn(&[u8], &Attachments, &mut Vec<u8>) -> Attachments;

/// Where a job is; `None` if it is in a shared library rather than the program.
pub fn offset_of_job(job: Job) -> Option<Offset> {
    image().offset(job as usize)
}

/// The job at `offset`; the caller runs the build that took it.
pub fn job_at(offset: Offset) -> Option<Job> {
    let address = image().address(offset)? as *const ();
    // SAFETY: a process of the same build computed the offset from a `Job`.
    Some(unsafe { std::mem::transmute::<*const (), Job>(address) })
}

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
