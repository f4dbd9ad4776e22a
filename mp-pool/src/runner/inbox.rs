//! Which thread of this process gets which answer.
//!
//! Answers come in the order of the calls. A thread that waits for one is the reader if there is none: it
//! sleeps on the queue and files what comes under its number; the others sleep until theirs is there or the
//! reader has gone. So every answer reaches the one who asked, and a thread whose time is over takes nobody's
//! answer along.
//!
//! The end of the process is told by a flag and a wake-up, which need no memory. Everything the process had
//! put by then is read first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use mp_queues::QueueError;
use mp_queues::parts::Messages;
use mp_reduction::Attachments;
use mp_sync::parts::has_passed;
use parking_lot::{Condvar, Mutex, MutexGuard};

use super::line::to_runner;

/// A message from the process.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) bytes: Vec<u8>,
    /// Or why they were lost.
    pub(super) attachments: Result<Attachments, QueueError>,
}

/// What has come, and what is yet to come.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Calls of which nobody has asked for the answer yet.
    pub(super) outstanding: BTreeSet<u64>,
    /// Answers that came and were not taken.
    pub(super) answers: BTreeMap<u64, Answer>,
    /// How many answers came.
    received: u64,
    /// Whether the object is there.
    pub(super) is_ready: bool,
    /// Whether the calls are done and the object is being finished.
    pub(super) is_finishing: bool,
    /// Whether a thread sleeps on the queue.
    is_reading: bool,
    /// Whether the process has ended and all that it put was read.
    is_over: bool,
}

/// Why a wait ended without what it was for.
#[derive(Debug)]
pub(super) enum Missing {
    /// The time is over.
    Timeout,
    /// The process has ended.
    Over,
    Queue(QueueError),
}

/// The answers of a process, for all threads that wait for them.
#[derive(Debug)]
pub(super) struct Inbox {
    messages: Messages,
    has_ended: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Inbox {
    pub(super) fn new(messages: Messages) -> Inbox {
        Inbox {
            messages,
            has_ended: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Says that the process has ended; never waits.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.messages.wake();
    }

    /// Sleeps until `look` finds what it looks for, which is called whenever something has come.
    pub(super) fn wait_for<R>(
        &self,
        deadline: Option<Instant>,
        mut look: impl FnMut(&mut State) -> Option<R>,
    ) -> Result<R, Missing> {
        let mut state = self.state.lock();
        let mut is_late = false;
        loop {
            if let Some(found) = look(&mut state) {
                return Ok(found);
            }
            if state.is_over {
                return Err(Missing::Over);
            }
            if is_late {
                return Err(Missing::Timeout);
            }
            if state.is_reading {
                match deadline {
                    None => self.changed.wait(&mut state),
                    Some(deadline) => {
                        is_late = self.changed.wait_until(&mut state, deadline).timed_out();
                    }
                }
                continue;
            }
            state.is_reading = true;
            let read = MutexGuard::unlocked(&mut state, || self.read(deadline));
            state.is_reading = false;
            // Whoever this concerns, or one who reads on.
            self.changed.notify_all();
            match read {
                Ok(answer) => state.file(answer),
                Err(Missing::Over) => state.is_over = true,
                Err(Missing::Timeout) => is_late = true,
                Err(Missing::Queue(error)) => return Err(Missing::Queue(error)),
            }
        }
    }

    /// Sleeps until everything the process put is read; for when it has ended, or will soon.
    pub(super) fn read_all(&self) -> Result<MutexGuard<'_, State>, QueueError> {
        match self.wait_for(None, |_| None::<()>) {
            Err(Missing::Queue(error)) => Err(error),
            _ => Ok(self.state()),
        }
    }

    /// Takes the next message off the queue; for one thread at a time.
    fn read(&self, deadline: Option<Instant>) -> Result<Answer, Missing> {
        let mut bytes = Vec::new();
        loop {
            let has_ended = || self.has_ended.load(Ordering::SeqCst);
            // Asked before the look into the queue: what the process put was there before its end.
            let was_over = has_ended();
            match self.messages.take(&mut bytes, false, |_| ()) {
                Ok(attachments) => return Ok(Answer { bytes, attachments }),
                Err(QueueError::Empty) if was_over => return Err(Missing::Over),
                Err(QueueError::Empty) if has_passed(deadline) => return Err(Missing::Timeout),
                Err(QueueError::Empty) => {}
                Err(error) => return Err(Missing::Queue(error)),
            }
            self.messages.wait(deadline, has_ended).map_err(Missing::Queue)?;
        }
    }
}

impl State {
    /// Notes a message.
    fn file(&mut self, answer: Answer) {
        match answer.bytes.first() {
            Some(&to_runner::READY) => self.is_ready = true,
            Some(&to_runner::FINISHING) => self.is_finishing = true,
            _ => {
                self.answers.insert(self.received, answer);
                self.received += 1;
            }
        }
    }
}
