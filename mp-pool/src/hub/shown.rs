//! What a pool shows to whoever looks into its session from outside. Nobody acts on it.

use mp_shared_memory::look::{Notice, Topic};

use super::Worker;
use crate::state::desk::Desk;
use crate::state::staff::Staff;
use crate::task::Task;

/// What a notice of a pool has in its words.
mod word {
    pub(super) const PROCESSES: usize = 0;
    pub(super) const WORKERS: usize = 1;
    pub(super) const WAITING: usize = 2;
    pub(super) const UNDER_WAY: usize = 3;
    pub(super) const SUBMITTED: usize = 4;
    pub(super) const COUNT: usize = 5;
}

/// The notice of a pool; without memory for it, nothing is shown.
#[derive(Debug)]
pub(super) struct Shown(Option<Notice>);

impl Shown {
    pub(super) fn post(name: &str, processes: usize) -> Shown {
        let notice = Notice::post(Topic::Pool, name, word::COUNT).ok();
        if let Some(notice) = &notice {
            notice.set(word::PROCESSES, processes as u64);
        }
        Shown(notice)
    }

    /// Shows nothing more: there is no pool any more, whoever still has a part of it.
    pub(super) fn withdraw(&mut self) {
        self.0 = None;
    }

    /// Shows how things are.
    pub(super) fn show(&self, desk: &Desk<Task>, staff: &Staff<Worker>) {
        let Some(notice) = &self.0 else { return };
        notice.set(word::WORKERS, staff.len() as u64);
        notice.set(word::WAITING, desk.waiting() as u64);
        notice.set(word::UNDER_WAY, (desk.len() - desk.waiting()) as u64);
        notice.set(word::SUBMITTED, desk.turns());
    }
}
