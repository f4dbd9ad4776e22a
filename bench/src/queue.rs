//! Queues: messages from one process to another, and to and fro.
//!
//! What is timed ends when the receiver has checked the last message. Both processes have a core of their own, but
//! for a ping-pong on one core.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bare::{self, Ring};
use crate::duet::{Duet, Part, Parts, Players};
use crate::pair::{Measured, Pairs, time};
use crate::peers::{self, Iceoryx, IpcChannel};
use crate::python::{self, Against, Peer};
use crate::stream::{Blocks, Numbers, Streaming, check_sum};
use crate::sync::{self, CALLS};

const WARM_UP: usize = 1;
const ROUNDS: usize = 11;
const PING_PONG_ROUNDS: usize = 31;

/// How many messages take some tenths of a second.
const NUMBERS: u32 = 2000 * CALLS;
const SLOW_NUMBERS: u32 = 200 * CALLS;
const PYTHON_NUMBERS: u32 = 100 * CALLS;
/// How many items go at once.
const PORTION: usize = 100;
const KIB: usize = 1 << 10;
const KIB_BLOCKS: u32 = 500_000;
const SLOW_KIB_BLOCKS: u32 = 100_000;
const MIB: usize = 1 << 20;
const MIB_BLOCKS: u32 = 1000;
const PYTHON_MIB_BLOCKS: u32 = 200;
const PING_PONGS: u32 = 100_000;
const PYTHON_PING_PONGS: u32 = 3000;
/// How long a consumer waits for an item.
const IDLE: Duration = Duration::from_secs(3);
const IDLE_ROUNDS: usize = 3;
/// The time of which the processor time of a consumer is shown as a share.
pub(crate) const SECOND: Duration = Duration::from_secs(1);
const PYTHON: Against = Against { script: "queues.py", warm_up: WARM_UP, rounds: ROUNDS };

impl Numbers for mp::Queue<u64> {
    fn sender(self) -> mp::Result<impl FnMut(u64) -> mp::Result<()> + 'static> {
        Ok(move |number| Ok(self.put(&number)?))
    }

    fn receiver(self) -> mp::Result<impl FnMut() -> mp::Result<u64> + 'static> {
        Ok(move || Ok(self.get()?))
    }
}

impl Blocks for mp::Queue<u64> {
    fn sender(self) -> mp::Result<impl FnMut(&[u8]) -> mp::Result<()> + 'static> {
        Ok(move |block: &[u8]| Ok(self.put_bytes(block)?))
    }

    fn receiver(self) -> mp::Result<impl FnMut(&mut Vec<u8>) -> mp::Result<()> + 'static> {
        Ok(move |block: &mut Vec<u8>| Ok(self.get_bytes(block)?))
    }
}

impl Blocks for Ring {
    fn sender(self) -> mp::Result<impl FnMut(&[u8]) -> mp::Result<()> + 'static> {
        let mut round = 0;
        Ok(move |block: &[u8]| {
            self.put(round, block);
            round += 1;
            Ok(())
        })
    }

    fn receiver(self) -> mp::Result<impl FnMut(&mut Vec<u8>) -> mp::Result<()> + 'static> {
        let mut round = 0;
        Ok(move |block: &mut Vec<u8>| {
            self.get(round, block);
            round += 1;
            Ok(())
        })
    }
}

fn our_numbers() -> mp::Result<Streaming> {
    Streaming::numbers(mp::Queue::new()?, NUMBERS, CALLS)
}

fn our_blocks(messages: u32, len: usize) -> mp::Result<Streaming> {
    Streaming::blocks(mp::Queue::new()?, messages, len)
}

fn between(mut ours: Streaming, mut other: Streaming) -> mp::Result<Measured> {
    Pairs::measure(WARM_UP, ROUNDS, || ours.measure(), || other.measure())
}

pub(crate) fn u64_python() -> mp::Result<Measured> {
    let mut ours = our_numbers()?;
    PYTHON.measure("numbers", PYTHON_NUMBERS, PYTHON_NUMBERS / CALLS, || ours.measure())
}

pub(crate) fn u64_ipc_channel() -> mp::Result<Measured> {
    between(our_numbers()?, Streaming::numbers(IpcChannel::new()?, SLOW_NUMBERS, CALLS)?)
}

