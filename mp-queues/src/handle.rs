//! [`Handle`]: what all queues are: a chain in shared memory, and items that go through it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use mp_reduction::{Attachments, encode_into};
use mp_shared_memory::{Object, ObjectId, SharedMemoryError, SparseMemory};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::buffer::{first, with_buffer};
use crate::decode::{Failed, Many, Parked, TICKET_LEN, Untaken, decode, take_run};
use crate::error::{QueueError, Stop};
use crate::frame::{Header, SHORT_HEADER, UNIT};
use crate::inside::Inside;
use crate::state::chain::{Chain, ChainState, Patience, Reader};
use crate::store::{LEAST_LEN, MEMORY_LEN};
use crate::ticket::Ticket;

/// Items up to this length are decoded before they are taken off, so that one who is killed meanwhile has not had them;
/// others wait for that. Longer ones are decoded after.
const DECODED_LEN: usize = 16 << 10;
/// About how many bytes of items go into a chain, or come out of it, at once.
const BATCH_LEN: usize = 256 << 10;
/// How much is looked at ahead for several items: so much for each, but not less and not more than this.
const ITEM_LEN: usize = 32;
const MIN_RUN_LEN: usize = 1 << 10;
const MAX_RUN_LEN: usize = 64 << 10;

/// A queue as this process sees it; clones are the same handle, and are closed together.
#[derive(Clone, Debug)]
pub(crate) struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    state: Object<ChainState>,
    memory: SparseMemory,
    is_closed: AtomicBool,
}

/// An item that was read: how many bytes of the buffer it has, and what belongs to them.
pub(crate) struct Got {
    pub(crate) len: usize,
    pub(crate) parked: Option<Parked>,
}

impl Got {
    /// Its bytes, without the number under which something is kept for them.
    pub(crate) fn bytes<'a>(&self, buffer: &'a [u8]) -> &'a [u8] {
        let start = if self.parked.is_some() { TICKET_LEN } else { 0 };
        &buffer[start.min(self.len)..self.len]
    }

    fn decode<T: DeserializeOwned>(&self, buffer: &[u8]) -> Result<T, Failed> {
        decode(&buffer[..self.len], self.parked.as_ref())
    }
}

impl Handle {
    /// A new queue, limited to so many items and bytes; zero is no limit.
    #[track_caller]
    pub(crate) fn new(maxsize: u64, max_bytes: u64) -> Result<Handle, QueueError> {
        if maxsize > i32::MAX as u64 {
            return Err(QueueError::InvalidMaxsize { maxsize });
        }
        let memory = SparseMemory::create(LEAST_LEN, MEMORY_LEN)?;
        let state = Object::<ChainState>::create()?;
        for (word, part) in state.memory.iter().zip(memory.id().to_words()) {
            word.store(part, Relaxed);
        }
        let handle = Handle::of(state, memory)?;
        handle.chain().begin(maxsize, max_bytes).map_err(|stop| handle.error(stop, 0))?;
        Ok(handle)
    }

    /// The two parts of a handle, if they are of the same queue.
    fn of(state: Object<ChainState>, memory: SparseMemory) -> Result<Handle, SharedMemoryError> {
        let words = state.memory.iter().zip(memory.id().to_words());
        if !words.into_iter().all(|(word, part)| word.load(Relaxed) == part) {
            let reason = "its blocks are those of another queue";
            return Err(SharedMemoryError::Foreign { reason });
        }
        Ok(Handle(Arc::new(Inner { state, memory, is_closed: AtomicBool::new(false) })))
    }

