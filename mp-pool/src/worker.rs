//! The worker's side: an initializer, then one task after the other.

use std::sync::Arc;

use mp_context::__private::captureless;
use mp_context::Target;
use mp_queues::QueueError;
use mp_queues::parts::Messages;
use mp_reduction::{Attachments, encode_bytes};
use mp_remote_exception::{Error, Result};
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use crate::claims::Claims;
use crate::message::{News, ReportHead, TaskHead};
use crate::{clock, current_task, job};

/// What a worker is told at its start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Terms {
    pub(crate) number: u32,
    pub(crate) tasks: Messages,
    pub(crate) reports: Messages,
    pub(crate) claims: Claims,
    /// After how many tasks it ends.
    pub(crate) max_tasks: Option<u64>,
    /// In bytes.
    pub(crate) memory_limit: Option<u64>,
}

/// The target of a worker whose initializer is `F`, with its arguments if it has one. (They are in a tuple of their own, for
/// `Some(())` would arrive as `None`.)
pub(crate) fn work<F, Args>(terms: Terms, args: Option<(Arc<Args>,)>) -> Result<()>
where
    F: Target<Args>,
{
    let initialize = || {
        terms.limit_memory()?;
        // Nobody else has it: it was decoded for this call.
        if let Some(args) = args.and_then(|(args,)| Arc::into_inner(args)) {
            captureless::<F>().call(args)?;
        }
        Ok(())
    };
    if let Err(remote) = job::attempt(initialize) {
        let mut report = terms.report(News::Unready, None);
        encode_bytes(&remote, &mut report)?;
        terms.reports.put(&report, &Attachments::default())?;
        return Err(Error::from(remote));
    }
    terms.tell(News::Ready, None)?;
    let mut served = 0;
    let outcome = terms.serve(&mut served);
    if let Err(error) = &outcome
        && (served == 0 || matches!(error, QueueError::Damaged))
    {
        // Others could not either. Else a task may have spoilt it for this process alone, which makes way for another.
        let mut report = terms.report(News::Broken, None);
        report.extend(format!("cannot take tasks: {error}").into_bytes());
        terms.reports.put(&report, &Attachments::default())?;
    }
    Ok(outcome?)
}

impl Terms {
    /// Of data, not of address space: what is shared with the pool is not counted.
    fn limit_memory(&self) -> Result<()> {
        if let Some(bytes) = self.memory_limit {
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            rustix::process::setrlimit(Resource::Data, limit)?;
        }
        Ok(())
    }

    fn report(&self, news: News, task: Option<TaskHead>) -> Vec<u8> {
        let (slot, ticket) = task.map_or((0, 0), |task| (task.slot, task.ticket));
        ReportHead { news, worker: self.number, slot, ticket }.to_bytes().to_vec()
    }

    fn tell(&self, news: News, task: Option<TaskHead>) -> std::result::Result<(), QueueError> {
        self.reports.put(&self.report(news, task), &Attachments::default())
    }

    /// Runs tasks until it is to end, and counts them.
    fn serve(&self, served: &mut u64) -> std::result::Result<(), QueueError> {
        let (mut message, mut outcome) = (Vec::new(), Vec::new());
        while self.max_tasks.is_none_or(|most| *served < most) {
            let mut claimed = None;
            let attachments = self.tasks.take(&mut message, true, |bytes| {
                claimed = TaskHead::read(bytes)
                    .map(|(head, _)| head)
                    .filter(|head| head.is_stop() || self.claim(*head));
            })?;
            // Else it was cancelled, or its worker is dead; the pool may wait for room.
            let Some(task) = claimed else {
                self.tell(News::Skipped, None)?;
                continue;
            };
            if task.is_stop() {
                return Ok(());
            }
            self.run(task, &message, attachments, &mut outcome)?;
            *served += 1;
        }
        self.tell(News::Leaving, None)
    }

    fn claim(&self, task: TaskHead) -> bool {
        let word = self.claims.word(task.slot);
        word.is_some_and(|word| word.claim(task.ticket, self.number))
    }

    fn run(
        &self,
        task: TaskHead,
        message: &[u8],
        attachments: std::result::Result<Attachments, QueueError>,
        outcome: &mut Vec<u8>,
    ) -> std::result::Result<(), QueueError> {
        let Some(word) = self.claims.word(task.slot) else { return Ok(()) };
        let head = ReportHead {
            news: News::Done,
            worker: self.number,
            slot: task.slot,
            ticket: task.ticket,
        };
        outcome.clear();
        outcome.extend(head.to_bytes());
        if !word.start(self.number) {
            await_the_end();
        }
        if task.limits.hard.is_some() {
            let mut report = self.report(News::Started, Some(task));
            report.extend(clock::now().to_le_bytes());
            self.reports.put(&report, &Attachments::default())?;
        }
        current_task::set(Some(&task));
        let attached = match (attachments, task.job()) {
            (Ok(attachments), Some(job)) => job(&message[TaskHead::LEN..], &attachments, outcome),
            (Err(QueueError::NoSpace { asked, .. }), _) => {
                job::not_passed(outcome, &format!("has no memory for {asked} bytes of arguments"));
                Attachments::default()
            }
            (Err(error), _) => {
                job::not_passed(
                    outcome,
                    &format!("cannot take the arguments: {}", mp_reduction::in_full(&error)),
                );
                Attachments::default()
            }
            (_, None) => {
                job::not_passed(outcome, "cannot find the function of the task");
                Attachments::default()
            }
        };
        current_task::set(None);
        if !word.finish(self.number) {
            await_the_end();
        }
        if let Err(error) = self.reports.put(outcome, &attached) {
            outcome.truncate(ReportHead::LEN);
            job::not_passed(
                outcome,
                &format!("cannot pass the result: {}", mp_reduction::in_full(&error)),
            );
            self.reports.put(outcome, &Attachments::default())?;
        }
        // A task of a thousand does not make the other 999 expensive.
        if outcome.capacity() > KEPT_LEN {
            *outcome = Vec::new();
        }
        Ok(())
    }
}

/// Longer results are not kept room for.
const KEPT_LEN: usize = 1 << 20;

/// The task is condemned: this process is killed for it, and must not do anything else.
fn await_the_end() -> ! {
    loop {
        std::thread::park();
    }
}
