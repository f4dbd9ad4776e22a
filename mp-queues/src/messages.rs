//! [`Messages`]: a queue of bytes and what belongs to them, for pools: who takes a message off can note that somewhere
//! else before it is off.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use mp_reduction::Attachments;
use mp_sync::parts::Looks;
use serde::{Deserialize, Serialize};

use crate::decode::{Parked, TICKET_LEN};
use crate::error::{QueueError, Stop};
use crate::frame::{Header, UNIT};
use crate::handle::Handle;
use crate::purpose::Purpose;
use crate::state::chain::Patience;

/// So much is read of a message that cannot be read whole.
const HEAD_LEN: usize = 8 * UNIT;

/// An unbounded queue of messages; clones are handles to the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Messages(Handle);

impl Messages {
    /// A new queue for this.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    #[track_caller]
    pub fn new(purpose: Purpose) -> Result<Messages, QueueError> {
        let handle = Handle::new(0, 0)?;
        handle.chain().state.limits.0.purpose.store(purpose as u32, Relaxed);
        Ok(Messages(handle))
    }

    /// How many messages are in it; exact while nothing moves.
    pub fn len(&self) -> u64 {
        self.0.chain().len()
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.0.chain().is_empty()
    }

    /// Puts a message; it does not sleep.
    ///
    /// # Errors
    ///
    /// When there is no memory for it, here or where attachments are kept.
    pub fn put(&self, bytes: &[u8], attachments: &Attachments) -> Result<(), QueueError> {
        let patience = Patience::Until(None);
        if attachments.is_empty() {
            return self.0.put_bytes(bytes, patience);
        }
        self.0.put_parked(bytes, attachments, patience)
    }

    /// Sleeps until there is a message, until `deadline`, or until `gives_up`, which is asked after each
    /// [`wake`](Messages::wake); whether there is a message. For the only one who takes any.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wait(
        &self,
        deadline: Option<Instant>,
        gives_up: impl Fn() -> bool,
    ) -> Result<bool, QueueError> {
        self.wait_looking(deadline, Looks::at_word(), gives_up)
    }

    /// As [`wait`](Messages::wait), for one who is [woken](Messages::wake) when a process that puts messages here has died:
    /// nothing is noticed by itself, and an idle wait costs nothing.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn wait_when_told(
        &self,
        deadline: Option<Instant>,
        gives_up: impl Fn() -> bool,
    ) -> Result<bool, QueueError> {
        self.wait_looking(deadline, Looks::when_told(), gives_up)
    }

    fn wait_looking(
        &self,
        deadline: Option<Instant>,
        looks: Looks,
        gives_up: impl Fn() -> bool,
    ) -> Result<bool, QueueError> {
        let found = self.0.chain().wait_for_message(deadline, looks, gives_up);
        found.map_err(|stop| self.0.error(stop, 0))
    }

    /// Has all who sleep here ask whether to give up.
    pub fn wake(&self) {
        self.0.chain().wake_all();
    }

    /// Takes a message off, sleeping while there is none if `sleeps`, and gives its bytes in `buffer`. `claim` is called
    /// with them before the message is off: if this process is killed between the two, another one gets it again.
    ///
    /// # Errors
    ///
    /// [`QueueError::Empty`], and what the system says. The inner error says why what belonged to a message is lost, or that
    /// there is no memory for it here: then `buffer` has its beginning, and it is off.
    pub fn take(
        &self,
        buffer: &mut Vec<u8>,
        sleeps: bool,
        mut claim: impl FnMut(&[u8]),
    ) -> Result<Result<Attachments, QueueError>, QueueError> {
        let patience = if sleeps { Patience::Until(None) } else { Patience::None };
        let got = loop {
            let got = self.0.take(patience, |reader| {
                let got = self.0.read(reader, buffer)?;
                claim(got.bytes(buffer));
                Ok::<_, Stop>(got)
            });
            match got {
                Ok(got) => break got,
                Err(error @ QueueError::NoSpace { .. }) => {
                    match self.take_head(buffer, &mut claim) {
                        Ok(()) => return Ok(Err(error)),
                        // Another one has taken it.
                        Err(QueueError::Empty) if sleeps => {}
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        };
        buffer.truncate(got.len);
        let Some(Parked { ticket, attachments }) = got.parked else {
            return Ok(Ok(Attachments::default()));
        };
        buffer.drain(..TICKET_LEN.min(got.len));
        drop(self.0.ticket(ticket));
        Ok(attachments.map_err(QueueError::from))
    }

    /// Takes a message off for which this process has no memory, and gives the beginning of its bytes.
    fn take_head(
        &self,
        buffer: &mut Vec<u8>,
        claim: &mut impl FnMut(&[u8]),
    ) -> Result<(), QueueError> {
        let mut head = [0; HEAD_LEN];
        let ticket = self.0.take(Patience::None, |reader| {
            let len = reader.look_ahead(&mut head)?;
            let unit = head[..len].first_chunk::<UNIT>().ok_or(Stop::Empty)?;
            let header = Header::from_unit(unit).ok_or(Stop::Damaged)?;
            let units = header.units().ok_or(Stop::Damaged)?;
            let message = head[..len.min(units as usize * UNIT)].get(header.len_of_header()..);
            let message = message.ok_or(Stop::Damaged)?;
            let (ticket, bytes) = match message.split_first_chunk::<TICKET_LEN>() {
                Some((ticket, bytes)) if header.is_parked => {
                    (Some(u64::from_le_bytes(*ticket)), bytes)
                }
                _ => (None, message),
            };
            claim(bytes);
            buffer.clear();
            buffer.extend_from_slice(bytes);
            reader.skip(units)?;
            Ok(ticket)
        })?;
        drop(ticket.map(|ticket| self.0.ticket(ticket)));
        Ok(())
    }
}
