//! The thread of a server that serves one thread of a client: calls come in, replies go out, one after the other.

use std::mem;
use std::sync::Arc;

use mp_queues::QueueError;
use mp_reduction::{Attachments, encode_bytes};

use crate::failure::{Failure, Refusal};
use crate::frame::{Answer, Kind, Request};
use crate::host::client::Client;
use crate::host::{Host, ask};
use crate::hosted::Reply;
use crate::id::{Caller, ObjectId};
use crate::line::{Line, LineError, Waited};
use crate::payload::Payload;
use crate::reference::Reference;

/// Longer messages are not kept room for.
const KEPT_LEN: usize = 1 << 20;

/// Serves a line until its client, or the thread there, is gone.
pub(crate) fn start(client: &Arc<Client>, line: Line, thread: u64) {
    let line = Arc::new(line);
    client.add_line(&line);
    let served = Server {
        client: Arc::clone(client),
        line: Arc::clone(&line),
        caller: Caller { client: client.id(), thread },
    };
    let name = format!("mp-manager {}-{thread}", client.pid());
    if let Err(error) = std::thread::Builder::new().name(name).spawn(move || served.run()) {
        log::warn!("a server has no thread for process {}: {error}", client.pid());
        end(&line, client, format!("the server has no thread for this client: {error}"));
    }
}

/// A line, and whom it serves.
struct Server {
    client: Arc<Client>,
    line: Arc<Line>,
    caller: Caller,
}

/// A panic in this library, or of what a user's panic carries.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = "the thread of the server that serves this one has panicked".to_owned();
            end(&self.line, &self.client, text);
        }
    }
}

impl Server {
    fn run(self) {
        if let Err(why) = self.serve_all() {
            log::warn!("a server serves a thread of process {} no more: {why}", self.client.pid());
            end(&self.line, &self.client, why);
        }
    }

    /// Serves until there are no more calls; else says why nobody serves any more.
    fn serve_all(&self) -> Result<(), String> {
        let (mut frame, mut method) = (Vec::new(), String::new());
        loop {
            match self.line.receive(&mut frame, None, || self.client.is_gone()) {
                Ok(Waited::Received) => {}
                Ok(Waited::Over | Waited::TimedOut) => return Ok(()),
                Err(error) => return Err(format!("the server cannot take a call: {error}")),
            }
            let Some((len, request)) = Request::read(&frame) else {
                return Err("the server does not understand what it is told".to_owned());
            };
            let Request { object, descriptors, references, .. } = request;
            method.clear();
            method.push_str(request.method);
            if method == ask::CLOSE {
                return Ok(());
            }
            frame.truncate(len);
            let attachments = match self.line.receive_attachments(descriptors) {
                Ok(attachments) => attachments,
                Err(LineError::Over) => return Ok(()),
                Err(error) => {
                    return Err(format!("the server cannot take the arguments: {error}"));
                }
            };
            let mut arguments =
                Payload { bytes: mem::take(&mut frame), attachments, references: Vec::new() };
            let reply = self.serve(object, &method, &references, &mut arguments);
            frame = mem::take(&mut arguments.bytes);
            // What only the arguments referred to is gone when the caller has its reply.
            drop(arguments);
            match answer(&self.line, &self.client, reply) {
                Ok(()) => {}
                Err(LineError::Over) => return Ok(()),
                Err(error) => return Err(format!("the server cannot send the result: {error}")),
            }
            if object == ObjectId::SERVER
                && method == ask::SHUTDOWN
                && let Some(service) = Host::here().service()
            {
                service.stop();
            }
            if frame.capacity() > KEPT_LEN {
                frame = Vec::new();
            }
        }
    }

    fn serve(
        &self,
        object: ObjectId,
        method: &str,
        references: &[ObjectId],
        arguments: &mut Payload,
    ) -> Reply {
        let host = Host::here();
        let found = |object: ObjectId| {
            let unknown = || Failure::UnknownObject { object: object.0 };
            self.client.find(object).ok_or_else(unknown)
        };
        for object in references {
            arguments.references.push(Reference::Here(found(*object)?));
        }
        if object == ObjectId::SERVER {
            return host.ask(self.caller, method, arguments);
        }
        let entry = found(object)?;
        let reply = host.call(self.caller, &entry, method, arguments);
        // It may be the last that is no part of it.
        drop(Reference::Here(entry));
        reply
    }
}

/// Sends what came of a call. What was made for a client that is gone, or cannot have it, hears that.
fn answer(line: &Line, client: &Client, reply: Reply) -> Result<(), LineError> {
    let granted = match &reply {
        Ok(payload) => client.grant(&payload.references),
        Err(_) => Vec::new(),
    };
    // Who is told that it is no client any more needs no other answer, which would be that it holds nothing.
    if client.is_gone() {
        return Err(LineError::Over);
    }
    let failure = match reply {
        Ok(Payload { mut bytes, attachments, references }) => {
            // The client holds them now.
            drop(references);
            let descriptors = attachments.descriptors().len();
            let descriptors = u32::try_from(descriptors).unwrap_or(u32::MAX);
            Answer { kind: Kind::Returned, descriptors, references: granted.clone() }
                .append(&mut bytes);
            let Err(error) = line.send(&bytes, &attachments) else { return Ok(()) };
            client.does_not_get(&granted);
            match error {
                LineError::Descriptors { .. } => Failure::Result(error.to_string()),
                // Descriptors go ahead of what they belong to: the next reply would be taken for that.
                LineError::Queue(_) if attachments.is_empty() => Failure::Result(error.to_string()),
                error => return Err(error),
            }
        }
        Err(failure) => failure,
    };
    send_failure(line, Kind::Failed, &failure)
}

/// Tells the client that nobody serves this line any more, whatever it waits for there. One that cannot be told that is
/// told that it is no client any more: nobody waits in vain.
fn end(line: &Line, client: &Client, why: String) {
    let failure = Failure::from(Refusal::System(why));
    match send_failure(line, Kind::Ended, &failure) {
        Ok(()) | Err(LineError::Over) => {}
        Err(error) => {
            log::warn!("a server parts from process {}: {error}", client.pid());
            client.hang_up();
        }
    }
}

fn send_failure(line: &Line, kind: Kind, failure: &Failure) -> Result<(), LineError> {
    let mut bytes = Vec::new();
    if let Err(error) = encode_bytes(failure, &mut bytes) {
        bytes.clear();
        let lost = Failure::Result(format!("the error of the call cannot be encoded: {error}"));
        // A text can, if there is memory for it.
        encode_bytes(&lost, &mut bytes).map_err(QueueError::Encode)?;
    }
    Answer { kind, descriptors: 0, references: Vec::new() }.append(&mut bytes);
    line.send(&bytes, &Attachments::default())
}
