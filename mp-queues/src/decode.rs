//! Bytes of a queue as values, while they are still in the queue: whatever their `Deserialize` does, the item is
//! taken off, or stays, whole.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use mp_reduction::{Attachments, decode_from};
use mp_shared_memory::{SharedMemoryError, SparseMemory};
use serde::de::DeserializeOwned;

use crate::error::{QueueError, Stop};
use crate::frame::{Header, UNIT};
use crate::state::chain::Reader;

/// The length of the number in a parked message.
pub(crate) const TICKET_LEN: usize = size_of::<u64>();

/// What the session keeps for an item, as it was fetched.
pub(crate) struct Parked {
    pub(crate) ticket: u64,
    pub(crate) attachments: Result<Attachments, SharedMemoryError>,
}

/// Several items on their way out.
pub(crate) struct Many<T> {
    pub(crate) max: usize,
    pub(crate) values: Vec<T>,
    /// What was parked for them: one for which something was goes by itself.
    pub(crate) ticket: Option<u64>,
}

/// Why an item did not become a value.
pub(crate) enum Failed {
    Error(QueueError),
    /// With what its `Deserialize` panicked.
    Panicked(Box<dyn Any + Send>),
}

impl Failed {
    /// The error; a panic goes on.
    pub(crate) fn into_error(self) -> QueueError {
        match self {
            Failed::Error(error) => error,
            Failed::Panicked(panic) => resume_unwind(panic),
        }
    }
}

/// Why a run of items ends before its end.
pub(crate) enum Untaken {
    Failed(Failed),
    Stop(Stop),
}

impl From<Stop> for Untaken {
    fn from(stop: Stop) -> Untaken {
        Untaken::Stop(stop)
    }
}

/// Decodes an item. A panic comes back as such, to go on when the item was taken off.
pub(crate) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    parked: Option<&Parked>,
) -> Result<T, Failed> {
    let none = Attachments::default();
    let (bytes, attachments) = match parked {
        None => (bytes, &none),
        Some(Parked { attachments: Ok(attachments), .. }) => (&bytes[TICKET_LEN..], attachments),
        Some(Parked { attachments: Err(error), .. }) => {
            return Err(Failed::Error(error.clone().into()));
        }
    };
    match catch_unwind(AssertUnwindSafe(|| decode_from(bytes, attachments))) {
        Ok(decoded) => decoded.map_err(|error| Failed::Error(QueueError::Decode(error))),
        Err(panic) => Err(Failed::Panicked(panic)),
    }
}

/// Takes off the items whose messages lie in `run`, which was looked at ahead, as long as nothing is parked for
/// them; how many bytes they have. One that cannot be decoded is taken off if it is the first of all.
pub(crate) fn take_run<T: DeserializeOwned>(
    reader: &mut Reader<'_, SparseMemory>,
    mut run: &[u8],
    many: &mut Many<T>,
) -> Result<usize, Untaken> {
    let len = run.len();
    while many.values.len() < many.max {
        let Some(unit) = run.first_chunk::<UNIT>() else { break };
        let header = Header::from_unit(unit).ok_or(Stop::Damaged)?;
        let units = header.units().ok_or(Stop::Damaged)?;
        let Some((message, later)) = run.split_at_checked(units as usize * UNIT) else { break };
        if header.is_parked {
            break;
        }
        let start = header.len_of_header();
        #[expect(clippy::cast_possible_truncation, reason = "the message lies in the run")]
        let bytes = &message[start..start + header.len as usize];
        match decode(bytes, None) {
            Ok(value) => many.values.push(value),
            Err(failed) => {
                if many.values.is_empty() {
                    reader.skip(units)?;
                }
                return Err(Untaken::Failed(failed));
            }
        }
        reader.skip(units)?;
        run = later;
    }
    Ok(len - run.len())
}
