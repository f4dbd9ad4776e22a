//! [`Held`]: an object of a server that this process holds.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::client::server::Server;
use crate::id::ObjectId;

/// An object that this process holds, once for all its proxies. The last one that is dropped gives it back.
pub(crate) struct Held {
    server: Arc<Server>,
    object: ObjectId,
    /// How often the server has given it to this process.
    count: AtomicU64,
}

/// What this process holds of a server.
pub(crate) type Holdings = Mutex<HashMap<ObjectId, Weak<Held>>>;

impl Held {
    /// Notes that the server has given an object to this process, once.
    pub(crate) fn given(server: &Arc<Server>, object: ObjectId) -> Arc<Held> {
        let mut held = server.holdings().lock();
        if let Some(known) = held.get(&object).and_then(Weak::upgrade) {
            known.count.fetch_add(1, Ordering::Relaxed);
            return known;
        }
        let (server, count) = (Arc::clone(server), AtomicU64::new(1));
        let new = Arc::new(Held { server, object, count });
        held.insert(object, Arc::downgrade(&new));
        new
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(crate) fn object(&self) -> ObjectId {
        self.object
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut held = self.server.holdings().lock();
            // It may have come again meanwhile; that one counts for itself.
            if held.get(&self.object).is_some_and(|known| known.strong_count() == 0) {
                held.remove(&self.object);
            }
        }
        self.server.release(self.object, *self.count.get_mut());
    }
}

impl Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "object {} of {}", self.object, self.server.info().name)
    }
}
