//! [`PoolObject`]: a pool as it lives in a server.

use std::sync::{Arc, mpsc};

use mp_pool::parts::{abandon, submit_all, wait};
use mp_pool::{Pool, PoolError};

use crate::call::Call;
use crate::failure::Refusal;
use crate::host::Host;
use crate::hosted::{Clients, Hosted, Reply};
use crate::id::ClientId;
use crate::pool::departures::Departures;
use crate::pool::outcome::OutcomeObject;
use crate::pool::request::{failed, ordered, results};
use crate::pool::stream::StreamObject;
use crate::proxy::Proxy;
use crate::registry::Registered;

/// What a pool is called.
pub(super) const POOL: &str = "pool";

/// A pool of this process, for clients.
#[derive(Debug)]
struct PoolObject {
    pool: Arc<Pool>,
    departures: Departures,
}

inventory::submit! {
    Registered {
        name: POOL,
        place: concat!(file!(), ":", line!()),
        create: |call| {
            let (processes,): (u64,) = call.args()?;
            let pool = Pool::new(usize::try_from(processes).unwrap_or(usize::MAX));
            let pool = Arc::new(pool.map_err(|error| failed(&error))?);
            Ok(Box::new(PoolObject { pool, departures: Departures::default() }))
        },
    }
}

impl PoolObject {
    /// Runs tasks, and waits for their results.
    fn run(&self, call: &Call<'_>) -> Reply {
        let (chunks, order, ()) = ordered(call)?;
        let result = submit_all(&self.pool, &order, &chunks, true, None);
        let result = Arc::new(result.map_err(|error| failed(&error))?);
        let awaited = Arc::clone(&result);
        self.departures.during(call, move || abandon(&awaited), || wait(&result));
        // Who abandons it just now has it a moment longer.
        let outcome = match Arc::try_unwrap(result) {
            Ok(result) => result.into_result(),
            Err(_) => Err(PoolError::Cancelled),
        };
        results(outcome.map_err(|error| failed(&error))?)
    }

    /// Submits tasks, and gives what is to become of them.
    fn submit(&self, call: &Call<'_>) -> Reply {
        let (mut chunks, order, items): (_, _, Option<Vec<u64>>) = ordered(call)?;
        for (chunk, items) in chunks.iter_mut().zip(items.iter().flatten()) {
            // No item takes less than a byte.
            let fits = usize::try_from(*items).ok().filter(|items| *items <= chunk.args.len());
            let wrong = || Refusal::Value(format!("no {items} items are in that many bytes"));
            chunk.items = fits.ok_or_else(wrong)?;
        }
        let object = OutcomeObject::new(call.caller().client, |progress| {
            let progress = items.is_some().then_some(progress);
            submit_all(&self.pool, &order, &chunks, false, progress)
        });
        let object = object.map_err(|error| failed(&error))?;
        give(call, object)
    }

    /// Begins with tasks that come bit by bit.
    fn stream(&self, call: &Call<'_>) -> Reply {
        let (_none, order, ()) = ordered(call)?;
        let object = StreamObject::begin(call.caller().client, &self.pool, order);
        let object = object.map_err(|error| failed(&error))?;
        give(call, object)
    }

    fn join(&self, call: &Call<'_>) -> Reply {
        let (tell, told) = mpsc::channel();
        let (pool, joined) = (Arc::clone(&self.pool), tell.clone());
        let name = format!("{} join", pool.name().replace('\0', ""));
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            // Nobody may listen any more.
            let _heard = joined.send(pool.join());
        });
        spawned.map_err(|error| Refusal::System(format!("start a thread that waits: {error}")))?;
        let end = move || drop(tell.send(Err(PoolError::Cancelled)));
        let joined = self.departures.during(call, end, || told.recv());
        joined.unwrap_or(Err(PoolError::Cancelled)).map_err(|error| failed(&error))?;
        call.reply(&())
    }
}

/// Gives the caller an object of its own. It hears of the end of its client also if that comes before the reply.
fn give(call: &Call<'_>, object: impl Hosted) -> Reply {
    call.reply(&Proxy::of(Host::here().add(Box::new(object))))
}

impl Hosted for PoolObject {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "run" => self.run(call),
            "submit" => self.submit(call),
            "stream" => self.stream(call),
            "close" => {
                self.pool.close();
                call.reply(&())
            }
            "terminate" => {
                self.pool.terminate();
                call.reply(&())
            }
            "join" => self.join(call),
            "processes" => call.reply(&self.pool.processes()),
            "worker_pids" => call.reply(&self.pool.worker_pids()),
            _ => call.unknown_method(POOL),
        }
    }

    fn type_name(&self) -> &'static str {
        POOL
    }

    fn preview(&self) -> String {
        format!("{:?}", self.pool)
    }

    fn has_destructor(&self) -> bool {
        true
    }

    fn cares_for(&self) -> Clients {
        Clients::Holders
    }

    fn client_gone(&self, client: ClientId) {
        self.departures.note(client);
    }
}

/// Has the workers end, also if a thread is about to join the pool.
impl Drop for PoolObject {
    fn drop(&mut self) {
        self.pool.terminate();
        if let Err(error) = self.pool.join() {
            log::warn!("a pool that nobody has any more cannot be joined: {error}");
        }
    }
}
