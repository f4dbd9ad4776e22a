//! What pool and workers say to each other: heads of a fixed form, with encoded values behind them.

use std::time::Duration;

use mp_context::__private::{Job, job_at};
use mp_reduction::Offset;
use serde::{Deserialize, Serialize};

/// A task on its way to a worker, before its encoded arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskHead {
    /// Where its claim is.
    pub(crate) slot: u32,
    /// With what it can be claimed.
    pub(crate) ticket: u32,
    /// The place of its function.
    entry: u64,
    pub(crate) limits: Limits,
    /// How many times it was begun before.
    pub(crate) attempt: u32,
}

/// How long a task may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Until it is asked to stop.
    pub(crate) soft: Option<Duration>,
    /// Until its worker is killed.
    pub(crate) hard: Option<Duration>,
}

/// A message that tells a worker to end has this for its slot.
const STOP: u32 = u32::MAX;
/// A limit that is none.
const NEVER: u64 = u64::MAX;

fn to_nanos(limit: Option<Duration>) -> u64 {
    limit.map_or(NEVER, |limit| u64::try_from(limit.as_nanos()).unwrap_or(NEVER))
}

fn from_nanos(nanos: u64) -> Option<Duration> {
    (nanos != NEVER).then(|| Duration::from_nanos(nanos))
}

impl TaskHead {
    pub(crate) const LEN: usize = 40;

    /// Of a task that has no slot yet.
    pub(crate) fn new(job: Offset, limits: Limits) -> TaskHead {
        TaskHead { slot: STOP, ticket: 0, entry: job.to_bits(), limits, attempt: 0 }
    }

    /// What a worker ends at.
    pub(crate) fn stop() -> TaskHead {
        TaskHead { slot: STOP, ticket: 0, entry: 0, limits: Limits::default(), attempt: 0 }
    }

    pub(crate) fn is_stop(self) -> bool {
        self.slot == STOP
    }

    /// The function; `None` if there is none, since somebody else wrote the message.
    pub(crate) fn job(self) -> Option<Job> {
        job_at(Offset::from_bits(self.entry))
    }

    pub(crate) fn write(self, to: &mut [u8; TaskHead::LEN]) {
        to[0..4].copy_from_slice(&self.slot.to_le_bytes());
        to[4..8].copy_from_slice(&self.ticket.to_le_bytes());
        to[8..16].copy_from_slice(&self.entry.to_le_bytes());
        to[16..24].copy_from_slice(&to_nanos(self.limits.soft).to_le_bytes());
        to[24..32].copy_from_slice(&to_nanos(self.limits.hard).to_le_bytes());
        to[32..36].copy_from_slice(&self.attempt.to_le_bytes());
        to[36..40].fill(0);
    }

    /// The head of a message, and what stands behind it.
    pub(crate) fn read(message: &[u8]) -> Option<(TaskHead, &[u8])> {
        let (head, body) = message.split_first_chunk::<{ TaskHead::LEN }>()?;
        let word = |at| u32::from_le_bytes(part(head, at));
        let long = |at| u64::from_le_bytes(part(head, at));
        let limits = Limits { soft: from_nanos(long(16)), hard: from_nanos(long(24)) };
        let (slot, ticket, entry, attempt) = (word(0), word(4), long(8), word(32));
        Some((TaskHead { slot, ticket, entry, limits, attempt }, body))
    }
}

/// `N` bytes of a head.
fn part<const N: usize>(head: &[u8], at: usize) -> [u8; N] {
    head[at..].first_chunk().copied().unwrap_or([0; N])
}

/// What a worker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is ready for tasks.
    Ready,
    /// Its initializer failed; the encoded exception follows.
    Unready,
    /// It runs a task that has a time limit.
    Started,
    /// A task was run; its outcome follows.
    Done,
    /// It has thrown a message away that it could not claim.
    Skipped,
    /// It has run as many tasks as it may, and ends.
    Leaving,
    /// It can take no tasks; text follows.
    Broken,
}

/// What a worker tells, before what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReportHead {
    pub(crate) news: News,
    pub(crate) worker: u32,
    /// Of the task.
    pub(crate) slot: u32,
    pub(crate) ticket: u32,
}

impl ReportHead {
    pub(crate) const LEN: usize = 16;

    pub(crate) fn to_bytes(self) -> [u8; ReportHead::LEN] {
        let mut bytes = [0; ReportHead::LEN];
        bytes[0..4].copy_from_slice(&(self.news as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.worker.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.slot.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.ticket.to_le_bytes());
        bytes
    }

    /// The head of a message; `None` if it is none.
    pub(crate) fn read(message: &[u8]) -> Option<(ReportHead, &[u8])> {
        const ALL: [News; 7] = [
            News::Ready,
            News::Unready,
            News::Started,
            News::Done,
            News::Skipped,
            News::Leaving,
            News::Broken,
        ];
        let (head, body) = message.split_first_chunk::<{ ReportHead::LEN }>()?;
        let word = |at| u32::from_le_bytes(part(head, at));
        let news = *ALL.get(word(0) as usize)?;
        Some((ReportHead { news, worker: word(4), slot: word(8), ticket: word(12) }, body))
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use mp_context::__private::offset_of_job;
    use mp_reduction::Attachments;

    use super::*;

    fn nothing(_: &[u8], _: &Attachments, _: &mut Vec<u8>) -> Attachments {
        Attachments::default()
    }

    #[test]
    fn heads_come_out_as_they_went_in() {
        let mut bytes = [0; TaskHead::LEN];
        for soft in [None, Some(Duration::ZERO), Some(Duration::from_millis(1500))] {
            for hard in [None, Some(Duration::from_secs(1 << 30)), Some(Duration::MAX)] {
                let head = TaskHead::new(offset_of_job(nothing).unwrap(), Limits { soft, hard });
                let head = TaskHead { slot: 7, ticket: 9, attempt: 2, ..head };
                head.write(&mut bytes);
                let (read, body) = TaskHead::read(&bytes).unwrap();
                assert!(body.is_empty());
                assert_eq!(read.limits.soft, soft);
                assert_eq!(read.limits.hard, hard.filter(|hard| *hard < Duration::MAX));
                assert_eq!((read.slot, read.ticket, read.attempt), (7, 9, 2));
                assert_eq!(read.job().unwrap() as usize, nothing as Job as usize);
            }
        }
        TaskHead::stop().write(&mut bytes);
        assert!(TaskHead::read(&bytes).unwrap().0.is_stop());
        assert!(TaskHead::read(&bytes[1..]).is_none());
    }

    #[test]
    fn reports_come_out_as_they_went_in_and_others_do_not() {
        for news in [News::Ready, News::Started, News::Broken] {
            let head = ReportHead { news, worker: 1, slot: 2, ticket: 3 };
            assert_eq!(ReportHead::read(&head.to_bytes()), Some((head, &[][..])));
        }
        assert_eq!(ReportHead::read(&[9; 20]), None);
        assert_eq!(ReportHead::read(&[0; 15]), None);
    }
}