    pub(crate) fn chain(&self) -> Chain<'_, SparseMemory, Object<ChainState>> {
        let Inner { state, memory, .. } = &*self.0;
        Chain { state, store: memory, peers: state }
    }

    pub(crate) fn id(&self) -> ObjectId {
        self.0.state.id()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed.load(Relaxed)
    }

    pub(crate) fn close(&self) {
        self.0.is_closed.store(true, Relaxed);
        self.chain().wake_all();
    }

    pub(crate) fn token(&self) -> Result<String, QueueError> {
        Ok(format!("{}+{}", self.0.state.token()?, self.0.memory.token()?))
    }

    pub(crate) fn from_token(token: &str) -> Result<Handle, QueueError> {
        let foreign = SharedMemoryError::Foreign { reason: "it is no token of a queue" };
        let (state, memory) = token.split_once('+').ok_or(foreign)?;
        Ok(Handle::of(Object::from_token(state)?, SparseMemory::from_token(memory)?)?)
    }

    /// The error for a call about a message that takes `size` bytes.
    pub(crate) fn error(&self, stop: Stop, size: u64) -> QueueError {
        match stop {
            Stop::Full => QueueError::Full,
            Stop::Empty => QueueError::Empty,
            Stop::GaveUp => QueueError::Closed,
            Stop::TooLong => QueueError::TooLarge { size, max: self.chain().max_bytes() },
            Stop::Damaged => QueueError::Damaged,
            Stop::NoMemory { len } => QueueError::NoSpace { asked: len, available: 0 },
            Stop::Memory(error) => error.into(),
            Stop::System(error) => QueueError::System(Arc::new(error)),
        }
    }

    /// Puts bytes as an item.
    pub(crate) fn put_bytes(&self, bytes: &[u8], patience: Patience) -> Result<(), QueueError> {
        let header = Header::new(bytes.len(), false);
        let unit = header.to_unit();
        self.put_parts(&[&unit[..header.len_of_header()], bytes], header, patience)
    }

    /// Puts a value as an item.
    pub(crate) fn put<T: Serialize>(&self, item: &T, patience: Patience) -> Result<(), QueueError> {
        if self.is_closed() {
            return Err(QueueError::Closed);
        }
        with_buffer(|frame| {
            frame.clear();
            let attachments = append(item, frame)?;
            if !attachments.is_empty() {
                return self.put_parked(&frame[SHORT_HEADER..], &attachments, patience);
            }
            let header = Header::new(frame.len() - SHORT_HEADER, false);
            let (unit, len) = (header.to_unit(), header.len_of_header());
            if len > SHORT_HEADER {
                return self.put_parts(&[&unit, &frame[SHORT_HEADER..]], header, patience);
            }
            frame[..len].copy_from_slice(&unit[..len]);
            pad(frame);
            self.put_parts(&[frame], header, patience)
        })
    }

    /// Puts an item with what belongs to it, which the session keeps. It is not given to the session while the item
    /// has to wait for room: one who is killed then leaves nothing there.
    pub(crate) fn put_parked(
        &self,
        bytes: &[u8],
        attachments: &Attachments,
        patience: Patience,
    ) -> Result<(), QueueError> {
        let header = Header::new(TICKET_LEN + bytes.len(), true);
        let unit = header.to_unit();
        loop {
            self.put_parts(&[], header, patience)?;
            let ticket = Ticket::park(&self.0.memory, attachments)?;
            let number = ticket.number.to_le_bytes();
            let parts = [&unit[..header.len_of_header()], &number, bytes];
            match self.put_parts(&parts, header, Patience::None) {
                Ok(()) => {
                    ticket.keep();
                    return Ok(());
                }
                // Somebody else took the room.
                Err(QueueError::Full) if matches!(patience, Patience::Until(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Puts a message; or waits until there is room for it, if it has no parts.
    fn put_parts(
        &self,
        parts: &[&[u8]],
        header: Header,
        patience: Patience,
    ) -> Result<(), QueueError> {
        let put = header
            .units()
            .ok_or(Stop::TooLong)
            .and_then(|units| self.chain().put(parts, &[units], patience, || self.is_closed()));
        put.map(drop).map_err(|stop| self.error(stop, header.len + header.len_of_header() as u64))
    }

    /// Puts values as items, in portions; when there is an error, those before it were put.
    pub(crate) fn put_many<T: Serialize>(
        &self,
        items: &[T],
        patience: Patience,
    ) -> Result<(), QueueError> {
        if self.is_closed() {
            return Err(QueueError::Closed);
        }
        let mut put = 0;
        while put < items.len() {
            let outcome = with_buffer(|frames| {
                let rest = &items[put..];
                self.put_portion(rest, &mut put, frames, patience)
            });
            match outcome {
                Ok(()) => {}
                Err(error) if put == 0 => return Err(error),
                Err(error) => return Err(QueueError::Partial { put, source: Box::new(error) }),
            }
        }
        Ok(())
    }

    /// Puts as many of the items as are encoded at once, and adds their number to `put`.
    fn put_portion<T: Serialize>(
        &self,
        items: &[T],
        put: &mut usize,
        frames: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<(), QueueError> {
        frames.clear();
        let (mut ends, mut encoded) = (Vec::new(), Ok(()));
        for item in items {
            match self.append_frame(item, frames) {
                Ok(true) => ends.push(units(frames)),
                // It goes by itself.
                Ok(false) if ends.is_empty() => {
                    self.put(item, patience)?;
                    *put += 1;
                    return Ok(());
                }
                Ok(false) => break,
                Err(error) => {
                    encoded = Err(error);
                    break;
                }
            }
            if frames.len() >= BATCH_LEN {
                break;
            }
        }
        let (mut done, mut start) = (0, 0);
        while done < ends.len() {
            let rest = &frames[start as usize * UNIT..];
            let count = self
                .chain()
                .put(&[rest], &ends[done..], patience, || self.is_closed())
                .map_err(|stop| self.error(stop, u64::from(ends[done]) * UNIT as u64))?;
            done += count;
            *put += count;
            let end = start + ends[done - 1];
            ends[done..].iter_mut().for_each(|later| *later -= end - start);
            start = end;
        }
        encoded
    }

    /// Encodes an item as a message of whole units; `false`, and nothing, if something has to be parked for it.
    fn append_frame<T: Serialize>(
        &self,
        item: &T,
        frames: &mut Vec<u8>,
    ) -> Result<bool, QueueError> {
        let start = frames.len();
        let attachments = append(item, frames)?;
        let header = Header::new(frames.len() - start - SHORT_HEADER, false);
        let (unit, len) = (header.to_unit(), header.len_of_header());
        if !attachments.is_empty() {
            frames.truncate(start);
            return Ok(false);
        }
        if header.units().is_none() {
            frames.truncate(start);
            return Err(self.error(Stop::TooLong, header.len + len as u64));
        }
        let place = start..start + SHORT_HEADER;
        if len == SHORT_HEADER {
            frames[place].copy_from_slice(&unit[..len]);
        } else {
            frames.splice(place, unit);
        }
        pad(frames);
        Ok(true)
    }

    /// Takes something off; `take` runs with the lock of the head.
    pub(crate) fn take<R>(
        &self,
        patience: Patience,
        take: impl FnMut(&mut Reader<'_, SparseMemory>) -> Result<R, Stop>,
    ) -> Result<R, QueueError> {
        let _inside = Inside::enter(std::ptr::from_ref(&*self.0.state).addr())?;
        let got = self.chain().get(patience, || self.is_closed(), take);
        got.map_err(|stop| self.error(stop, 0))
    }

    /// Reads the next item, and fetches what the session keeps for it.
    pub(crate) fn read(
        &self,
        reader: &mut Reader<'_, SparseMemory>,
        buffer: &mut Vec<u8>,
    ) -> Result<Got, Stop> {
        let header = reader.peek()?.ok_or(Stop::Empty)?;
        let len = usize::try_from(header.len).map_err(|_| Stop::Damaged)?;
        let bytes = first(buffer, len).ok_or(Stop::NoMemory { len: header.len })?;
        reader.read(bytes)?;
        let ticket = bytes.first_chunk::<TICKET_LEN>().filter(|_| header.is_parked);
        let ticket = ticket.map(|ticket| u64::from_le_bytes(*ticket));
        let parked = ticket.map(|ticket| match self.0.memory.fetch(ticket) {
            Err(error) if !is_lost(&error) => Err(Stop::Memory(error)),
            attachments => Ok(Parked { ticket, attachments }),
        });
        Ok(Got { len, parked: parked.transpose()? })
    }

    /// Takes an item off and gives its bytes, without what may belong to them.
    pub(crate) fn get_bytes(
        &self,
        bytes: &mut Vec<u8>,
        patience: Patience,
    ) -> Result<(), QueueError> {
        let Got { len, parked } = self.take(patience, |reader| self.read(reader, bytes))?;
        bytes.truncate(len);
        if let Some(Parked { ticket, .. }) = parked {
            bytes.drain(..TICKET_LEN);
            drop(self.ticket(ticket));
        }
        Ok(())
    }

    /// Takes an item off and gives its value.
    pub(crate) fn get<T: DeserializeOwned>(&self, patience: Patience) -> Result<T, QueueError> {
        with_buffer(|buffer| {
            let (got, decoded) = self.take(patience, |reader| {
                let got = self.read(reader, buffer)?;
                let decoded = (got.len <= DECODED_LEN).then(|| got.decode(buffer));
                Ok((got, decoded))
            })?;
            let _unparks = got.parked.as_ref().map(|parked| self.ticket(parked.ticket));
            decoded.unwrap_or_else(|| got.decode(buffer)).map_err(Failed::into_error)
        })
    }

    /// Takes up to `max` items off, at least one, and gives their values. One that cannot be decoded ends them, and is an
    /// error if it is the first.
    pub(crate) fn get_many<T: DeserializeOwned>(
        &self,
        max: usize,
        patience: Patience,
    ) -> Result<Vec<T>, QueueError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        with_buffer(|buffer| {
            let mut many = Many { max, values: Vec::new(), ticket: None };
            let outcome =
                self.take(patience, |reader| self.take_many(reader, buffer, &mut many))?;
            let _unparks = many.ticket.map(|ticket| self.ticket(ticket));
            outcome.map(|()| many.values).map_err(Failed::into_error)
        })
    }

    /// Takes items off until there are enough for one call.
    fn take_many<T: DeserializeOwned>(
        &self,
        reader: &mut Reader<'_, SparseMemory>,
        buffer: &mut Vec<u8>,
        many: &mut Many<T>,
    ) -> Result<Result<(), Failed>, Stop> {
        let mut taken = 0;
        while many.values.len() < many.max && taken < BATCH_LEN {
            let room = (many.max - many.values.len()).saturating_mul(ITEM_LEN);
            let room = room.clamp(MIN_RUN_LEN, MAX_RUN_LEN);
            let run = first(buffer, room).ok_or(Stop::NoMemory { len: room as u64 })?;
            let run = match reader.look_ahead(run) {
                Ok(len) => &run[..len],
                Err(_) if !many.values.is_empty() => break,
                Err(stop) => return Err(stop),
            };
            match take_run(reader, run, many) {
                Ok(0) if many.values.is_empty() => {
                    // One that is long, or that something is parked for; or none.
                    let got = self.read(reader, buffer)?;
                    many.ticket = got.parked.as_ref().map(|parked| parked.ticket);
                    return Ok(got.decode(buffer).map(|value| many.values.push(value)));
                }
                Ok(0) => break,
                Ok(len) => taken += len,
                Err(_) if !many.values.is_empty() => break,
                Err(Untaken::Failed(failed)) => return Ok(Err(failed)),
                Err(Untaken::Stop(stop)) => return Err(stop),
            }
        }
        Ok(Ok(()))
    }

    pub(crate) fn ticket(&self, number: u64) -> Ticket<'_> {
        Ticket { memory: &self.0.memory, number }
    }
}

/// Whether what was parked is gone for good: it is not there, or the root of its session has ended. Else there is no room
/// for it, here or at the root, or the root does not answer, and the item stays for another try.
fn is_lost(error: &SharedMemoryError) -> bool {
    match error {
        SharedMemoryError::Gone => true,
        SharedMemoryError::SessionUnreachable { source } => {
            source.kind() == io::ErrorKind::ConnectionRefused
        }
        _ => false,
    }
}

/// Encodes an item behind room for a short header; what belongs to it. All is as before if it cannot be encoded.
fn append<T: Serialize>(item: &T, frames: &mut Vec<u8>) -> Result<Attachments, QueueError> {
    let start = frames.len();
    frames.extend([0; SHORT_HEADER]);
    encode_into(item, frames).map_err(|error| {
        frames.truncate(start);
        QueueError::Encode(error)
    })
}

/// Fills the last unit up.
fn pad(frames: &mut Vec<u8>) {
    frames.resize(frames.len().next_multiple_of(UNIT), 0);
}

/// The length of encoded messages.
fn units(frames: &[u8]) -> u32 {
    // Not more than one message and a portion, and each has been found to be shorter than that.
    u32::try_from(frames.len() / UNIT).unwrap_or(u32::MAX)
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.0.state, &self.0.memory).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Handle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Handle, D::Error> {
        let (state, memory) = Deserialize::deserialize(deserializer)?;
        Handle::of(state, memory).map_err(D::Error::custom)
    }
}
