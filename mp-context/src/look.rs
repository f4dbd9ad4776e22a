//! Children as seen from outside, by one who changes nothing.

use mp_shared_memory::look::{Notice, Seen, Topic};

use crate::current::ChildInfo;

/// Shows a child to whoever looks into the session; without memory for it, nothing is shown.
pub(crate) fn show(child: &ChildInfo) -> Option<Notice> {
    let notice = Notice::post(Topic::Child, child.name(), 1).ok()?;
    notice.set(0, u64::from(child.pid()) << 1 | u64::from(child.is_daemon()));
    Some(notice)
}

/// What a process shows of one of its children.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenChild {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Whether it ends with its parent.
    pub is_daemon: bool,
}

/// Reads a notice; `None` if it is not one of a child.
pub fn read(seen: &Seen) -> Option<SeenChild> {
    let &[word] = seen.words.as_slice() else { return None };
    let pid = u32::try_from(word >> 1).ok()?;
    let child = SeenChild { pid, name: seen.text.clone(), is_daemon: word & 1 != 0 };
    (seen.topic == Topic::Child).then_some(child)
}
