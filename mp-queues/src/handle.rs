//! [`Handle`]: what all queues are: a chain in shared memory, and items that go through it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use mp_reduction::{Attachments, DecodeError, decode_from, encode_into};
use mp_shared_memory::{Object, ObjectId, SharedMemoryError, SparseMemory};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::buffer::{first, with_buffer};
use crate::error::{QueueError, Stop};
use crate::frame::{Header, SHORT_HEADER, UNIT};
use crate::state::chain::{Chain, ChainState, Patience, Reader};
use crate::store::{LEAST_LEN, MEMORY_LEN};

/// The length of the number in a parked message.
const TICKET_LEN: usize = size_of::<u64>();
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

/// An item that was taken off: its bytes, and what belongs to them.
struct Got {
    /// How many bytes of the buffer it has.
    len: usize,
    parked: Option<Parked>,
}

/// What the session keeps for an item.
struct Parked {
    ticket: u64,
    attachments: Result<Attachments, SharedMemoryError>,
}

impl Handle {
    /// A new queue, limited to so many items and bytes; zero is no limit.
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
        let is_its =
            state.memory.iter().zip(memory.id().to_words()).all(|(a, b)| a.load(Relaxed) == b);
        if !is_its {
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

    fn error(&self, stop: Stop, size: u64) -> QueueError {
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
            let (header, ticket) = self.append(item, frame)?;
            let (unit, len) = (header.to_unit(), header.len_of_header());
            let put = if len == SHORT_HEADER {
                frame[..len].copy_from_slice(&unit[..len]);
                pad(frame);
                self.put_parts(&[frame], header, patience)
            } else {
                self.put_parts(&[&unit, &frame[SHORT_HEADER..]], header, patience)
            };
            if put.is_err() {
                self.unpark(ticket);
            }
            put
        })
    }

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
        put.map(drop).map_err(|stop| self.error(stop, header.len))
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
            let outcome =
                with_buffer(|frames| self.put_portion(&items[put..], &mut put, frames, patience));
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
        let (mut ends, mut tickets, mut encoded) = (Vec::new(), Vec::new(), Ok(()));
        for item in items {
            match self.append_frame(item, frames) {
                Ok(ticket) => tickets.extend(ticket.map(|ticket| (ends.len(), ticket))),
                Err(error) => {
                    encoded = Err(error);
                    break;
                }
            }
            ends.push(units(frames));
            if frames.len() >= BATCH_LEN {
                break;
            }
        }
        let (mut done, mut start) = (0, 0);
        while done < ends.len() {
            let rest = &frames[start as usize * UNIT..];
            match self.put_frames(rest, &ends[done..], patience) {
                Ok(count) => {
                    done += count;
                    *put += count;
                    let end = start + ends[done - 1];
                    ends[done..].iter_mut().for_each(|later| *later -= end - start);
                    start = end;
                }
                Err(error) => {
                    let unput = tickets.iter().filter(|(index, _)| *index >= done);
                    unput.for_each(|(_, ticket)| self.unpark(Some(*ticket)));
                    return Err(error);
                }
            }
        }
        encoded
    }

    fn put_frames(
        &self,
        frames: &[u8],
        ends: &[u32],
        patience: Patience,
    ) -> Result<usize, QueueError> {
        let put = self.chain().put(&[frames], ends, patience, || self.is_closed());
        put.map_err(|stop| self.error(stop, u64::from(ends[0]) * UNIT as u64))
    }

    /// Encodes an item as a message of whole units; which ticket it has, if something had to be parked.
    fn append_frame<T: Serialize>(
        &self,
        item: &T,
        frames: &mut Vec<u8>,
    ) -> Result<Option<u64>, QueueError> {
        let start = frames.len();
        let (header, ticket) = self.append(item, frames)?;
        if header.units().is_none() {
            frames.truncate(start);
            self.unpark(ticket);
            return Err(self.error(Stop::TooLong, header.len));
        }
        let (unit, len) = (header.to_unit(), header.len_of_header());
        let place = start..start + SHORT_HEADER;
        if len == SHORT_HEADER {
            frames[place].copy_from_slice(&unit[..len]);
        } else {
            frames.splice(place, unit);
        }
        pad(frames);
        Ok(ticket)
    }

    /// Encodes an item behind room for a short header; what its header is.
    fn append<T: Serialize>(
        &self,
        item: &T,
        frames: &mut Vec<u8>,
    ) -> Result<(Header, Option<u64>), QueueError> {
        let start = frames.len();
        frames.extend([0; SHORT_HEADER]);
        match self.encode(item, frames) {
            Ok(ticket) => {
                let len = frames.len() - start - SHORT_HEADER;
                Ok((Header::new(len, ticket.is_some()), ticket))
            }
            Err(error) => {
                frames.truncate(start);
                Err(error)
            }
        }
    }

    fn encode<T: Serialize>(
        &self,
        item: &T,
        frames: &mut Vec<u8>,
    ) -> Result<Option<u64>, QueueError> {
        let start = frames.len();
        let attachments = encode_into(item, frames).map_err(QueueError::Encode)?;
        if attachments.is_empty() {
            return Ok(None);
        }
        let ticket = self.0.memory.park(&attachments)?;
        frames.splice(start..start, ticket.to_le_bytes());
        Ok(Some(ticket))
    }

    /// Takes an item off: its bytes are in the buffer then.
    fn get_into(&self, buffer: &mut Vec<u8>, patience: Patience) -> Result<Got, QueueError> {
        let got = self.chain().get(
            patience,
            || self.is_closed(),
            |reader| {
                let header = reader.peek()?.ok_or(Stop::Empty)?;
                self.read(reader, header, buffer)
            },
        );
        got.map_err(|stop| self.error(stop, 0))
    }

    /// Reads an item, and fetches what the session keeps for it.
    fn read(
        &self,
        reader: &mut Reader<'_, SparseMemory>,
        header: Header,
        buffer: &mut Vec<u8>,
    ) -> Result<Got, Stop> {
        let len = usize::try_from(header.len).map_err(|_| Stop::Damaged)?;
        let bytes = first(buffer, len).ok_or(Stop::NoMemory { len: header.len })?;
        reader.read(bytes)?;
        let ticket = bytes.first_chunk::<TICKET_LEN>().filter(|_| header.is_parked);
        let ticket = ticket.map(|ticket| u64::from_le_bytes(*ticket));
        let parked = ticket.map(|ticket| match self.0.memory.fetch(ticket) {
            // Here the system has no room for it, so the item stays for another try, or another process.
            Err(error @ SharedMemoryError::System { .. }) => Err(Stop::Memory(error)),
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
        let Got { len, parked } = self.get_into(bytes, patience)?;
        bytes.truncate(len);
        if let Some(Parked { ticket, .. }) = parked {
            bytes.drain(..TICKET_LEN);
            self.unpark(Some(ticket));
        }
        Ok(())
    }

    /// Takes an item off and gives its value.
    pub(crate) fn get<T: DeserializeOwned>(&self, patience: Patience) -> Result<T, QueueError> {
        with_buffer(|buffer| {
            let got = self.get_into(buffer, patience)?;
            self.decode(&buffer[..got.len], got.parked)
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
            let (mut values, mut tickets) = (Vec::new(), Vec::new());
            let got = self.chain().get(
                patience,
                || self.is_closed(),
                |reader| self.take_many(reader, max, buffer, &mut values, &mut tickets),
            );
            tickets.into_iter().for_each(|ticket| self.unpark(Some(ticket)));
            got.map_err(|stop| self.error(stop, 0))?.map(|()| values)
        })
    }

    /// Takes items off until there are `max`, or enough for one call.
    fn take_many<T: DeserializeOwned>(
        &self,
        reader: &mut Reader<'_, SparseMemory>,
        max: usize,
        buffer: &mut Vec<u8>,
        values: &mut Vec<T>,
        tickets: &mut Vec<u64>,
    ) -> Result<Result<(), QueueError>, Stop> {
        let mut taken = 0;
        while values.len() < max && taken < BATCH_LEN {
            let room =
                (max - values.len()).saturating_mul(ITEM_LEN).clamp(MIN_RUN_LEN, MAX_RUN_LEN);
            let run = first(buffer, room).ok_or(Stop::NoMemory { len: room as u64 })?;
            let len = reader.look_ahead(run)?;
            let run_taken = match take_run(reader, &run[..len], max, values) {
                Ok(taken) => taken,
                Err(_) if !values.is_empty() => break,
                Err(Untaken::Decode(error)) => return Ok(Err(QueueError::Decode(error))),
                Err(Untaken::Stop(stop)) => return Err(stop),
            };
            taken += run_taken;
            if run_taken > 0 {
                continue;
            }
            // One that is long, or that something is parked for; or none.
            if !values.is_empty() {
                break;
            }
            let header = reader.peek()?.ok_or(Stop::Empty)?;
            let got = self.read(reader, header, buffer)?;
            tickets.extend(got.parked.as_ref().map(|parked| parked.ticket));
            match self.decode_kept(&buffer[..got.len], got.parked) {
                Ok(value) => values.push(value),
                Err(error) => return Ok(Err(error)),
            }
            taken += got.len;
        }
        Ok(Ok(()))
    }

    /// Decodes an item that was taken off.
    fn decode<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
        parked: Option<Parked>,
    ) -> Result<T, QueueError> {
        let ticket = parked.as_ref().map(|parked| parked.ticket);
        let value = self.decode_kept(bytes, parked);
        self.unpark(ticket);
        value
    }

    /// Decodes an item, and leaves what is parked for it.
    fn decode_kept<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
        parked: Option<Parked>,
    ) -> Result<T, QueueError> {
        let (bytes, attachments) = match parked {
            None => (bytes, Attachments::default()),
            Some(parked) => (&bytes[TICKET_LEN..], parked.attachments?),
        };
        decode_from(bytes, &attachments).map_err(QueueError::Decode)
    }

    /// Has the session forget what it keeps for an item that was got, or not put. If it cannot be reached it has
    /// forgotten.
    fn unpark(&self, ticket: Option<u64>) {
        if let Some(ticket) = ticket {
            let _kept_as_long_as_the_queue = self.0.memory.unpark(ticket);
        }
    }
}

