//! [`PoolImap`]: results of an input of any length from the pool of a server, one by one.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::iter::FusedIterator;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use mp_pool::parts::{Call, PoolErrorWire, look_ahead, progress};
use mp_pool::{PoolError, Progress};
use mp_remote_exception::RemoteException;
use mp_sync::parts::{after, has_passed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::parts::{Malformed, Part};
use crate::payload::Payload;
use crate::pool::PoolCalls;
use crate::pool::request::{Chunks, attachments, misunderstood};
use crate::pool::stream::{Awaits, News, Next};
use crate::proxy::Proxy;

/// A worker gets what was read before the input has been read as far ahead as it may, if that takes longer.
const READING: Duration = Duration::from_micros(200);

/// What a chunk of items gives.
type Each<R> = Vec<Result<R, RemoteException>>;

/// The results of [`imap`](PoolCalls::imap) of a managed pool, in the order of the input, or of
/// [`imap_unordered`](PoolCalls::imap_unordered), as they come.
///
/// Each item of the input gives one: what the function returned, or why there is no result; the others go on. The
/// input is read by [`next`](Iterator::next), as far ahead as the
/// [options](mp_pool::TaskOptions::look_ahead) say, so an endless one takes no more memory than that, neither here nor in
/// the server. `next` sleeps until there is a result.
///
/// A panic of the input comes out of `next` after the results of the items before it. Dropping the iterator leaves the
/// tasks that were submitted to themselves. When the pool takes no more tasks, what was read last has the error that says
/// so, and the iterator ends.
///
/// # When a process dies
///
/// The items of the chunk that a worker ran have [`PoolError::WorkerDied`], at once; all others are not touched. When the
/// server dies, what was read and has no result here has [`ManagerError::Disconnected`], and the iterator ends.
pub struct PoolImap<I: Iterator, R> {
    proxy: Proxy,
    call: Call<[I::Item], Each<R>>,
    is_ordered: bool,
    chunksize: usize,
    look_ahead: usize,
    progress: Option<Box<dyn Fn(Progress) + Send + Sync>>,
    /// `None` after its end.
    input: Option<I>,
    /// Whether the server knows of its end.
    is_end_told: bool,
    /// What the input panicked with.
    panicked: Option<Box<dyn Any + Send>>,
    /// Chunks that are not on their way yet.
    batch: Batch,
    next_chunk: u64,
    /// The number of the chunk whose results are given out next, if there is an order.
    next_out: u64,
    /// How many items each chunk has that is on its way.
    pending: BTreeMap<u64, usize>,
    arrived: BTreeMap<u64, VecDeque<Result<R, ManagerError>>>,
    current: VecDeque<Result<R, ManagerError>>,
    /// Items that were read and whose results were not given out.
    ahead: usize,
    done: usize,
    total: Option<usize>,
}

/// Chunks that are to go to the server.
struct Batch {
    chunks: Chunks,
    numbers: Vec<u64>,
}

impl Batch {
    fn new(pool: &Proxy) -> Batch {
        Batch { chunks: Chunks::new(pool), numbers: Vec::new() }
    }
}

impl<I: Iterator, R> PoolImap<I, R>
where
    I::Item: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    pub(super) fn begin(
        pool: &PoolCalls,
        call: Result<Call<[I::Item], Each<R>>, PoolError>,
        input: I,
        is_ordered: bool,
    ) -> Result<PoolImap<I, R>, ManagerError> {
        let call = call.map_err(ManagerError::Pool)?;
        let ahead = look_ahead(&pool.options, pool.processes()?);
        let (chunksize, look_ahead) = ahead.map_err(ManagerError::Pool)?;
        let request = Chunks::new(&pool.proxy).ordered(call.order(&pool.options), ())?;
        let proxy: Proxy = pool.proxy.ask("stream", request)?;
        let (least, most) = input.size_hint();
        let hook = progress(&pool.options);
        Ok(PoolImap {
            batch: Batch::new(&proxy),
            proxy,
            call,
            is_ordered,
            chunksize,
            look_ahead,
            progress: hook.map(|hook| Box::new(hook) as Box<dyn Fn(Progress) + Send + Sync>),
            input: Some(input),
            is_end_told: false,
            panicked: None,
            next_chunk: 0,
            next_out: 0,
            pending: BTreeMap::new(),
            arrived: BTreeMap::new(),
            current: VecDeque::new(),
            ahead: 0,
            done: 0,
            total: most.filter(|most| *most == least),
        })
    }

    /// [`next`](Iterator::next), waiting no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::Timeout`] if the next result has not come. It is not lost: a later call gives it.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<Result<R, ManagerError>>, ManagerError> {
        self.advance(after(timeout))
    }

    /// The next result, `None` at the end.
    fn advance(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Result<R, ManagerError>>, ManagerError> {
        self.take_arrived();
        // Not for every item: a call has room for many.
        if self.current.is_empty() || self.ahead <= self.look_ahead / 2 {
            self.read_ahead();
            self.take_arrived();
        }
        while self.current.is_empty() && !self.pending.is_empty() {
            let awaits = if self.is_ordered { Awaits::Chunk(self.next_out) } else { Awaits::Any };
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            self.exchange(awaits, left);
            self.take_arrived();
            if self.current.is_empty() && has_passed(deadline) {
                return Err(ManagerError::Pool(PoolError::Timeout));
            }
        }
        if !self.batch.numbers.is_empty() || self.input.is_none() && !self.is_end_told {
            self.exchange(Awaits::Nothing, None);
        }
        if let Some(result) = self.current.pop_front() {
            self.ahead -= 1;
            return Ok(Some(result));
        }
        match self.panicked.take() {
            Some(panic) => resume_unwind(panic),
            None => Ok(None),
        }
    }

    /// Has the results of the next chunk given out, if there are none to be given out and these are there.
    fn take_arrived(&mut self) {
        while self.current.is_empty() {
            let next = if self.is_ordered {
                self.arrived.remove(&self.next_out)
            } else {
                self.arrived.pop_first().map(|(_, results)| results)
            };
            let Some(results) = next else { return };
            self.next_out += 1;
            self.current = results;
        }
    }

    /// Reads chunks, as far ahead as may be, to be sent with the next call.
    fn read_ahead(&mut self) {
        let mut begun = Instant::now();
        while self.input.is_some() && self.ahead < self.look_ahead {
            let chunk = self.read_chunk();
            if chunk.is_empty() {
                return;
            }
            // If the encoding panics, its items are gone, and nothing was noted of them.
            let added = self.batch.chunks.add(&self.call, &chunk);
            let number = self.next_chunk;
            self.next_chunk += 1;
            self.ahead += chunk.len();
            self.pending.insert(number, chunk.len());
            match added {
                Ok(()) => self.batch.numbers.push(number),
                Err(error) => self.fail(number, &ManagerError::Pool(error)),
            }
            if begun.elapsed() > READING {
                self.exchange(Awaits::Nothing, None);
                begun = Instant::now();
            }
        }
    }

    /// The next items of the input, none at its end.
    fn read_chunk(&mut self) -> Vec<I::Item> {
        let mut chunk = Vec::new();
        while chunk.len() < self.chunksize {
            let Some(input) = &mut self.input else { break };
            match catch_unwind(AssertUnwindSafe(|| input.next())) {
                Ok(Some(item)) => chunk.push(item),
                end => {
                    self.panicked = end.err();
                    self.input = None;
                }
            }
        }
        chunk
    }

    /// Sends chunks, and takes the results that are there.
    fn exchange(&mut self, awaits: Awaits, limit: Option<Duration>) {
        let Batch { chunks, numbers } = std::mem::replace(&mut self.batch, Batch::new(&self.proxy));
        self.is_end_told |= self.input.is_none();
        let next = Next { numbers, are_last: self.input.is_none(), awaits, limit };
        let reply =
            chunks.with(&next).and_then(|request| self.proxy.call_encoded("exchange", request));
        if let Err(error) = reply.and_then(|reply| self.take(&reply)) {
            // What becomes of the others cannot be known any more.
            self.input = None;
            let pending: Vec<u64> = self.pending.keys().copied().collect();
            for number in pending {
                self.fail(number, &error);
            }
        }
    }

    /// Takes the results in a reply.
    fn take(&mut self, reply: &Payload) -> Result<(), ManagerError> {
        let misunderstood = misunderstood(&self.proxy);
        let parts = reply.parts().and_then(Iterator::collect::<Result<Vec<Part<'_>>, Malformed>>);
        let mut parts = parts.map_err(&misunderstood)?;
        let news = parts.pop().ok_or(Malformed).map_err(&misunderstood)?;
        let news: News = news.decode().map_err(ManagerError::Decode)?;
        let mut parts = parts.into_iter();
        for (number, error) in news.chunks {
            let results = match error.map(PoolErrorWire::into_error) {
                Some(error) => Err(error),
                None => {
                    let part = parts.next().ok_or(Malformed).map_err(&misunderstood)?;
                    self.call.decode(part.bytes, &attachments(&part)?)
                }
            };
            match results {
                Ok(each) => {
                    let results = each.into_iter().map(|result| {
                        result.map_err(|error| ManagerError::Pool(PoolError::Exception(error)))
                    });
                    let results = results.collect();
                    self.arrive(number, |_| results);
                }
                Err(error) => self.fail(number, &ManagerError::Pool(error)),
            }
        }
        if news.is_over {
            self.input = None;
        }
        Ok(())
    }

    fn fail(&mut self, number: u64, error: &ManagerError) {
        self.arrive(number, |len| (0..len).map(|_| Err(error.clone())).collect());
    }

    fn arrive(
        &mut self,
        number: u64,
        results: impl FnOnce(usize) -> VecDeque<Result<R, ManagerError>>,
    ) {
        let Some(len) = self.pending.remove(&number) else { return };
        self.done += len;
        if let Some(hook) = &self.progress {
            hook(Progress { done: self.done, total: self.total });
        }
        self.arrived.insert(number, results(len));
    }
}

impl<I: Iterator, R> Iterator for PoolImap<I, R>
where
    I::Item: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    type Item = Result<R, ManagerError>;

    fn next(&mut self) -> Option<Result<R, ManagerError>> {
        self.advance(None).unwrap_or_else(|error| Some(Err(error)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = self.input.as_ref().map_or((0, Some(0)), Iterator::size_hint);
        (least.saturating_add(self.ahead), most.and_then(|most| most.checked_add(self.ahead)))
    }
}

impl<I: Iterator, R> FusedIterator for PoolImap<I, R>
where
    I::Item: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
}

impl<I: Iterator, R> Debug for PoolImap<I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<PoolImap {:?}, {} items ahead>", self.proxy, self.ahead)
    }
}
