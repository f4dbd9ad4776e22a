//! Signals neither end a wait nor stretch it, and a call that gives up in time loses nothing.
#![expect(unsafe_code, reason = "a handler is installed and a timer set")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use mp::{JoinableQueue, Queue, QueueError};
use mp_testing::limits::{LONG, comes_true, ends_in_time};
use mp_testing::peer::{Link, Peer, WAYS, disturb};
use mp_testing::roles;
use mp_testing::storm::Dice;

mp::enable_test_support!();

roles!(gets_among_signals, puts_among_signals, joins_among_signals, times_out_among_signals);

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Counts a signal, without restarting the call of the system that it interrupts.
fn handle(signal: libc::c_int) {
    let handler = count as extern "C" fn(libc::c_int) as *const () as libc::sighandler_t;
    // SAFETY: all zero is an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the handler only touches an atomic.
    let rc = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(rc, 0);
}

/// Interrupts this process every so many microseconds; never again for 0.
fn interrupt_every(micros: libc::suseconds_t) {
    handle(libc::SIGALRM);
    let period = libc::timeval { tv_sec: 0, tv_usec: micros };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: reads one `itimerval`.
    let rc = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(rc, 0);
}

/// Says that it waits, waits, and says how many signals it got meanwhile.
fn wait_among_signals(link: &mut Link, wait: impl FnOnce() -> mp::Result<()>) -> mp::Result<()> {
    handle(libc::SIGUSR1);
    link.say_waiting();
    wait()?;
    link.say(HANDLED.load(Ordering::Relaxed));
    Ok(())
}

fn gets_among_signals(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || {
        mp::ensure!(queue.get()? == 1);
        mp::ensure!(queue.get_timeout(LONG)? == 2);
        Ok(())
    })
}

fn puts_among_signals(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(queue.put(&2)?))
}

fn joins_among_signals(queue: JoinableQueue<u64>, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(queue.join()?))
}

#[test]
fn signals_end_no_wait_for_an_item_or_for_room_or_for_the_end_of_the_work() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        disturb(Peer::start(way, gets_among_signals, &queue), || {
            queue.put_many(&[1, 2]).unwrap();
        });
        let queue = Queue::bounded(1).unwrap();
        queue.put(&1).unwrap();
        disturb(Peer::start(way, puts_among_signals, &queue), || {
            queue.get().unwrap();
        });
        let queue = JoinableQueue::new().unwrap();
        queue.put(&1).unwrap();
        disturb(Peer::start(way, joins_among_signals, &queue), || queue.task_done().unwrap());
    }
}

/// Lets every timed call of a queue that is full and of one that is empty run out of time, and says how long each took,
/// in microseconds.
fn times_out_among_signals(
    (full, empty): (Queue<u64>, Queue<u64>),
    link: &mut Link,
) -> mp::Result<()> {
    let joinable = JoinableQueue::<u64>::from_token(&full.token()?)?;
    let limit = Duration::from_micros(link.hear()?.parse()?);
    let mut bytes = Vec::new();
    interrupt_every(700);
    let mut took = |call: &mut dyn FnMut() -> bool| {
        let begun = Instant::now();
        mp::ensure!(call(), "it ended without what it waited for");
        link.say(begun.elapsed().as_micros());
        Ok(())
    };
    let is_empty = |got: Result<(), QueueError>| matches!(got, Err(QueueError::Empty));
    let is_full = |put| matches!(put, Err(QueueError::Full));
    took(&mut || is_empty(empty.get_timeout(limit).map(drop)))?;
    took(&mut || is_empty(empty.get_many_timeout(2, limit).map(drop)))?;
    took(&mut || is_empty(empty.get_bytes_timeout(&mut bytes, limit)))?;
    took(&mut || is_full(full.put_timeout(&1, limit)))?;
    took(&mut || is_full(full.put_many_timeout(&[1, 2], limit)))?;
    took(&mut || is_full(full.put_bytes_timeout(&[1], limit)))?;
    took(&mut || joinable.join_timeout(limit).is_ok_and(|is_joined| !is_joined))?;
    interrupt_every(0);
    mp::ensure!(HANDLED.load(Ordering::Relaxed) > 10, "no signals");
    Ok(())
}

