//! What was put is there, however its producer ends, and nobody who ends waits for a reader.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{Queue, QueueError};
use mp_testing::limits::{LONG, at_once};
use mp_testing::peer::{Link, Peer, WAYS, Way};
use mp_testing::roles;
use mp_testing::system::{ends_within, raise};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

roles!(puts_and_ends, leaves_items_behind, makes_and_puts);

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum End {
    Return,
    Error,
    Panic,
    Exit,
    ExitInThread,
    Abort,
    Kill,
}

const ENDS: [End; 7] =
    [End::Return, End::Error, End::Panic, End::Exit, End::ExitInThread, End::Abort, End::Kill];

impl End {
    fn come(self) -> mp::Result<()> {
        match self {
            End::Return => {}
            End::Error => mp::bail!("as it was told to"),
            End::Panic => panic!("as it was told to"),
            End::Exit => std::process::exit(3),
            End::ExitInThread => drop(std::thread::spawn(|| std::process::exit(3)).join()),
            End::Abort => std::process::abort(),
            End::Kill => raise(Signal::KILL),
        }
        Ok(())
    }
}

/// The bytes of an item, which tell its number.
fn item(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(number % 251).unwrap(); len];
    let head = (number as u64).to_le_bytes();
    let head_len = len.min(head.len());
    bytes[..head_len].copy_from_slice(&head[..head_len]);
    bytes
}

/// What a producer is to do: so many items of such a length, and then its end.
#[derive(Serialize, Deserialize)]
struct Order {
    count: usize,
    len: usize,
    end: End,
}

fn puts_and_ends(queue: Queue<()>, link: &mut Link) -> mp::Result<()> {
    let text = link.hear()?;
    let Order { count, len, end } = serde_json::from_str(&text)?;
    for number in 0..count {
        queue.put_bytes(&item(number, len))?;
    }
    end.come()
}

/// Takes all items, and sees that they are whole and in order, and that no more are there.
fn take_all(queue: &Queue<()>, count: usize, len: usize) {
    let mut bytes = Vec::new();
    for number in 0..count {
        queue.get_bytes_timeout(&mut bytes, LONG).unwrap();
        assert!(bytes == item(number, len), "item {number} of {len} bytes");
    }
    assert!(matches!(queue.get_bytes_nowait(&mut bytes), Err(QueueError::Empty)));
}

fn start_producer(way: Way, queue: &Queue<()>, count: usize, len: usize, end: End) -> Peer {
    let mut producer = Peer::start(way, puts_and_ends, queue);
    producer.say(serde_json::to_string(&Order { count, len, end }).unwrap());
    producer
}

#[test]
fn q_15_q_18_q_21_nothing_is_lost_whichever_way_the_producer_ends() {
    for way in WAYS {
        for end in ENDS {
            for (count, len) in [(1, 8), (5000, 8), (3, 300_000)] {
                let queue = Queue::new().unwrap();
                start_producer(way, &queue, count, len, end).end_somehow();
                assert_eq!(queue.qsize(), count, "{end:?}");
                take_all(&queue, count, len);
            }
        }
    }
}

#[test]
fn q_18_nothing_is_lost_of_a_hundred_thousand_items_put_by_one_who_ends_at_once() {
    for (way, end) in
        [(Way::Argument, End::Exit), (Way::Token, End::Kill), (Way::Program, End::Abort)]
    {
        let queue = Queue::new().unwrap();
        start_producer(way, &queue, 100_000, 8, end).end_somehow();
        assert_eq!(queue.qsize(), 100_000);
        take_all(&queue, 100_000, 8);
    }
}

#[test]
fn q_18_nothing_is_lost_of_large_items_without_a_reader_and_with_one() {
    for end in [End::Exit, End::Kill] {
        for has_reader in [false, true] {
            let queue = Queue::new().unwrap();
            let producer = start_producer(Way::Argument, &queue, 30, 3 << 20, end);
            if has_reader {
                take_all(&queue, 30, 3 << 20);
                producer.end_somehow();
            } else {
                producer.end_somehow();
                take_all(&queue, 30, 3 << 20);
            }
        }
    }
}

#[test]
fn q_18_nothing_is_lost_of_a_bounded_queue_while_there_is_a_reader() {
    for end in [End::Exit, End::Kill] {
        let queue = Queue::bounded(3).unwrap();
        let producer = start_producer(Way::Argument, &queue, 2000, 100, end);
        take_all(&queue, 2000, 100);
        producer.end_somehow();
    }
}

#[test]
fn q_18_nothing_is_lost_that_many_who_ended_put_one_after_the_other() {
    let queue = Queue::new().unwrap();
    for n in 0..40_u32 {
        let child = |queue: Queue<u32>, n: u32| {
            queue.put(&n)?;
            ENDS[n as usize % ENDS.len()].come()
        };
        let p = mp::Process::start(child, (queue.clone(), n)).unwrap();
        assert!(ends_within(p.pid(), LONG).unwrap());
        let _outcome = p.join();
    }
    for n in 0..40 {
        assert_eq!(queue.get_nowait().unwrap(), n);
    }
}

/// Makes queues, puts into them what nobody gets, and ends.
fn leaves_items_behind((): (), link: &mut Link) -> mp::Result<()> {
    let (queue, limited) = (Queue::<()>::new()?, Queue::<()>::bounded(10)?);
    for queue in [&queue, &limited] {
        (0..10).try_for_each(|n| queue.put_bytes(&item(n, 1 << 20)))?;
    }
    link.say("put");
    Ok(())
}

#[test]
fn q_19_a_process_that_made_a_queue_ends_at_once_whatever_is_in_it() {
    for way in WAYS {
        let mut maker = Peer::start(way, leaves_items_behind, &());
        maker.expect("put");
        at_once(|| maker.end());
    }
}

#[test]
fn q_19_a_child_that_waits_for_more_does_not_delay_the_end_of_the_maker_for_ever() {
    // The maker has a daemon that waits at the queue: it goes with the maker.
    let maker = || {
        let queue = Queue::<()>::new()?;
        queue.put_bytes(&item(0, 1 << 20))?;
        let child = |queue: Queue<()>| {
            let mut bytes = Vec::new();
            loop {
                queue.get_bytes(&mut bytes)?;
                if bytes.is_empty() {
                    return Ok(());
                }
            }
        };
        mp::Process::builder(child, (queue.clone(),)).daemon(true).start()?;
        Ok(())
    };
    let p = mp::Process::start(maker, ()).unwrap();
    assert!(ends_within(p.pid(), LONG).unwrap());
    p.join().unwrap();
}

/// Makes a queue, puts items, tells the token, and ends as it is told to.
fn makes_and_puts((): (), link: &mut Link) -> mp::Result<()> {
    let queue = Queue::<()>::new()?;
    (0..10).try_for_each(|n| queue.put_bytes(&item(n, 200_000)))?;
    link.say(queue.token()?);
    link.hear()?;
    std::process::exit(0)
}

#[test]
fn q_19_items_stay_with_those_who_have_handles_when_the_maker_ends() {
    for is_killed in [false, true] {
        let mut maker = Peer::start_program(makes_and_puts, "");
        let queue = Queue::<()>::from_token(&maker.hear()).unwrap();
        if is_killed {
            let _pid = maker.kill_9();
        } else {
            maker.say("end");
            maker.end();
        }
        take_all(&queue, 10, 200_000);
        queue.put_bytes(&item(0, 100)).unwrap();
        take_all(&queue, 1, 100);
    }
}
