//! Processes among what [`mp_connection::wait`] waits for.

use mp_connection::{ConnectionError, Descriptor, Waitable};

use crate::process::Process;

/// Ready when the process has ended. Its result may take a moment longer to be handled.
impl<T> Waitable for Process<T> {
    fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
        Ok(self.sentinel().into())
    }
}