#[test]
fn q_03_q_06_signals_do_not_stretch_a_timed_call_or_end_it_early() {
    const LIMIT: Duration = Duration::from_millis(150);
    for way in WAYS {
        let queues = (Queue::bounded(1).unwrap(), Queue::new().unwrap());
        queues.0.put(&5).unwrap();
        let mut other = Peer::start(way, times_out_among_signals, &queues);
        other.say(LIMIT.as_micros());
        for _ in 0..7 {
            let took = Duration::from_micros(other.hear().parse().unwrap());
            assert!(took >= LIMIT, "{took:?} is too early");
            // If each signal began the wait anew it would never end; this is for a machine that is busy.
            assert!(took < LIMIT + Duration::from_secs(20), "{took:?} is too late");
        }
        other.end();
        assert_eq!((queues.0.qsize(), queues.1.qsize()), (1, 0));
    }
}

/// Puts all numbers below `count` with calls that give up soon, each until it succeeds; how often one gave up.
fn puts_with_little_time(queue: Queue<u64>, count: u64, is_disturbed: bool) -> mp::Result<u64> {
    let mut dice = Dice::with_seed(std::process::id().into());
    let mut given_up = 0;
    if is_disturbed {
        interrupt_every(150);
    }
    let mut next = 0;
    while next < count {
        let limit = Duration::from_micros(dice.below(200));
        // Some at once, the others one by one.
        let outcome = if dice.below(3) == 0 {
            let items: Vec<_> = (next..count.min(next + 1 + dice.below(5))).collect();
            match queue.put_many_timeout(&items, limit) {
                Err(QueueError::Partial { put, source }) if matches!(*source, QueueError::Full) => {
                    next += put as u64;
                    Err(QueueError::Full)
                }
                outcome => outcome.inspect(|()| next += items.len() as u64),
            }
        } else {
            queue.put_timeout(&next, limit).inspect(|()| next += 1)
        };
        match outcome {
            Ok(()) => {}
            Err(QueueError::Full) => given_up += 1,
            Err(error) => mp::bail!("{error:?}"),
        }
    }
    interrupt_every(0);
    Ok(given_up)
}

/// Gets items with calls that give up soon, until one is the end; the items, and how often a call gave up.
fn gets_with_little_time(queue: Queue<u64>, is_disturbed: bool) -> mp::Result<(Vec<u64>, u64)> {
    let mut dice = Dice::with_seed(std::process::id().into());
    let (mut got, mut given_up) = (Vec::new(), 0);
    if is_disturbed {
        interrupt_every(130);
    }
    while got.last() != Some(&u64::MAX) {
        let limit = Duration::from_micros(dice.below(200));
        let outcome = if dice.below(3) == 0 {
            // The end comes alone, for it is put when all else is gone.
            queue.get_many_timeout(1 + usize::try_from(dice.below(4))?, limit)
        } else {
            queue.get_timeout(limit).map(|item| vec![item])
        };
        match outcome {
            Ok(items) => got.extend(items),
            Err(QueueError::Empty) => given_up += 1,
            Err(error) => mp::bail!("{error:?}"),
        }
    }
    interrupt_every(0);
    got.pop();
    Ok((got, given_up))
}

#[test]
fn q_32_calls_that_run_out_of_time_lose_nothing_and_put_nothing_twice() {
    const COUNT: u64 = 15_000;
    for (maxsize, is_disturbed) in [(1, false), (3, true), (1, true)] {
        let queue = Queue::bounded(maxsize).unwrap();
        let producers: Vec<_> = (0..2)
            .map(|_| {
                let arguments = (queue.clone(), COUNT, is_disturbed);
                mp::Process::start(puts_with_little_time, arguments).unwrap()
            })
            .collect();
        let consumers: Vec<_> = (0..2)
            .map(|_| {
                let arguments = (queue.clone(), is_disturbed);
                mp::Process::start(gets_with_little_time, arguments).unwrap()
            })
            .collect();
        let mut full = 0;
        for producer in producers {
            ends_in_time(&producer);
            full += producer.into_result().unwrap();
        }
        // Each consumer gets its own end, for it gets nothing after that.
        let (mut all, mut empty) = (Vec::new(), 0);
        (0..2).for_each(|_| {
            assert!(comes_true(|| queue.is_empty()));
            queue.put_timeout(&u64::MAX, LONG).unwrap();
        });
        for consumer in consumers {
            ends_in_time(&consumer);
            let (got, given_up) = consumer.into_result().unwrap();
            empty += given_up;
            all.extend(got);
        }
        eprintln!("maxsize {maxsize}: {full} times full, {empty} times empty");
        assert!(full > 0 && empty > 0, "nobody ran out of time");
        all.sort_unstable();
        assert!(all.iter().copied().eq((0..COUNT).flat_map(|n| [n, n])), "{} items", all.len());
        assert!(queue.is_empty() && queue.qsize() == 0);
    }
}
