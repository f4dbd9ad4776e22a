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

use crate::call::Call;
use crate::failure::Failure;
use crate::hosted::{Clients, Hosted, Reply};
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
    /// By their numbers, those whose outcomes the client has not been given.
    pending: Mutex<BTreeMap<u64, AsyncResult<Encoded>>>,
    arrivals: Arc<Arrivals>,
}

/// Which tasks have an outcome. It has none of them itself: who tells of one holds its lock, and must not end it.
#[derive(Debug, Default)]
struct Arrivals {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct State {
    numbers: Vec<u64>,
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
        let (pending, arrivals) = (Mutex::default(), Arc::default());
        Ok(StreamObject { owner, order, stream, pending, arrivals })
    }

    /// Takes chunks, and gives the results that are there.
    fn exchange(&self, call: &Call<'_>) -> Reply {
        let (chunks, next): (_, Next) = chunks(call)?;
        let (mut results, mut news) = (Vec::new(), Vec::new());
        let mut stream = self.stream.lock();
        for (number, chunk) in next.numbers.into_iter().zip(chunks) {
            let submitted = match &*stream {
                Some(stream) => stream.submit(&self.order, chunk.args, chunk.attachments),
                None => Err(PoolError::Closed),
            };
            match submitted {
                Ok(result) => self.enter(number, result),
                Err(error) => news.push((number, Some(PoolErrorWire::new(&error)))),
            }
        }
        if next.are_last {
            *stream = None;
        }
        let is_over = stream.as_ref().is_none_or(Stream::is_refused);
        drop(stream);
        // What was refused is news enough.
        let awaits = if news.is_empty() { next.awaits } else { Awaits::Nothing };
        for number in self.arrivals.take(awaits, next.limit) {
            let Some(result) = self.pending.lock().remove(&number) else { continue };
            let error = match result.into_result() {
                Ok(result) => {
                    results.push(result);
                    None
                }
                Err(error) => Some(PoolErrorWire::new(&error)),
            };
            news.push((number, error));
        }
        let mut packing = packed(&results)?;
        let added = packing.add(&News { chunks: news, is_over });
        added.map_err(|error| Failure::Result(mp_reduction::in_full(&error)))?;
        Ok(packing.finish())
    }

    fn enter(&self, number: u64, result: AsyncResult<Encoded>) {
        let arrivals = Arc::clone(&self.arrivals);
        // Called here and now, if it has ended.
        result.completion().on_end(move |_| {
            arrivals.state.lock().numbers.push(number);
            arrivals.arrived.notify_all();
        });
        let mut pending = self.pending.lock();
        if self.arrivals.state.lock().is_abandoned {
            drop(pending);
            result.cancel();
        } else {
            pending.insert(number, result);
        }
    }
}

impl Arrivals {
    /// The numbers of all that have an outcome and were not given before; waits for some.
    fn take(&self, awaits: Awaits, limit: Option<Duration>) -> Vec<u64> {
        let deadline = limit.and_then(after);
        let mut state = self.state.lock();
        while !state.has(awaits) && !state.is_abandoned && !has_passed(deadline) {
            match deadline {
                Some(deadline) => drop(self.arrived.wait_until(&mut state, deadline)),
                None => self.arrived.wait(&mut state),
            }
        }
        std::mem::take(&mut state.numbers)
    }
}

impl State {
    fn has(&self, awaits: Awaits) -> bool {
        match awaits {
            Awaits::Nothing => true,
            Awaits::Any => !self.numbers.is_empty(),
            Awaits::Chunk(number) => self.numbers.contains(&number),
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
        let pending = self.pending.lock().len();
        let arrived = self.arrivals.state.lock().numbers.len();
        format!("<{pending} chunks, of which {arrived} have a result>")
    }

    fn cares_for(&self) -> Clients {
        Clients::Holders
    }

    fn client_gone(&self, client: ClientId) {
        if client != self.owner {
            return;
        }
        let pending = {
            let mut pending = self.pending.lock();
            self.arrivals.state.lock().is_abandoned = true;
            std::mem::take(&mut *pending)
        };
        self.arrivals.arrived.notify_all();
        for result in pending.values().rev() {
            result.cancel();
        }
    }
}