pub(crate) fn u64_iceoryx2() -> mp::Result<Measured> {
    let other = Streaming::numbers(Iceoryx::new()?, SLOW_NUMBERS, CALLS)?;
    let measured = between(our_numbers()?, other);
    peers::clean_iceoryx_up()?;
    measured
}

/// Two threads, of which the one encodes as we do and the other decodes.
pub(crate) fn u64_crossbeam() -> mp::Result<Measured> {
    let mut ours = our_numbers()?;
    let other = || Ok(time(between_threads)? / (NUMBERS / CALLS));
    Pairs::measure(WARM_UP, ROUNDS, || ours.measure(), other)
}

fn between_threads() -> mp::Result<()> {
    let (sender, receiver) = crossbeam_channel::unbounded::<Vec<u8>>();
    let messages = u64::from(NUMBERS);
    let send = move || {
        bare::bind_thread(0)?;
        (0..messages).try_for_each(|number| Ok(sender.send(rmp_serde::to_vec(&number)?)?))
    };
    let receive = move || {
        bare::bind_thread(1)?;
        let mut sum = 0;
        for _ in 0..messages {
            sum += rmp_serde::from_slice::<u64>(&receiver.recv()?)?;
        }
        check_sum(sum, messages)
    };
    thread::scope(|scope| {
        let threads: [thread::ScopedJoinHandle<'_, mp::Result<()>>; 2] =
            [scope.spawn(send), scope.spawn(receive)];
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => mp::bail!("a thread has panicked"),
        })
    })
}

/// Numbers that go some at once.
#[derive(Clone, Serialize, Deserialize)]
struct InPortions(mp::Queue<u64>);

impl Parts for InPortions {
    fn part(self, side: usize) -> mp::Result<Part> {
        let (queue, messages) = (self.0, u64::from(NUMBERS));
        let mut portion: Vec<u64> = Vec::new();
        if side == 0 {
            return Ok(Box::new(move || {
                for first in (0..messages).step_by(PORTION) {
                    portion.clear();
                    portion.extend(first..first + PORTION as u64);
                    queue.put_many(&portion)?;
                }
                Ok(())
            }));
        }
        Ok(Box::new(move || {
            let (mut sum, mut left) = (0, messages);
            while left > 0 {
                let portion = queue.get_many(PORTION)?;
                sum += portion.iter().sum::<u64>();
                left -= portion.len() as u64;
            }
            check_sum(sum, messages)
        }))
    }
}

/// From process to process, against what is put and got one by one.
pub(crate) fn many() -> mp::Result<Measured> {
    let ours = Streaming::of(&InPortions(mp::Queue::new()?), NUMBERS / CALLS)?;
    between(ours, our_numbers()?)
}

/// Within one process, so that only putting counts, against single puts.
pub(crate) fn put_many() -> mp::Result<Measured> {
    let (queue, items) = (mp::Queue::new()?, (0..CALLS.into()).collect::<Vec<u64>>());
    let one_by_one = || items.iter().try_for_each(|item| Ok(queue.put(item)?));
    let portions = || items.chunks(PORTION).try_for_each(|portion| Ok(queue.put_many(portion)?));
    let measure = |put: &dyn Fn() -> mp::Result<()>| {
        let elapsed = time(put)?;
        check_sum(queue.get_many(items.len())?.iter().sum(), items.len() as u64)?;
        Ok(elapsed)
    };
    Pairs::measure(100, 1000, || measure(&portions), || measure(&one_by_one))
}

/// Within one process, so that only getting counts, against single gets.
pub(crate) fn get_many() -> mp::Result<Measured> {
    let (queue, items) = (mp::Queue::new()?, (0..CALLS.into()).collect::<Vec<u64>>());
    let one_by_one = || (0..CALLS).try_fold(0, |sum, _| Ok(sum + queue.get()?));
    let portions = || {
        (0..CALLS as usize / PORTION)
            .try_fold(0, |sum, _| Ok(sum + queue.get_many(PORTION)?.iter().sum::<u64>()))
    };
    let measure = |get: &dyn Fn() -> mp::Result<u64>| {
        queue.put_many(&items)?;
        time(|| check_sum(get()?, items.len() as u64))
    };
    Pairs::measure(100, 1000, || measure(&portions), || measure(&one_by_one))
}

