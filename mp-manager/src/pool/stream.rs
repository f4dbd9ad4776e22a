//! [`StreamObject`]: in a server, tasks that come bit by bit, whose results go as they come.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mp_context::Worker as _;
use mp_pool::parts::{Encoded, Order, PoolErrorWire, Stream};
use mp_pool::{AsyncResult, Pool, PoolError};
use mp_sync::parts::{after, has_passed};
use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::hosted::{Call, Failure, Hosted, Reply};
use crate::id::ClientId;
use crate::pool::request::{chunks, packed};

/// What it is called.
const STREAM: &str = "pool imap";

/// What a client says with the next chunks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Next {
    /// Their numbers.
    pub(super) numbers: Vec<u64>,
    /// Whether they are the last ones.
    pub(super) are_last: bool,
    pub(super) awaits: Awaits,
    /// How long at most.
    pub(super) limit: Option<Duration>,
}

/// What results a client waits for; it gets all that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Awaits {
    /// None.
    Nothing,
    /// Any.
    Any,
    /// That of the chunk with this number.
    Chunk(u64),
}

/// What a client is told before the results of chunks that have any.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct News {
    /// The numbers of chunks that have a result, or an error.
    pub(super) chunks: Vec<(u64, Option<PoolErrorWire>)>,
    /// Whether no more chunks are taken.
    pub(super) is_over: bool,
}

/// Tasks of one call that come bit by bit.
#[derive(Debug)]
pub(super) struct StreamObject {
    /// Who submits them.
    owner: ClientId,
    order: Order,
    /// Until the last one has come.
    stream: Mutex<Option<Stream>>,
    tasks: Arc<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: BTreeMap<u64, AsyncResult<Encoded>>,
    /// Those of them that have an outcome.
    arrived: Vec<u64>,
    /// What was not even taken.
    refused: Vec<(u64, PoolError)>,
    /// Whether nobody wants to know any more.
    is_abandoned: bool,
}

impl StreamObject {
    pub(super) fn begin(
        owner: ClientId,
        pool: &Pool,
        order: Order,
    ) -> Result<StreamObject, PoolError> {
        let stream = Mutex::new(Some(Stream::begin(pool)?));
        Ok(StreamObject { owner, order, stream, tasks: Arc::default() })
    }

    /// Takes chunks, and gives the results that are there.
    fn exchange(&self, call: &Call<'_>) -> Reply {
        let (chunks, next): (_, Next) = chunks(call)?;
        let mut stream = self.stream.lock();
        for (number, chunk) in next.numbers.into_iter().zip(chunks) {
            let submitted = match &*stream {
                Some(stream) => stream.submit(&self.order, chunk.args, chunk.attachments),
                None => Err(PoolError::Closed),
            };
            self.tasks.enter(number, submitted);
        }
        if next.are_last {
            *stream = None;
        }
        let is_over = stream.as_ref().is_none_or(Stream::is_refused);
        drop(stream);
        let mut results = Vec::new();
        let mut news = News { chunks: Vec::new(), is_over };
        for (number, outcome) in self.tasks.take(next.awaits, next.limit) {
            let error = match outcome {
                Ok(result) => {
                    results.push(result);
                    None
                }
                Err(error) => Some(PoolErrorWire::new(&error)),
            };
            news.chunks.push((number, error));
        }
        let mut packing = packed(&results)?;
        let added = packing.add(&news);
        added.map_err(|error| Failure::Result(crate::error::in_full(&error)))?;
        Ok(packing.finish())
    }
}

impl Tasks {
    fn enter(self: &Arc<Self>, number: u64, submitted: Result<AsyncResult<Encoded>, PoolError>) {
        match submitted {
            Ok(result) => {
                let tasks = Arc::clone(self);
                // Called here and now, if it has ended.
                result.completion().on_end(move |_| {
                    tasks.state.lock().arrived.push(number);
                    tasks.arrived.notify_all();
                });
                let mut state = self.state.lock();
                if state.is_abandoned {
                    drop(state);
                    result.cancel();
                } else {
                    state.pending.insert(number, result);
                }
            }
            Err(error) => self.state.lock().refused.push((number, error)),
        }
    }

    /// All outcomes that are there; waits for some.
    fn take(
        &self,
        awaits: Awaits,
        limit: Option<Duration>,
    ) -> Vec<(u64, Result<Encoded, PoolError>)> {
        let deadline = limit.and_then(after);
        let mut state = self.state.lock();
        while !state.has(awaits) && !state.is_abandoned && !has_passed(deadline) {
            match deadline {
                Some(deadline) => drop(self.arrived.wait_until(&mut state, deadline)),
                None => self.arrived.wait(&mut state),
            }
        }
        let arrived = std::mem::take(&mut state.arrived);
        let results = arrived.into_iter().filter_map(|number| state.pending.remove_entry(&number));
        let results: Vec<_> = results.collect();
        let refused = std::mem::take(&mut state.refused);
        drop(state);
        let refused = refused.into_iter().map(|(number, error)| (number, Err(error)));
        let results = results.into_iter().map(|(number, result)| (number, result.into_result()));
        results.chain(refused).collect()
    }
}

impl State {
    fn has(&self, awaits: Awaits) -> bool {
        match awaits {
            Awaits::Nothing => true,
            Awaits::Any => !self.arrived.is_empty() || !self.refused.is_empty(),
            Awaits::Chunk(number) => {
                self.arrived.contains(&number)
                    || self.refused.iter().any(|(refused, _)| *refused == number)
            }
        }
    }
}

impl Hosted for StreamObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "exchange" => self.exchange(call),
            _ => call.unknown_method(STREAM),
        }
    }

    fn type_name(&self) -> &'static str {
        STREAM
    }

    fn preview(&self) -> String {
        let state = self.tasks.state.lock();
        let (pending, arrived) = (state.pending.len(), state.arrived.len());
        format!("<{pending} chunks, of which {arrived} have a result>")
    }

    fn client_gone(&self, client: ClientId) {
        if client != self.owner {
            return;
        }
        let mut state = self.tasks.state.lock();
        state.is_abandoned = true;
        let pending = std::mem::take(&mut state.pending);
        drop(state);
        self.tasks.arrived.notify_all();
        for result in pending.values().rev() {
            result.cancel();
        }
    }
}
