//! Several processes count in shared memory, each count under a lock: no lock stays locked, the counts are those that were
//! acknowledged, and exactly one guard is told of each holder that was killed.

use std::collections::BTreeMap;
use std::time::Duration;

use mp::{Lock, RLock, SyncError, Value};
use mp_testing::storm::{ENTERING, INSIDE, LEAVING, OUT};
use serde::{Deserialize, Serialize};

use super::{Playing, Told};
use crate::company::Company;
use crate::plan::{Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Notes, Stage, pause};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    locks: Vec<LockKind>,
    lockers: Vec<Locker>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum LockKind {
    Lock,
    RLock,
    Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Locker {
    actor: usize,
    steps: Vec<Hold>,
}

/// A step of a locker.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Hold {
    lock: usize,
    times: u64,
    inside_us: u64,
    outside_us: u64,
    patience_ms: Option<u64>,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let locks = casting.some(1, 3, |casting| {
            casting.one_of(&[LockKind::Lock, LockKind::RLock, LockKind::Value])
        });
        let count = locks.len();
        let lockers = casting.some(2, 5, |casting| {
            let steps = casting.some(3, 10, |casting| Hold {
                lock: casting.size(0, count - 1),
                times: casting.between(1, 60),
                inside_us: casting.one_of(&[0, 0, 5, 50, 500]),
                outside_us: casting.one_of(&[0, 0, 5, 200]),
                patience_ms: casting.chance(30).then(|| casting.between(0, 5)),
            });
            let actor = casting.actor("locker", steps.len() as u64, Fate::Wretched);
            Locker { actor, steps }
        });
        Script { locks, lockers }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Locking> {
        let guarded = self.locks.iter().map(|kind| {
            Ok(match kind {
                LockKind::Lock => Guarded::Lock(Lock::new()?),
                LockKind::RLock => Guarded::RLock(RLock::new()?),
                LockKind::Value => Guarded::Value(Value::new(0)?),
            })
        });
        let guarded = guarded.collect::<mp::Result<Vec<_>>>()?;
        let ledger = Ledger::new(self.lockers.len(), guarded.len())?;
        for (place, locker) in self.lockers.iter().enumerate() {
            let part = Part {
                guarded: guarded.clone(),
                ledger: ledger.clone(),
                place,
                locker: locker.clone(),
            };
            company.start(locker.actor, super::Part::Locks(part))?;
        }
        Ok(Locking { script: self.clone(), guarded, ledger })
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Guarded {
    Lock(Lock),
    RLock(RLock),
    Value(Value<u64>),
}

impl Guarded {
    /// Runs `inside` under the lock, with the pid of a dead owner that this guard was told of; `None` if the lock
    /// was not to be had in time.
    fn hold<T>(
        &self,
        patience: Option<Duration>,
        inside: impl FnOnce(Option<u32>, Option<&mut u64>) -> T,
    ) -> Result<Option<T>, SyncError> {
        match self {
            Guarded::Lock(lock) => {
                let guard = match patience {
                    None => Some(lock.acquire()?),
                    Some(Duration::ZERO) => lock.try_acquire()?,
                    Some(patience) => lock.acquire_timeout(patience)?,
                };
                Ok(guard.map(|guard| inside(guard.owner_died().map(|dead| dead.pid), None)))
            }
            Guarded::RLock(lock) => {
                let guard = match patience {
                    None => Some(lock.acquire()?),
                    Some(Duration::ZERO) => lock.try_acquire()?,
                    Some(patience) => lock.acquire_timeout(patience)?,
                };
                let Some(guard) = guard else { return Ok(None) };
                let again = lock.acquire()?;
                let done = inside(guard.owner_died().map(|dead| dead.pid), None);
                drop(again);
                Ok(Some(done))
            }
            Guarded::Value(value) => {
                let mut guard = value.lock()?;
                let dead = guard.owner_died().map(|dead| dead.pid);
                Ok(Some(inside(dead, Some(&mut guard))))
            }
        }
    }
}

/// How many dead owners of a lock somebody can be told of.
const TOLD: usize = 8;

/// What is written down; each word by one process alone, but for the counts, which the locks guard. The director locks, too,
/// at the last place.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    locks: usize,
    /// One for each lock; written by whoever holds it.
    counts: Notes,
    /// How often each has counted, for certain.
    counted: Notes,
    phases: Notes,
    /// The pids of the dead owners that each was told of.
    told: Notes,
    /// How often somebody was inside at the same time as somebody else.
    clashes: Notes,
    /// Who is inside; written by whoever holds the lock.
    holders: Notes,
}

impl Ledger {
    fn new(lockers: usize, locks: usize) -> mp::Result<Ledger> {
        let places = (lockers + 1) * locks;
        Ok(Ledger {
            locks,
            counts: Notes::new(locks)?,
            counted: Notes::new(places)?,
            phases: Notes::new(places)?,
            told: Notes::new(places * TOLD)?,
            clashes: Notes::new(places)?,
            holders: Notes::new(locks)?,
        })
    }

    fn at(&self, place: usize, lock: usize) -> usize {
        place * self.locks + lock
    }

    fn note_told(&self, place: usize, lock: usize, pid: u32) {
        let from = self.at(place, lock) * TOLD;
        let free = (from..from + TOLD).find(|&at| self.told.get(at) == 0);
        self.told.set(free.unwrap_or(from), u64::from(pid));
    }

    fn told(&self, lock: usize, places: usize) -> impl Iterator<Item = u64> {
        let slots = (0..places).flat_map(move |place| {
            let from = self.at(place, lock) * TOLD;
            from..from + TOLD
        });
        slots.map(|at| self.told.get(at)).filter(|&pid| pid != 0)
    }

    /// Counts once under the lock, and sees that nobody else is inside.
    fn count(
        &self,
        guarded: &Guarded,
        place: usize,
        lock: usize,
        patience: Option<Duration>,
        inside_us: u64,
    ) -> Result<(), SyncError> {
        let at = self.at(place, lock);
        self.phases.set(at, ENTERING);
        let held = guarded.hold(patience, |dead, value| {
            self.phases.set(at, INSIDE);
            if let Some(pid) = dead {
                self.note_told(place, lock, pid);
            } else if self.holders.get(lock) != 0 {
                self.clashes.add(at, 1);
            }
            self.holders.set(lock, place as u64 + 1);
            let count = self.counts.get(lock);
            pause(inside_us);
            self.counts.set(lock, count + 1);
            if let Some(value) = value {
                *value = count + 1;
            }
            if self.holders.get(lock) != place as u64 + 1 {
                self.clashes.add(at, 1);
            }
            self.counted.add(at, 1);
            self.holders.set(lock, 0);
            self.phases.set(at, LEAVING);
        });
        self.phases.set(at, OUT);
        held.map(drop)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    guarded: Vec<Guarded>,
    ledger: Ledger,
    place: usize,
    locker: Locker,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        let Part { guarded, ledger, place, locker } = self;
        for step in locker.steps {
            stage.step()?;
            if stage.spoils(Sabotage::Hang) {
                loop {
                    std::thread::park();
                }
            }
            if stage.spoils(Sabotage::Miscount) {
                ledger.counted.add(ledger.at(place, step.lock), 1);
            }
            if place == 0 && stage.spoils(Sabotage::LeakLock) {
                for guarded in &guarded {
                    match guarded {
                        Guarded::Lock(lock) => lock.acquire()?.leak(),
                        Guarded::RLock(lock) => lock.acquire()?.leak(),
                        Guarded::Value(value) => std::mem::forget(value.lock()?),
                    }
                }
                return Ok(Told::Nothing);
            }
            for _ in 0..step.times {
                let patience = step.patience_ms.map(Duration::from_millis);
                match ledger.count(&guarded[step.lock], place, step.lock, patience, step.inside_us)
                {
                    Ok(()) => {}
                    Err(error) if stage.excuses(&error) => {}
                    Err(error) => return Err(mp::Error::from(error).context("a lock")),
                }
                pause(step.outside_us);
            }
        }
        Ok(Told::Nothing)
    }
}

pub(crate) struct Locking {
    script: Script,
    guarded: Vec<Guarded>,
    ledger: Ledger,
}

impl Playing for Locking {
    fn check(
        &mut self,
        company: &Company,
        _: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        let director = self.script.lockers.len();
        for (lock, guarded) in self.guarded.iter().enumerate() {
            let is_free = match guarded {
                Guarded::Value(value) => {
                    // It has no call that gives up, but its lock has.
                    value.get_lock().acquire_timeout(Duration::from_secs(1))?.map(|guard| {
                        if let Some(dead) = guard.owner_died() {
                            self.ledger.note_told(director, lock, dead.pid);
                        }
                    })
                }
                guarded => guarded.hold(Some(Duration::from_secs(1)), |dead, _| {
                    if let Some(pid) = dead {
                        self.ledger.note_told(director, lock, pid);
                    }
                })?,
            };
            if is_free.is_none() {
                problems.push(format!("lock {lock} stays locked: {guarded:?}"));
                continue;
            }
            self.check_lock(lock, company, problems);
        }
        Ok(())
    }
}

impl Locking {
    fn check_lock(&self, lock: usize, company: &Company, problems: &mut Vec<String>) {
        let ledger = &self.ledger;
        let places = self.script.lockers.len();
        // Who was killed, and where.
        let mut dead = BTreeMap::new();
        let mut counted = 0;
        for (place, locker) in self.script.lockers.iter().enumerate() {
            let at = ledger.at(place, lock);
            counted += ledger.counted.get(at);
            if ledger.clashes.get(at) > 0 {
                problems.push(format!("lock {lock} was held by two at once"));
            }
            if company.was_killed(locker.actor) {
                dead.insert(u64::from(company.pid(locker.actor)), ledger.phases.get(at));
            }
        }
        let mut told = BTreeMap::<u64, u64>::new();
        ledger.told(lock, places + 1).for_each(|pid| *told.entry(pid).or_default() += 1);
        for (pid, times) in &told {
            match dead.get(pid) {
                None | Some(&OUT) => problems.push(format!(
                    "lock {lock}: somebody was told that process {pid} died with it, which did not"
                )),
                Some(_) if *times > 1 => problems.push(format!(
                    "lock {lock}: {times} were told that process {pid} died with it"
                )),
                Some(_) => {}
            }
        }
        for (pid, _) in dead.iter().filter(|(_, phase)| **phase == INSIDE) {
            // Who had the lock next may have been killed before it could note what it was told.
            let is_heir_dead = dead
                .iter()
                .any(|(other, phase)| other != pid && matches!(*phase, ENTERING | INSIDE));
            if !told.contains_key(pid) && !is_heir_dead {
                problems
                    .push(format!("lock {lock}: nobody was told that process {pid} died with it"));
            }
        }
        let count = ledger.counts.get(lock);
        let inside = dead.values().filter(|phase| **phase == INSIDE).count() as u64;
        if count < counted || count > counted + inside {
            problems.push(format!(
                "lock {lock}: the count is {count}, acknowledged were {counted}, of {inside} nobody knows"
            ));
        }
        if let Guarded::Value(value) = &self.guarded[lock] {
            let is_known = dead.values().all(|phase| *phase != INSIDE);
            if is_known && value.get().ok() != Some(count) {
                problems.push(format!("lock {lock}: the value is {:?}, not {count}", value.get()));
            }
        }
    }
}
