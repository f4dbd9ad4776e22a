//! How errors of the crates above are recognised as wrappers of a remote one.
//!
//! A `ProcessError` that holds a [`RemoteException`] is not a new failure: raised on with
//! `?`, it must arrive at the next process with the kind and the text of the original. This
//! crate cannot name the wrappers, so each crate above registers how to look inside its own.

use std::error::Error as StdError;

use crate::RemoteException;

/// A registered look inside one type of error.
///
/// ```
/// # use mp_remote_exception::{Carrier, RemoteException};
/// # #[derive(Debug)] struct JobError(RemoteException);
/// # impl std::fmt::Display for JobError {
/// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { self.0.fmt(f) }
/// # }
/// # impl std::error::Error for JobError {}
/// mp_remote_exception::carrier!(|error| error.downcast_ref::<JobError>().map(|job| &job.0));
///
/// let job = JobError(RemoteException::new(std::fmt::Error));
/// assert!(mp_remote_exception::is_remote_exception(&job));
/// ```
#[derive(Debug)]
pub struct Carrier {
    look: Look,
}

type Look = for<'a> fn(&'a (dyn StdError + 'static)) -> Option<&'a RemoteException>;

impl Carrier {
    /// Registers `look`; use the [`carrier!`](crate::carrier) macro.
    pub const fn new(look: Look) -> Carrier {
        Carrier { look }
    }
}

inventory::collect!(Carrier);

/// Registers a function that finds the remote error inside an error of the caller's crate.
#[macro_export]
macro_rules! carrier {
    ($look:expr) => {
        $crate::__private::inventory::submit! { $crate::Carrier::new($look) }
    };
}

/// The remote error that `error` is or directly carries.
pub(crate) fn carried<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a RemoteException> {
    error.downcast_ref::<RemoteException>().or_else(|| {
        inventory::iter::<Carrier>.into_iter().find_map(|carrier| (carrier.look)(error))
    })
}

/// The first remote error in the chain of sources that starts at `error`.
pub(crate) fn find<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a RemoteException> {
    std::iter::successors(Some(error), |&e| e.source()).find_map(carried)
}
