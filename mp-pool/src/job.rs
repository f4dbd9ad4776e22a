//! How a task is run: the functions that a worker finds behind the head of a message, one for each function and kind of
//! call, and what their outcome looks like in bytes.

use std::marker::PhantomData;

use mp_context::__private::{__mp_begin_short_backtrace, Job, captureless, catch};
use mp_context::Target;
use mp_reduction::{Attachments, decode_from, encode_bytes, encode_into};
use mp_remote_exception::{Origin, RemoteException, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::PoolError;

/// The first byte of an outcome: what follows is the encoded result.
const RETURNED: u8 = 0;
/// An encoded [`RemoteException`].
const RAISED: u8 = 1;
/// Text: the arguments could not be decoded, or the result not be encoded.
const NOT_PASSED: u8 = 2;

/// How a function takes one item of a call.
pub(crate) trait Takes<Item>: 'static {
    /// What it returns.
    type Output;

    /// Calls it.
    fn call(item: Item) -> Result<Self::Output>;
}

/// A function of one argument, which is the item.
#[derive(Debug)]
pub(crate) struct One<F>(PhantomData<F>);

/// A function whose arguments are in the item.
#[derive(Debug)]
pub(crate) struct All<F>(PhantomData<F>);

impl<F, T, R> Takes<T> for One<F>
where
    F: Fn(T) -> Result<R> + Copy + 'static,
{
    type Output = R;

    fn call(item: T) -> Result<R> {
        captureless::<F>()(item)
    }
}

impl<F: Target<Args>, Args> Takes<Args> for All<F> {
    type Output = F::Output;

    fn call(args: Args) -> Result<F::Output> {
        captureless::<F>().call(args)
    }
}

/// The job of one item.
pub(crate) fn single<C: Takes<Item>, Item>() -> Job
where
    Item: DeserializeOwned,
    C::Output: Serialize,
{
    |bytes, attachments, out| {
        run(bytes, attachments, out, |item: Item| __mp_begin_short_backtrace(|| C::call(item)))
    }
}

/// The job of several items, up to the first that fails.
pub(crate) fn chunk<C: Takes<Item>, Item>() -> Job
where
    Item: DeserializeOwned,
    C::Output: Serialize,
{
    |bytes, attachments, out| {
        run(bytes, attachments, out, |items: Vec<Item>| {
            __mp_begin_short_backtrace(|| {
                items.into_iter().map(C::call).collect::<Result<Vec<C::Output>>>()
            })
        })
    }
}

/// What comes of each item of a chunk.
pub(crate) type Each<R> = Vec<std::result::Result<R, RemoteException>>;

/// The job of several items, each for itself.
pub(crate) fn each<C: Takes<Item>, Item>() -> Job
where
    Item: DeserializeOwned,
    C::Output: Serialize,
{
    |bytes, attachments, out| {
        run(bytes, attachments, out, |items: Vec<Item>| {
            let call = |item| attempt(|| __mp_begin_short_backtrace(|| C::call(item)));
            let each: Each<C::Output> = items.into_iter().map(call).collect();
            Ok(each)
        })
    }
}

/// What a call returned, or the error that it raised or the panic that it ended in.
pub(crate) fn attempt<R>(
    call: impl FnOnce() -> Result<R>,
) -> std::result::Result<R, RemoteException> {
    catch(call)?.map_err(|error| RemoteException::from_raised(&error, Origin::current()))
}

/// Decodes the arguments, has them worked on, and encodes what comes of it behind what is in `out`.
fn run<Args: DeserializeOwned, R: Serialize>(
    bytes: &[u8],
    attachments: &Attachments,
    out: &mut Vec<u8>,
    work: impl FnOnce(Args) -> Result<R>,
) -> Attachments {
    let start = out.len();
    // Whatever the user's code does here, decoding, encoding and destructors included, a panic in it is the outcome.
    let ran = catch(|| {
        let args = decode_from::<Args>(bytes, attachments)
            .map_err(|error| not_passed(out, &format!("cannot take the arguments: {error}")));
        let Ok(args) = args else {
            return Attachments::default();
        };
        match work(args) {
            Ok(value) => {
                out.push(RETURNED);
                encode_into(&value, out).unwrap_or_else(|error| {
                    out.truncate(start);
                    not_passed(out, &format!("cannot pass the result: {error}"));
                    Attachments::default()
                })
            }
            Err(error) => {
                raised(out, &RemoteException::from_raised(&error, Origin::current()));
                Attachments::default()
            }
        }
    });
    ran.unwrap_or_else(|panicked| {
        out.truncate(start);
        raised(out, &panicked);
        Attachments::default()
    })
}

/// The outcome of a task that raised an error.
fn raised(out: &mut Vec<u8>, remote: &RemoteException) {
    let start = out.len();
    out.push(RAISED);
    if let Err(error) = encode_bytes(remote, out) {
        out.truncate(start);
        not_passed(out, &format!("cannot pass its error {remote}: {error}"));
    }
}

/// The outcome of a task of which something did not cross.
pub(crate) fn not_passed(out: &mut Vec<u8>, text: &str) {
    out.push(NOT_PASSED);
    out.extend(text.as_bytes());
}

/// The result in an outcome.
pub(crate) fn result<R: DeserializeOwned>(
    outcome: &[u8],
    attachments: &Attachments,
    worker: impl FnOnce() -> String,
) -> std::result::Result<R, PoolError> {
    decode_from(returned(outcome, worker)?, attachments).map_err(PoolError::Decode)
}

/// The encoded result in an outcome.
pub(crate) fn returned(
    outcome: &[u8],
    worker: impl FnOnce() -> String,
) -> std::result::Result<&[u8], PoolError> {
    let Some((kind, body)) = outcome.split_first() else {
        return Err(PoolError::Transfer { worker: worker(), what: "sent no outcome".to_owned() });
    };
    match *kind {
        RETURNED => Ok(body),
        RAISED => Err(match decode_from(body, &Attachments::default()) {
            Ok(remote) => PoolError::Exception(remote),
            Err(error) => PoolError::Decode(error),
        }),
        _ => {
            let what = String::from_utf8_lossy(body).into_owned();
            Err(PoolError::Transfer { worker: worker(), what })
        }
    }
}
