//! One sends numbered messages and one receives them: what was sent arrives in order and whole, also of one that was
//! killed, and whoever is left alone is told.

use mp::{Connection, ConnectionError, Pipe};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::stage::{Notes, Stage, pause};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    sender: usize,
    receiver: usize,
    messages: Vec<Message>,
}

/// A step of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    bytes: usize,
    pause_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let messages = casting.some(5, 60, |casting| Message {
            bytes: casting.one_of(&[0, 10, 1_000, 100_000, 700_000]),
            pause_us: casting.one_of(&[0, 0, 50]),
        });
        let steps = messages.len() as u64;
        // Values of some size have to be made before they can be sent, for which there is no error.
        let sender = casting.actor("sender", steps, Fate::Cramped);
        let receiver = casting.actor("receiver", steps, Fate::Cramped);
        Script { sender, receiver, messages }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Sending> {
        let (receiver, sender) = Pipe::simplex()?;
        // How many were begun, sent and received.
        let counts = Notes::new(3)?;
        let (messages, noted) = (self.messages.clone(), counts.clone());
        let part = Part::Sends { connection: sender, messages, counts: noted };
        company.start(self.sender, super::Part::Pipe(part))?;
        let messages = self.messages.clone();
        let part = Part::Receives { connection: receiver, messages, counts: counts.clone() };
        company.start(self.receiver, super::Part::Pipe(part))?;
        Ok(Sending { script: self.clone(), counts })
    }
}

const BEGUN: usize = 0;
const SENT: usize = 1;
const RECEIVED: usize = 2;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Sends { connection: Connection, messages: Vec<Message>, counts: Notes },
    Receives { connection: Connection, messages: Vec<Message>, counts: Notes },
}

fn text(number: u64, bytes: usize) -> String {
    if number.is_multiple_of(2) { "a" } else { "b" }.repeat(bytes)
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        match self {
            Part::Sends { connection, messages, counts } => {
                for (number, message) in (0..).zip(messages) {
                    stage.step()?;
                    counts.set(BEGUN, number + 1);
                    match connection.send(&(number, text(number, message.bytes))) {
                        Ok(()) => counts.set(SENT, number + 1),
                        Err(ConnectionError::BrokenPipe) => return Ok(Told::Broken),
                        Err(error) => return Err(mp::Error::from(error).context("a message")),
                    }
                    pause(message.pause_us);
                }
            }
            Part::Receives { connection, messages, counts } => loop {
                stage.step()?;
                match connection.recv::<(u64, String)>() {
                    Ok((number, got)) => {
                        let expected = counts.get(RECEIVED);
                        mp::ensure!(number == expected, "message {number}, not {expected}");
                        let sent = usize::try_from(number).ok().and_then(|at| messages.get(at));
                        let is_whole = sent.is_some_and(|sent| got == text(number, sent.bytes));
                        mp::ensure!(is_whole, "message {number} is damaged");
                        counts.set(RECEIVED, number + 1);
                    }
                    Err(ConnectionError::EndOfFile) => break,
                    Err(ConnectionError::Truncated { .. }) => return Ok(Told::Broken),
                    Err(error) => return Err(mp::Error::from(error).context("a message")),
                }
            },
        }
        Ok(Told::Nothing)
    }
}

pub(crate) struct Sending {
    script: Script,
    counts: Notes,
}

impl Playing for Sending {
    fn check(
        &mut self,
        company: &Company,
        _: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let Script { sender, receiver, .. } = self.script;
        let [begun, sent, received] = [BEGUN, SENT, RECEIVED].map(|at| self.counts.get(at));
        if received > begun || !company.was_killed(receiver) && received < sent {
            problems.push(format!("{sent} messages sent of {begun} begun, {received} received"));
        }
        for (one, other, what) in
            [(sender, receiver, "receives"), (receiver, sender, "sends the rest")]
        {
            if company.told(one) == Some(&Told::Broken) && !company.was_killed(other) {
                problems.push(format!("somebody was told that nobody {what}, who was not killed"));
            }
        }
        Ok(())
    }
}