/// Why a run of items ends with one that is not taken off, or has to be an error.
enum Untaken {
    Decode(DecodeError),
    Stop(Stop),
}

/// Takes off the items whose messages lie in `run`, which was looked at ahead, as long as nothing is parked for
/// them; how many bytes they have. One that cannot be decoded is taken off if it is the first of all.
fn take_run<T: DeserializeOwned>(
    reader: &mut Reader<'_, SparseMemory>,
    mut run: &[u8],
    max: usize,
    values: &mut Vec<T>,
) -> Result<usize, Untaken> {
    let (len, none) = (run.len(), Attachments::default());
    while values.len() < max {
        let Some(unit) = run.first_chunk::<UNIT>() else { break };
        let header = Header::from_unit(unit).ok_or(Untaken::Stop(Stop::Damaged))?;
        let units = header.units().ok_or(Untaken::Stop(Stop::Damaged))?;
        let Some((message, later)) = run.split_at_checked(units as usize * UNIT) else { break };
        if header.is_parked {
            break;
        }
        let start = header.len_of_header();
        #[expect(clippy::cast_possible_truncation, reason = "the message lies in the run")]
        let bytes = &message[start..start + header.len as usize];
        match decode_from(bytes, &none) {
            Ok(value) => values.push(value),
            Err(error) => {
                if values.is_empty() {
                    reader.skip(units).map_err(Untaken::Stop)?;
                }
                return Err(Untaken::Decode(error));
            }
        }
        reader.skip(units).map_err(Untaken::Stop)?;
        run = later;
    }
    Ok(len - run.len())
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
