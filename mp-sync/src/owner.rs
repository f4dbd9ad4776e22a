//! Who holds a lock, and who held it and died, in words for people.

use mp_remote_exception::Origin;
use mp_shared_memory::{MemberId, Object, Peer, ShmLayout};

use crate::state::lock::Got;
use crate::state::rlock::thread_number;

/// The dead owner that a lock was taken over from, with a warning in the log.
pub(crate) fn dead_owner<T: ShmLayout>(
    what: &str,
    object: &Object<T>,
    got: Got,
) -> Option<Box<Peer>> {
    let Got::From(dead) = got else { return None };
    let peer = peer(object, dead);
    log::warn!("{what} was taken over: {peer} died while it held it");
    Some(Box::new(peer))
}

/// A process, also one that is so long gone that nothing else is known of it.
pub(crate) fn peer<T: ShmLayout>(object: &Object<T>, id: MemberId) -> Peer {
    object.process(id).unwrap_or_else(|| Peer { pid: 0, name: "unknown".to_owned() })
}

/// The owner as a text form shows it: `None`, `MainProcess|main`, `MainProcess|another thread`, or another
/// process.
pub(crate) fn text<T: ShmLayout>(
    object: &Object<T>,
    owner: Option<MemberId>,
    thread: u32,
) -> String {
    let Some(owner) = owner else { return "None".to_owned() };
    if owner != object.me() {
        return peer(object, owner).to_string();
    }
    let me = Origin::current();
    if thread != thread_number() {
        return format!("{}|another thread", me.process_name());
    }
    let thread = std::thread::current();
    format!("{}|{}", me.process_name(), thread.name().unwrap_or("this thread"))
}
