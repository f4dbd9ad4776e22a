//! Clients of a server are killed, and the server is: what a call has returned for is done, once; nobody waits for one who
//! is gone; what the dead held is given back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mp::{DictProxy, ListProxy, Managed, Manager, ManagerError};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Blow, Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Notes, Stage};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    /// The server, whose steps the first client announces.
    server: usize,
    clients: Vec<Client>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Client {
    actor: usize,
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Step {
    Push(u64),
    Insert(u64),
    Add(u64),
    /// Makes objects in the server, some of which are in containers of others.
    Objects(u64),
    /// Makes blocks of memory in the server.
    Block(usize),
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let clients = casting.some(1, 3, |casting| {
            let steps = casting.some(3, 12, |casting| match casting.between(0, 4) {
                0 => Step::Push(casting.between(1, 20)),
                1 => Step::Insert(casting.between(1, 20)),
                2 => Step::Add(casting.between(1, 20)),
                3 => Step::Objects(casting.between(1, 5)),
                _ => Step::Block(casting.one_of(&[1, 5_000, 5_000_000])),
            });
            let actor = casting.actor("client", steps.len() as u64, Fate::Wretched);
            Client { actor, steps }
        });
        let steps = clients[0].steps.len() as u64;
        // It starts threads, and the standard library ends a process in which one begins without memory for its signals.
        Script { server: casting.actor_in("server", 0..steps, Fate::Cramped, 40), clients }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Serving> {
        let manager = Manager::start()?;
        let objects = Objects {
            list: manager.list()?,
            dict: manager.dict()?,
            tally: manager.create(Tally::args())?,
        };
        let count = self.clients.len();
        let ledger = Ledger { begun: Notes::new(count * KINDS)?, done: Notes::new(count * KINDS)? };
        let base = manager.debug_info()?.len();
        for (place, client) in self.clients.iter().enumerate() {
            let part = Part {
                manager: manager.clone(),
                objects: objects.clone(),
                ledger: ledger.clone(),
                place,
                steps: client.steps.clone(),
                server: self.server,
                may_lose_server: company.blow(self.server) == Some(Blow::Kill),
                is_starved: company.blow(self.server).is_some_and(Blow::is_shortage),
            };
            company.start(client.actor, super::Part::Server(part))?;
        }
        Ok(Serving { script: self.clone(), manager, objects, ledger, base })
    }
}

/// An object of ours in the server.
#[derive(Debug, Default)]
pub(crate) struct Tally(AtomicU64);

#[mp::managed]
impl Tally {
    pub fn new() -> Self {
        Tally::default()
    }

    pub fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }

    pub fn child(&self) -> Managed<Tally> {
        mp::managed(Tally::new())
    }
}

/// What all clients call.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Objects {
    list: ListProxy<u64>,
    dict: DictProxy<u64, u64>,
    tally: Managed<Tally>,
}

/// The kinds of calls that are counted.
const PUSH: usize = 0;
const INSERT: usize = 1;
const ADD: usize = 2;
const KINDS: usize = 3;

/// How many calls of each kind each client has begun, and how many were done for certain.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    begun: Notes,
    done: Notes,
}

/// What the client at `place` does as the call `number` of its kind.
fn item(place: usize, number: u64) -> u64 {
    ((place as u64) << 32) + number
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    manager: Manager,
    objects: Objects,
    ledger: Ledger,
    place: usize,
    steps: Vec<Step>,
    server: usize,
    may_lose_server: bool,
    /// Whether the server is to come short of something.
    is_starved: bool,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        for (number, step) in (0..).zip(&self.steps) {
            stage.step()?;
            if self.place == 0 {
                stage.announce(self.server, number, self.manager.pid())?;
            }
            match self.call(*step) {
                Ok(()) => {}
                Err(ManagerError::Disconnected { .. }) if self.may_lose_server => {
                    return Ok(Told::Broken);
                }
                // What a starved server says crosses as text. Whether it was done is not known then, so this one does no more.
                Err(error) if self.is_starved || stage.excuses(&error) => {
                    return Ok(Told::Broken);
                }
                Err(error) => return Err(mp::Error::from(error).context("a call")),
            }
        }
        Ok(Told::Nothing)
    }

    /// Counts a call before and after it.
    fn counted(
        &self,
        kind: usize,
        call: impl Fn(u64) -> Result<(), ManagerError>,
    ) -> Result<(), ManagerError> {
        let at = self.place * KINDS + kind;
        let number = self.ledger.done.get(at);
        self.ledger.begun.set(at, number + 1);
        call(item(self.place, number))?;
        self.ledger.done.set(at, number + 1);
        Ok(())
    }

    fn call(&self, step: Step) -> Result<(), ManagerError> {
        let Objects { list, dict, tally } = &self.objects;
        match step {
            Step::Push(times) => (0..times).try_for_each(|_| self.counted(PUSH, |n| list.push(n))),
            Step::Insert(times) => {
                (0..times).try_for_each(|_| self.counted(INSERT, |n| dict.insert(n, n).map(drop)))
            }
            Step::Add(times) => {
                (0..times).try_for_each(|_| self.counted(ADD, |_| tally.add(1).map(drop)))
            }
            Step::Objects(times) => {
                let outer = self.manager.list::<Managed<Tally>>()?;
                for _ in 0..times {
                    let child = tally.child()?;
                    child.add(2)?;
                    outer.push(child.child()?)?;
                }
                outer.get(0)?.add(1).map(drop)
            }
            Step::Block(size) => {
                let block = self.manager.memory_block(size)?;
                block.write_at(size - 1, &[7]).map_err(|error| other(&error))?;
                let mut byte = [0];
                block.read_at(size - 1, &mut byte).map_err(|error| other(&error))
            }
        }
    }
}

