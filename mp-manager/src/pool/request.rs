//! What a client asks a pool for, and what it gets: encoded chunks of items, and of their results, which the server never
//! opens.
//!
//! What is behind the chunks of a request names the function to call by its place in the program, so it says as well
//! which build of which program that is.

use mp_pool::PoolError;
use mp_pool::parts::{Chunk, Encoded, Order, PoolErrorWire};
use mp_reduction::{Attachments, BuildId, image};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::{Failure, Refusal};
use crate::host::Host;
use crate::hosted::Reply;
use crate::parts::{Malformed, Packing, Part};
use crate::payload::Payload;
use crate::proxy::Proxy;

/// What all chunks of a request are for.
#[derive(Serialize, Deserialize)]
struct Head<B, M>(B, Order, M);

/// Chunks on their way to a server.
#[derive(Debug)]
pub(super) struct Chunks(Packing);

impl Chunks {
    pub(super) fn new(pool: &Proxy) -> Chunks {
        Chunks(Packing::new(pool.server()))
    }

    /// Adds one. What is in it goes to a worker and stays closed on its way, so that a proxy must bring with it what keeps
    /// its object alive, as in a message of a queue.
    pub(super) fn add<In, Out>(
        &mut self,
        call: &mp_pool::parts::Call<In, Out>,
        input: &In,
    ) -> Result<(), PoolError>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned,
    {
        self.0.add_with(|bytes| call.encode(input, bytes), PoolError::Encode)
    }

    /// The request, with `more` about it.
    pub(super) fn with(mut self, more: &impl Serialize) -> Result<Payload, ManagerError> {
        self.0.add(more).map_err(ManagerError::Encode)?;
        Ok(self.0.finish())
    }

    /// The request to call a function.
    pub(super) fn ordered(
        self,
        order: Order,
        more: impl Serialize,
    ) -> Result<Payload, ManagerError> {
        self.with(&Head(image().build_id(), order, more))
    }
}

/// The chunks of a request, and what is said about them.
pub(super) fn chunks<'a, M: DeserializeOwned>(
    call: &Call<'a>,
) -> Result<(Vec<Chunk<'a>>, M), Failure> {
    let mut parts = call.payload().parts()?.collect::<Result<Vec<Part<'_>>, Malformed>>()?;
    let more = parts.pop().ok_or(Malformed)?.decode();
    let more = more.map_err(|error| Failure::Arguments(mp_reduction::in_full(&error)))?;
    let chunks = parts.into_iter().map(|part| {
        let attachments = part.attachments().map_err(|error| {
            Refusal::System(format!("take a handle, for it has no descriptor left: {error}"))
        })?;
        Ok(Chunk { items: 1, args: part.bytes, attachments })
    });
    Ok((chunks.collect::<Result<_, Failure>>()?, more))
}

/// The chunks of a request to call a function, which has to be one of this very program.
pub(super) fn ordered<'a, M: DeserializeOwned>(
    call: &Call<'a>,
) -> Result<(Vec<Chunk<'a>>, Order, M), Failure> {
    let refused = || {
        let text = "call a function of another program, or of another build of this one";
        Refusal::System(text.to_owned())
    };
    let found = match chunks::<Head<BuildId, M>>(call) {
        // Another build may say it in other words.
        Err(Failure::Arguments(_)) => return Err(refused().into()),
        found => found?,
    };
    let (chunks, Head(build, order, more)) = found;
    if build != *image().build_id() {
        return Err(refused().into());
    }
    Ok((chunks, order, more))
}

/// What a pool says, for the client.
pub(super) fn failed(error: &PoolError) -> Failure {
    Refusal::Pool(Box::new(PoolErrorWire::new(error))).into()
}

/// The results of all chunks of a request.
pub(super) fn results(results: Vec<Encoded>) -> Reply {
    match <[Encoded; 1]>::try_from(results) {
        // As it is.
        Ok([Encoded { bytes, attachments }]) => {
            Ok(Payload { bytes, attachments, references: Vec::new() })
        }
        Err(results) => packed(&results).map(Packing::finish),
    }
}

/// Results one behind the other.
pub(super) fn packed<'a>(
    results: impl IntoIterator<Item = &'a Encoded>,
) -> Result<Packing, Failure> {
    let mut packing = Packing::new(Host::here().id());
    for Encoded { bytes, attachments } in results {
        let append = |to: &mut Vec<u8>| {
            to.extend_from_slice(bytes);
            Ok(attachments.clone())
        };
        packing.add_with(append, |error| Failure::Result(mp_reduction::in_full(&error)))?;
    }
    Ok(packing)
}

/// What a server gave is nothing that a pool gives.
pub(super) fn misunderstood(pool: &Proxy) -> impl Fn(Malformed) -> ManagerError + use<> {
    let pool = pool.clone();
    move |error| pool.misunderstood(&error)
}

/// The results of so many chunks, as [`results`] has made them.
pub(super) fn each_result(
    pool: &Proxy,
    reply: &Payload,
    chunks: usize,
    mut take: impl FnMut(&[u8], &Attachments) -> Result<(), PoolError>,
) -> Result<(), ManagerError> {
    if chunks == 1 {
        return take(&reply.bytes, &reply.attachments).map_err(ManagerError::Pool);
    }
    for part in reply.parts().map_err(misunderstood(pool))? {
        let part = part.map_err(misunderstood(pool))?;
        take(part.bytes, &attachments(&part)?).map_err(ManagerError::Pool)?;
    }
    Ok(())
}

/// What belongs to a result.
pub(super) fn attachments(part: &Part<'_>) -> Result<Attachments, ManagerError> {
    part.attachments().map_err(ManagerError::system("duplicate a descriptor"))
}
