//! The action of a barrier: a function that every process of the program has.
//!
//! # Safety
//!
//! An address becomes a function again only in a process that runs the build which took it from one.
#![expect(unsafe_code, reason = "an address becomes a function again")]

use mp_reduction::{BuildId, Offset, image};
use mp_remote_exception::Result;
use serde::{Deserialize, Serialize};

use crate::error::SyncError;

/// A function that captures nothing.
pub(crate) type Action = fn() -> Result<()>;

/// An action on its way to another process.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reference {
    build: BuildId,
    offset: Offset,
}

/// `None` for a function of a shared library, which other processes may have elsewhere.
pub(crate) fn reference(action: Action) -> Option<Reference> {
    let offset = image().offset(action as usize)?;
    Some(Reference { build: image().build_id().clone(), offset })
}

pub(crate) fn find(reference: &Reference) -> std::result::Result<Action, SyncError> {
    let address = image().address(reference.offset);
    let address = address.filter(|_| reference.build == *image().build_id());
    let address = address.ok_or(SyncError::ForeignAction)? as *const ();
    // SAFETY: a process of the same build computed the offset from an `Action`.
    Ok(unsafe { std::mem::transmute::<*const (), Action>(address) })
}