/// A block that was given is mapped here, and no server is needed for it.
fn other(error: &dyn std::fmt::Display) -> ManagerError {
    ManagerError::Missing { key: format!("memory: {error}") }
}

/// How long a server has to notice that clients are gone.
const ENOUGH: Duration = Duration::from_secs(10);

pub(crate) struct Serving {
    script: Script,
    manager: Manager,
    objects: Objects,
    ledger: Ledger,
    /// How many objects there were at the start.
    base: usize,
}

impl Playing for Serving {
    fn check(
        &mut self,
        company: &Company,
        struck: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let killed = crate::strike::killed(struck);
        let server = self.manager.pid();
        for client in &self.script.clients {
            let pid = company.pid(client.actor);
            let is_starved = struck.iter().any(|struck| {
                (struck.pid == pid || struck.pid == server) && struck.strike.blow.is_shortage()
            });
            let is_cut_off = company.told(client.actor) == Some(&Told::Broken);
            if is_cut_off && !is_starved && !killed.contains(&server) {
                problems.push(format!(
                    "actor {} was cut off from a server to which nothing was done",
                    client.actor
                ));
            }
        }
        if killed.contains(&server) {
            return match self.objects.tally.add(0) {
                Err(ManagerError::Disconnected { .. }) => Ok(()),
                other => {
                    problems.push(format!("a server that was killed says {other:?}"));
                    Ok(())
                }
            };
        }
        let deadline = Instant::now() + ENOUGH;
        if company.sabotage() == Some(Sabotage::KeepObject) {
            std::mem::forget(self.objects.tally.child()?);
        }
        loop {
            let objects = self.manager.debug_info()?;
            if objects.len() == self.base {
                break;
            }
            if Instant::now() > deadline {
                problems.push(format!(
                    "{} objects are in a server, at the start {}: {objects:#?}",
                    objects.len(),
                    self.base
                ));
                break;
            }
            // The server is told of handles that were dropped; who waits for that is not.
            std::thread::sleep(Duration::from_millis(1));
        }
        let list = self.objects.list.to_vec()?;
        let mut total = (0, 0);
        for (place, client) in self.script.clients.iter().enumerate() {
            let count = |kind: usize| {
                let at = place * KINDS + kind;
                (self.ledger.done.get(at), self.ledger.begun.get(at))
            };
            let is_of_client = |n: &&u64| **n >> 32 == place as u64;
            let pushed: Vec<_> = list.iter().filter(is_of_client).copied().collect();
            let expected: Vec<_> =
                (0..pushed.len() as u64).map(|number| item(place, number)).collect();
            let name = client.actor;
            let is_within = |count: u64, (done, begun): (u64, u64)| done <= count && count <= begun;
            if pushed != expected || !is_within(pushed.len() as u64, count(PUSH)) {
                problems.push(format!(
                    "actor {name} pushed {:?}, in the list is {pushed:x?}",
                    count(PUSH)
                ));
            }
            let (done, begun) = count(INSERT);
            for number in 0..begun {
                let key = item(place, number);
                let value = self.objects.dict.get(&key)?;
                if number < done && value.is_none() || value.is_some_and(|value| value != key) {
                    problems
                        .push(format!("actor {name} inserted {key:x}, in the dict is {value:?}"));
                }
            }
            total = (total.0 + count(ADD).0, total.1 + count(ADD).1);
        }
        let sum = self.objects.tally.add(0)?;
        if sum < total.0 || sum > total.1 {
            problems.push(format!("a tally is {sum}, {} calls were done of {}", total.0, total.1));
        }
        Ok(())
    }
}