pub(crate) fn kib_ipc_channel() -> mp::Result<Measured> {
    let other = Streaming::blocks(IpcChannel::new()?, SLOW_KIB_BLOCKS, KIB)?;
    between(our_blocks(KIB_BLOCKS, KIB)?, other)
}

pub(crate) fn mib_bare_ring() -> mp::Result<Measured> {
    let other = Streaming::blocks(Ring::new(MIB)?, MIB_BLOCKS, MIB)?;
    between(our_blocks(MIB_BLOCKS, MIB)?, other)
}

pub(crate) fn mib_python() -> mp::Result<Measured> {
    let mut ours = our_blocks(MIB_BLOCKS, MIB)?;
    let request = "blocks";
    PYTHON.measure(request, PYTHON_MIB_BLOCKS, PYTHON_MIB_BLOCKS, || ours.measure())
}

/// A number goes there and comes back one higher.
#[derive(Clone, Serialize, Deserialize)]
struct PingPong<W> {
    way: W,
    rounds: u32,
}

impl Duet for PingPong<[mp::SimpleQueue<u64>; 2]> {
    fn play(&self, side: usize) -> mp::Result<()> {
        let [there, back] = &self.way;
        for round in 0..u64::from(self.rounds) {
            if side == 0 {
                there.put(&round)?;
                let answer = back.get()?;
                mp::ensure!(answer == round + 1, "{answer} came back for {round}");
            } else {
                back.put(&(there.get()? + 1))?;
            }
        }
        Ok(())
    }
}

impl Duet for PingPong<bare::Numbers> {
    fn play(&self, side: usize) -> mp::Result<()> {
        for round in 1..=self.rounds {
            if side == 0 {
                self.way.set(0, round);
                self.way.wait_for(1, round);
            } else {
                self.way.wait_for(0, round);
                self.way.set(1, round);
            }
        }
        Ok(())
    }
}

fn our_ping_pong(rounds: u32) -> mp::Result<PingPong<[mp::SimpleQueue<u64>; 2]>> {
    Ok(PingPong { way: [mp::SimpleQueue::new()?, mp::SimpleQueue::new()?], rounds })
}

pub(crate) fn ping_pong_bare() -> mp::Result<Measured> {
    let mut ours = Players::start(&our_ping_pong(PING_PONGS)?)?;
    let other = PingPong { way: bare::Numbers::new()?, rounds: PING_PONGS };
    let mut other = Players::start(&other)?;
    let measure = |players: &mut Players| Ok(players.play()? / PING_PONGS);
    Pairs::measure(WARM_UP, PING_PONG_ROUNDS, || measure(&mut ours), || measure(&mut other))
}

pub(crate) fn ping_pong_python() -> mp::Result<Measured> {
    let mut ours = Players::start(&our_ping_pong(PING_PONGS)?)?;
    let ours = || Ok(ours.play()? / PING_PONGS);
    PYTHON.measure("ping_pong", PYTHON_PING_PONGS, PYTHON_PING_PONGS, ours)
}

pub(crate) fn ping_pong_one_core() -> mp::Result<Measured> {
    sync::on_one_core(&our_ping_pong(sync::PING_PONGS)?)
}

/// The processor time that a process takes in a second in which it waits for an item.
pub(crate) fn idle() -> mp::Result<Measured> {
    let Some(python) = python::plain() else {
        return Ok(Measured::Skipped("python3 not installed".to_owned()));
    };
    let mut peer = Peer::start(&python, "queues.py")?;
    let request = format!("idle {}", IDLE.as_secs());
    let per_second = |time: Duration| time.div_f64(IDLE.as_secs_f64());
    let other = || peer.ask(&request).map(per_second);
    Pairs::measure(0, IDLE_ROUNDS, || wait_idly().map(per_second), other)
}

fn wait_idly() -> mp::Result<Duration> {
    let (items, ready) = (mp::Queue::new()?, mp::Queue::new()?);
    let process = mp::Process::start(wait_for_an_item, (items.clone(), ready.clone()))?;
    ready.get()?;
    thread::sleep(IDLE);
    items.put(&7)?;
    Ok(*process.result()?)
}

fn wait_for_an_item(items: mp::Queue<u64>, ready: mp::Queue<()>) -> mp::Result<Duration> {
    ready.put(&())?;
    let before = bare::cpu_time()?;
    let item = items.get()?;
    mp::ensure!(item == 7, "{item} was never put");
    Ok(bare::cpu_time()? - before)
}
