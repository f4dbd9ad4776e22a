//! The process of a runner: it makes the object, serves the calls, and finishes the object.
//!
//! What a call makes of its arguments is its answer, whatever the user's code does on the way; only what
//! leaves the process without object or queues ends it.

use mp_context::__private::{__mp_begin_short_backtrace, catch};
use mp_context::{RemoteException, Result};
use mp_queues::QueueError;
use mp_reduction::{Attachments, decode_from, encode_into};
use mp_remote_exception::Origin;

use super::line::{Line, to_runner, to_worker};
use super::runnee::ProcessRunnee;

/// A buffer that grew beyond this for one message is given back.
const KEPT_LEN: usize = 1 << 20;

/// What became of a call.
enum Answer {
    /// It is in the buffer, with these beside it.
    Returned(Attachments),
    Raised(RemoteException),
    ArgumentsLost(String),
    ResultLost(String),
}

/// What the process runs.
pub(super) fn work<R: ProcessRunnee>(init: R::Init, line: Line) -> Result<()> {
    let none = Attachments::default();
    let mut runnee = __mp_begin_short_backtrace(|| R::new(init))?;
    line.results.put(&[to_runner::READY], &none)?;
    let (mut call, mut answer) = (Vec::new(), Vec::new());
    loop {
        let attachments = line.calls.take(&mut call, true, |_| ())?;
        match call.split_first() {
            Some((&to_worker::CALL, arguments)) => {
                let outcome = serve(&mut runnee, arguments, attachments, &mut answer);
                tell(&line, outcome, &mut answer)?;
            }
            _ => break,
        }
        for buffer in [&mut call, &mut answer] {
            if buffer.capacity() > KEPT_LEN {
                *buffer = Vec::new();
            }
        }
    }
    line.results.put(&[to_runner::FINISHING], &none)?;
    __mp_begin_short_backtrace(|| runnee.finish())
}

/// Makes a call; what it returned is in `answer`.
fn serve<R: ProcessRunnee>(
    runnee: &mut R,
    arguments: &[u8],
    attachments: std::result::Result<Attachments, QueueError>,
    answer: &mut Vec<u8>,
) -> Answer {
    answer.clear();
    // The destructors of arguments and result, and the text of an error, are the user's code too.
    let call = || {
        let attachments = match attachments {
            Ok(attachments) => attachments,
            Err(error) => return Answer::ArgumentsLost(mp_reduction::in_full(&error)),
        };
        let arguments = match decode_from(arguments, &attachments) {
            Ok(arguments) => arguments,
            Err(error) => return Answer::ArgumentsLost(error.to_string()),
        };
        // The call alone decides how long the descriptors in its arguments stay open.
        drop(attachments);
        match __mp_begin_short_backtrace(|| runnee.call(arguments)) {
            Ok(value) => {
                answer.push(to_runner::RETURNED);
                match encode_into(&value, answer) {
                    Ok(attachments) => Answer::Returned(attachments),
                    Err(error) => Answer::ResultLost(error.to_string()),
                }
            }
            Err(error) => Answer::Raised(RemoteException::from_raised(&error, Origin::current())),
        }
    };
    catch(call).unwrap_or_else(Answer::Raised)
}

/// Puts an answer, or at least that there is no room for it.
fn tell(line: &Line, outcome: Answer, answer: &mut Vec<u8>) -> Result<()> {
    if !line.is_heard() {
        if let Answer::Raised(error) = outcome {
            log::warn!("a call of a runner that was dropped failed: {error}");
        }
        return Ok(());
    }
    let (kind, text) = match outcome {
        Answer::Returned(attachments) => match line.results.put(answer, &attachments) {
            Ok(()) => return Ok(()),
            Err(error) => (to_runner::RESULT_LOST, mp_reduction::in_full(&error)),
        },
        Answer::Raised(error) => {
            answer.clear();
            answer.push(to_runner::RAISED);
            match encode_into(&error, answer).map(|none| line.results.put(answer, &none)) {
                Ok(Ok(())) => return Ok(()),
                // Its trace may be what there is no room for.
                Ok(Err(_)) | Err(_) => (to_runner::RESULT_LOST, format!("it failed: {error}")),
            }
        }
        Answer::ArgumentsLost(reason) => (to_runner::ARGUMENTS_LOST, reason),
        Answer::ResultLost(reason) => (to_runner::RESULT_LOST, reason),
    };
    answer.clear();
    answer.push(kind);
    answer.extend_from_slice(text.as_bytes());
    Ok(line.results.put(answer, &Attachments::default())?)
}
