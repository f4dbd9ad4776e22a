//! Producers put numbered items into a queue and consumers get them: what `put` has returned for is got once, or was in
//! the hands of a consumer that was killed; the items of a producer come in order.

use std::time::{Duration, Instant};

use mp::{JoinableQueue, Queue, QueueError, SimpleQueue};
use serde::{Deserialize, Serialize};

use super::deliveries::{Deliveries, Put, Words};
use super::{Playing, Told};
use crate::company::{Company, End};
use crate::plan::{Casting, Fate};
use crate::sabotage::Sabotage;
use crate::stage::{Notes, Stage, pause};
use crate::strike::Struck;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    kind: QueueKind,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum QueueKind {
    Unlimited,
    Items(usize),
    Bytes(usize),
    Joinable(usize),
    Simple,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Producer {
    actor: usize,
    steps: Vec<Step>,
}

/// A step of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Step {
    items: usize,
    /// All in one call.
    at_once: bool,
    bytes: usize,
    patience_ms: Option<u64>,
    pause_us: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Consumer {
    actor: usize,
    /// Items in one call; 1 is a call for one.
    batch: usize,
    patience_ms: Option<u64>,
    pause_us: u64,
}

impl Script {
    pub(crate) fn write(casting: &mut Casting) -> Script {
        let kind = match casting.size(0, 4) {
            0 => QueueKind::Unlimited,
            1 => QueueKind::Items(casting.size(1, 20)),
            2 => QueueKind::Bytes(casting.size(20_000, 400_000)),
            3 => QueueKind::Joinable(casting.one_of(&[0, 5])),
            _ => QueueKind::Simple,
        };
        let is_simple = kind == QueueKind::Simple;
        let producers = casting.some(1, 3, |casting| {
            let steps = casting.some(3, 10, |casting| Step {
                items: casting.size(1, 30),
                at_once: !is_simple && casting.chance(40),
                bytes: casting.one_of(&[0, 10, 100, 1_000, 15_000]),
                patience_ms: (!is_simple && casting.chance(40)).then(|| casting.between(0, 20)),
                pause_us: casting.one_of(&[0, 0, 100, 2_000]),
            });
            let actor = casting.actor("producer", steps.len() as u64, Fate::Wretched);
            Producer { actor, steps }
        });
        let consumers = casting.some(1, 3, |casting| Consumer {
            actor: casting.actor("consumer", 20, Fate::Wretched),
            batch: if is_simple { 1 } else { casting.one_of(&[1, 1, 7]) },
            patience_ms: (!is_simple && casting.chance(40)).then(|| casting.between(0, 20)),
            pause_us: casting.one_of(&[0, 0, 50, 1_000]),
        });
        Script { kind, producers, consumers }
    }

    pub(crate) fn begin(&self, company: &mut Company) -> mp::Result<Queuing> {
        let queue = match self.kind {
            QueueKind::Unlimited => Line::Plain(Queue::new()?),
            QueueKind::Items(maxsize) => Line::Plain(Queue::bounded(maxsize)?),
            QueueKind::Bytes(bytes) => Line::Plain(Queue::builder().max_bytes(bytes).build()?),
            QueueKind::Joinable(maxsize) => Line::Joinable(JoinableQueue::bounded(maxsize)?),
            QueueKind::Simple => Line::Simple(SimpleQueue::new()?),
        };
        let (producers, consumers) = (self.producers.len(), self.consumers.len());
        let items = |producer: &Producer| producer.steps.iter().map(|step| step.items).sum();
        let len = self.producers.iter().map(items).max().unwrap_or(0);
        let ledger = Ledger {
            deliveries: Deliveries::new(producers, len, consumers)?,
            begun: Notes::new(producers)?,
            put: Notes::new(producers)?,
        };
        for (place, producer) in self.producers.iter().enumerate() {
            let part = Putting {
                queue: queue.clone(),
                ledger: ledger.clone(),
                place,
                producer: producer.clone(),
            };
            company.start(producer.actor, super::Part::Queue(Part::Puts(part)))?;
        }
        for (place, consumer) in self.consumers.iter().enumerate() {
            let part = Getting {
                queue: queue.clone(),
                ledger: ledger.clone(),
                place,
                consumer: consumer.clone(),
            };
            company.start(consumer.actor, super::Part::Queue(Part::Gets(part)))?;
        }
        Ok(Queuing { script: self.clone(), queue, ledger })
    }
}

/// A queue of any kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Line {
    Plain(Queue<Item>),
    Joinable(JoinableQueue<Item>),
    Simple(SimpleQueue<Item>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Item {
    /// The place of the producer; there is no such place in an item that only wakes a consumer.
    producer: usize,
    number: usize,
    filler: String,
}

impl Item {
    fn new(producer: usize, number: usize, bytes: usize) -> Item {
        let letter = if (producer + number).is_multiple_of(2) { "a" } else { "b" };
        Item { producer, number, filler: letter.repeat(bytes) }
    }

    fn is_whole(&self) -> bool {
        *self == Item::new(self.producer, self.number, self.filler.len())
    }

    fn end() -> Item {
        Item { producer: usize::MAX, number: 0, filler: String::new() }
    }

    fn is_end(&self) -> bool {
        self.producer == usize::MAX
    }
}

impl Line {
    fn full(&self) -> Option<&Queue<Item>> {
        match self {
            Line::Plain(queue) => Some(queue),
            Line::Joinable(queue) => Some(queue),
            Line::Simple(_) => None,
        }
    }

    fn put(&self, items: &[Item], patience: Option<Duration>) -> Result<(), QueueError> {
        match (self, self.full(), patience, items) {
            (Line::Simple(queue), ..) => items.iter().try_for_each(|item| queue.put(item)),
            (_, Some(queue), None, [item]) => queue.put(item),
            (_, Some(queue), Some(patience), [item]) => queue.put_timeout(item, patience),
            (_, Some(queue), None, items) => queue.put_many(items),
            (_, Some(queue), Some(patience), items) => queue.put_many_timeout(items, patience),
            (_, None, ..) => Ok(()),
        }
    }

    fn get(&self, batch: usize, patience: Option<Duration>) -> Result<Vec<Item>, QueueError> {
        match (self, self.full(), patience, batch) {
            (Line::Simple(queue), ..) => queue.get().map(|item| vec![item]),
            (_, Some(queue), None, 1) => queue.get().map(|item| vec![item]),
            (_, Some(queue), Some(patience), 1) => {
                queue.get_timeout(patience).map(|item| vec![item])
            }
            (_, Some(queue), None, batch) => queue.get_many(batch),
            (_, Some(queue), Some(patience), batch) => queue.get_many_timeout(batch, patience),
            (_, None, ..) => Ok(Vec::new()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Line::Simple(queue) => queue.is_empty(),
            Line::Plain(queue) => queue.is_empty(),
            Line::Joinable(queue) => queue.is_empty(),
        }
    }

    /// What there is, for one who gets alone.
    fn get_alone(&self, limit: Duration) -> Result<Option<Item>, QueueError> {
        match self.full() {
            None if self.is_empty() => {
                std::thread::sleep(limit);
                Ok(None)
            }
            None => self.get(1, None).map(|mut items| items.pop()),
            Some(queue) => match queue.get_timeout(limit) {
                Ok(item) => Ok(Some(item)),
                Err(QueueError::Empty) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    fn task_done(&self) -> Result<(), QueueError> {
        match self {
            Line::Joinable(queue) => queue.task_done(),
            _ => Ok(()),
        }
    }
}

/// What is written down beside the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Ledger {
    deliveries: Deliveries,
    /// How many items each producer has begun to put, and how many were put for certain.
    begun: Notes,
    put: Notes,
}

impl Ledger {
    fn note_got(&self, getter: usize, item: &Item) {
        if !item.is_end() {
            self.deliveries.note(getter, item.producer, item.number, item.is_whole());
        }
    }

    fn was_put(&self, producer: usize, number: usize) -> Put {
        let number = number as u64;
        if number < self.put.get(producer) {
            Put::Yes
        } else if number < self.begun.get(producer) {
            Put::Perhaps
        } else {
            Put::No
        }
    }
}

const WORDS: Words = Words { thing: "item", giver: "producer", getter: "consumer" };

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Puts(Putting),
    Gets(Getting),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Putting {
    queue: Line,
    ledger: Ledger,
    place: usize,
    producer: Producer,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Getting {
    queue: Line,
    ledger: Ledger,
    place: usize,
    consumer: Consumer,
}

impl Part {
    pub(crate) fn play(self, stage: &mut Stage) -> mp::Result<Told> {
        match self {
            Part::Puts(part) => part.play(stage)?,
            Part::Gets(part) => part.play(stage)?,
        }
        Ok(Told::Nothing)
    }
}

impl Putting {
    fn play(self, stage: &mut Stage) -> mp::Result<()> {
        let Putting { queue, ledger, place, producer } = self;
        let mut number = 0;
        for step in producer.steps {
            stage.step()?;
            let sizes = if step.at_once { vec![step.items] } else { vec![1; step.items] };
            for size in sizes {
                let items: Vec<_> =
                    (number..number + size).map(|n| Item::new(place, n, step.bytes)).collect();
                ledger.begun.set(place, (number + size) as u64);
                let put = match queue.put(&items, step.patience_ms.map(Duration::from_millis)) {
                    Ok(()) => size,
                    Err(QueueError::Partial { put, source })
                        if matches!(*source, QueueError::Full) || stage.excuses(&*source) =>
                    {
                        put
                    }
                    Err(QueueError::Full) if step.patience_ms.is_some() => 0,
                    Err(error) if stage.excuses(&error) => 0,
                    Err(error) => return Err(mp::Error::from(error).context("a put")),
                };
                number += put;
                ledger.put.set(place, number as u64);
                ledger.begun.set(place, number as u64);
            }
            pause(step.pause_us);
        }
        Ok(())
    }
}

impl Getting {
    fn play(self, stage: &mut Stage) -> mp::Result<()> {
        let Getting { queue, ledger, place, consumer } = self;
        let patience = consumer.patience_ms.map(Duration::from_millis);
        loop {
            stage.step()?;
            ledger.deliveries.reaches_out(place);
            let items = match queue.get(consumer.batch, patience) {
                Ok(items) => items,
                Err(QueueError::Empty) if patience.is_some() => Vec::new(),
                Err(error) if stage.excuses(&error) => Vec::new(),
                Err(error) => return Err(mp::Error::from(error).context("a get")),
            };
            for item in &items {
                if !item.is_end() && stage.spoils(Sabotage::LoseItem) {
                    continue;
                }
                ledger.note_got(place, item);
                if !item.is_end() && stage.spoils(Sabotage::RepeatItem) {
                    ledger.note_got(place, item);
                }
            }
            ledger.deliveries.has_noted_all(place);
            for _ in &items {
                queue.task_done()?;
            }
            if items.iter().any(Item::is_end) {
                return Ok(());
            }
            pause(consumer.pause_us);
        }
    }
}

/// How long consumers have to take what lies in the queue: more than any of them is stopped.
const ENOUGH: Duration = Duration::from_secs(10);

pub(crate) struct Queuing {
    script: Script,
    queue: Line,
    ledger: Ledger,
}

impl Queuing {
    fn producers(&self) -> impl Iterator<Item = usize> {
        self.script.producers.iter().map(|producer| producer.actor)
    }

    fn consumers(&self) -> impl Iterator<Item = usize> {
        self.script.consumers.iter().map(|consumer| consumer.actor)
    }

    /// Gets an item as the last of the consumers; whether there was one.
    fn get_alone(&self, limit: Duration) -> mp::Result<bool> {
        let Some(item) = self.queue.get_alone(limit)? else { return Ok(false) };
        self.ledger.note_got(self.ledger.deliveries.director(), &item);
        self.queue.task_done()?;
        Ok(true)
    }
}

impl Playing for Queuing {
    fn attend(&mut self, company: &Company, problems: &mut Vec<String>) -> mp::Result<()> {
        while !company.have_ended(self.producers()) {
            if company.have_ended(self.consumers()) {
                // Somebody has to, for producers may wait for room.
                self.get_alone(Duration::from_millis(2))?;
            } else {
                let everybody = self.producers().chain(self.consumers());
                company.wait_for_one(everybody, Duration::from_millis(200));
            }
        }
        let deadline = Instant::now() + ENOUGH;
        while !self.queue.is_empty() && !company.have_ended(self.consumers()) {
            if Instant::now() > deadline {
                problems.push("items lie in a queue, and its consumers sleep".to_owned());
                company.kill(self.consumers());
                return Ok(());
            }
            // Nobody is told that a queue has become empty.
            std::thread::sleep(Duration::from_millis(1));
        }
        while !company.have_ended(self.consumers()) {
            if self.queue.is_empty() {
                self.queue.put(&[Item::end()], None)?;
            }
            company.wait_for_one(self.consumers(), Duration::from_millis(1));
        }
        Ok(())
    }

    fn check(
        &mut self,
        company: &Company,
        _: &[Struck],
        problems: &mut Vec<String>,
    ) -> mp::Result<()> {
        while self.get_alone(Duration::ZERO)? {}
        let ledger = &self.ledger;
        let had_some = |(place, consumer): &(usize, &Consumer)| {
            company.was_killed(consumer.actor) && ledger.deliveries.may_have_some(*place)
        };
        let consumers = self.script.consumers.iter().enumerate();
        let may_be_lost = consumers.filter(had_some).map(|(_, consumer)| consumer.batch as u64);
        let was_put = |producer, number| ledger.was_put(producer, number);
        ledger.deliveries.check(may_be_lost.sum(), was_put, WORDS, problems);
        for (place, producer) in self.script.producers.iter().enumerate() {
            if ledger.put.get(place) != ledger.begun.get(place)
                && !company.was_killed(producer.actor)
                && matches!(company.end(producer.actor), End::Well(_))
            {
                problems.push(format!("producer {place} ended in the middle of a put"));
            }
        }
        self.check_tasks(company, problems)
    }
}

impl Queuing {
    /// The count of a queue that can be joined is that of the items that nobody has reported as done.
    fn check_tasks(&self, company: &Company, problems: &mut Vec<String>) -> mp::Result<()> {
        let Line::Joinable(queue) = &self.queue else { return Ok(()) };
        let mut left = 0_u64;
        while queue.task_done().is_ok() {
            left += 1;
        }
        // One who was killed had got up to a batch of items that it has not reported.
        let victims = self.script.consumers.iter().filter(|c| company.was_killed(c.actor));
        let most: u64 = victims.map(|consumer| consumer.batch as u64).sum();
        if left > most {
            problems.push(format!("{left} tasks of a queue are left, at most {most} can be"));
        }
        if !queue.join_timeout(Duration::from_secs(1))? {
            problems.push("a queue without tasks cannot be joined".to_owned());
        }
        Ok(())
    }
}
