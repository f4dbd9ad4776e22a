//! [`OutcomeObject`]: in a server, what becomes of tasks that were submitted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mp_pool::parts::{Encoded, abandon};
use mp_pool::{AsyncResult, PoolError, Progress};
use mp_sync::parts::{after, has_passed};
use parking_lot::{Condvar, Mutex};

use crate::call::Call;
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::pool::request::{failed, packed, results};

/// What it is called.
const OUTCOME: &str = "pool result";

/// The results of tasks, or what is to become one.
#[derive(Debug)]
pub(super) struct OutcomeObject {
    /// Who has submitted them.
    owner: ClientId,
    result: AsyncResult<Vec<Encoded>>,
    progress: Arc<Done>,
}

/// How many items are done, if somebody wants to know.
#[derive(Debug, Default)]
struct Done {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: usize,
    /// Whether nobody wants to know any more.
    is_abandoned: bool,
}

type ProgressHook = Arc<dyn Fn(Progress) + Send + Sync>;

impl OutcomeObject {
    /// What `submit` submits, with a hook for those who want to know how far it is.
    pub(super) fn new(
        owner: ClientId,
        submit: impl FnOnce(ProgressHook) -> Result<AsyncResult<Vec<Encoded>>, PoolError>,
    ) -> Result<OutcomeObject, PoolError> {
        let progress = Arc::new(Done::default());
        let noted = Arc::clone(&progress);
        let result = submit(Arc::new(move |progress| {
            noted.state.lock().items = progress.done;
            noted.changed.notify_all();
        }))?;
        Ok(OutcomeObject { owner, result, progress })
    }

    fn get(&self, limit: Option<Duration>) -> Reply {
        let result = match limit {
            Some(limit) => self.result.get_timeout(limit),
            None => self.result.get(),
        };
        match result.map_err(|error| failed(&error))?.as_slice() {
            [Encoded { bytes, attachments }] => {
                let (bytes, attachments) = (bytes.clone(), attachments.clone());
                results(vec![Encoded { bytes, attachments }])
            }
            several => packed(several).map(crate::parts::Packing::finish),
        }
    }

    fn wait(&self, limit: Option<Duration>) -> bool {
        match limit {
            Some(limit) => self.result.wait_timeout(limit),
            None => {
                self.result.wait();
                true
            }
        }
    }
}

impl Done {
    /// Waits until more than so many items are done; how many are.
    fn beyond(&self, seen: usize, deadline: Option<Instant>) -> usize {
        let mut state = self.state.lock();
        while state.items <= seen && !state.is_abandoned && !has_passed(deadline) {
            match deadline {
                Some(deadline) => drop(self.changed.wait_until(&mut state, deadline)),
                None => self.changed.wait(&mut state),
            }
        }
        state.items
    }
}

impl Hosted for OutcomeObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "get" => self.get(call.args::<(Option<Duration>,)>()?.0),
            "wait" => call.reply(&self.wait(call.args::<(Option<Duration>,)>()?.0)),
            "progress" => {
                let (seen, limit): (usize, Option<Duration>) = call.args()?;
                call.reply(&self.progress.beyond(seen, limit.and_then(after)))
            }
            "ready" => call.reply(&self.result.ready()),
            "successful" => call.reply(&self.result.successful()),
            "cancel" => call.reply(&self.result.cancel()),
            _ => call.unknown_method(OUTCOME),
        }
    }

    fn type_name(&self) -> &'static str {
        OUTCOME
    }

    fn preview(&self) -> String {
        format!("{:?}", self.result)
    }

    fn cares_for(&self) -> Clients {
        Clients::Holders
    }

    fn client_gone(&self, client: ClientId) {
        if client == self.owner {
            abandon(&self.result);
            self.progress.state.lock().is_abandoned = true;
            self.progress.changed.notify_all();
        }
    }
}
