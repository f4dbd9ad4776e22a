//! What this process has mapped: each memory once, as long as anybody in the process uses it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use crate::sys::memfd::Identity;

/// Mappings of one kind, by the identity of their memory.
pub(crate) struct Mapped<T>(LazyLock<Mutex<HashMap<Identity, Weak<T>>>>);

impl<T> Mapped<T> {
    pub(crate) const fn new() -> Mapped<T> {
        Mapped(LazyLock::new(Mutex::default))
    }

    /// The mapping of this memory, made by `map` if there is none.
    ///
    /// The table stays locked meanwhile: a second thread must find that one. So `map` must not drop a mapping
    /// that is in the table.
    pub(crate) fn get_or_map<E>(
        &self,
        identity: Identity,
        map: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        let mut mapped = self.0.lock();
        if let Some(found) = mapped.get(&identity).and_then(Weak::upgrade) {
            return Ok(found);
        }
        let new = Arc::new(map()?);
        mapped.insert(identity, Arc::downgrade(&new));
        Ok(new)
    }

    /// Forgets a mapping that is being dropped, unless a new one of the same memory has its place already.
    pub(crate) fn forget(&self, identity: Identity) {
        let mut mapped = self.0.lock();
        if mapped.get(&identity).is_some_and(|found| found.strong_count() == 0) {
            mapped.remove(&identity);
        }
    }
}
