//! Who waits at a queue is woken by what it waits for, and stands in nobody's way.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::mpsc;
use std::time::{Duration, Instant};

use mp::{JoinableQueue, Queue, QueueError};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;
use mp_testing::system::{is_asleep, is_stopped};
use rustix::process::Signal;
use rustix::thread::gettid;

mp::enable_test_support!();

roles!(
    gets_one,
    gets_on_demand,
    puts_one,
    puts_on_demand,
    drains_without_waiting,
    drains_with_no_time,
    puts_with_no_time,
);

/// A sleeper who has slept for a while looks for itself only after this.
const NEXT_LOOK: Duration = Duration::from_millis(128);

fn gets_one(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let item = queue.get()?;
    link.say(item);
    Ok(())
}

fn puts_one(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    queue.put(&7)?;
    link.say("put");
    Ok(())
}

fn gets_on_demand(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "get" {
        link.say_waiting();
        let item = queue.get()?;
        link.say(item);
    }
    Ok(())
}

fn puts_on_demand(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "put" {
        link.say_waiting();
        queue.put(&1)?;
        link.say("put");
    }
    Ok(())
}

fn stop(peer: &Peer) {
    peer.signal(Signal::STOP);
    assert!(comes_true(|| is_stopped(peer.pid())));
}

#[test]
fn q_23_items_are_got_while_another_process_waits_inside_get() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut waiting = Peer::start(way, gets_one, &queue);
        waiting.hear_that_it_sleeps();
        assert!(matches!(at_once(|| queue.get_nowait()), Err(QueueError::Empty)));
        stop(&waiting);
        for n in 0..1000 {
            queue.put(&n).unwrap();
            assert_eq!(queue.get_nowait().unwrap(), n);
            queue.put(&n).unwrap();
            assert_eq!(queue.get().unwrap(), n);
        }
        assert!(matches!(at_once(|| queue.get_nowait()), Err(QueueError::Empty)));
        queue.put(&9).unwrap();
        waiting.signal(Signal::CONT);
        waiting.expect("9");
        waiting.end();
    }
}

#[test]
fn q_23_a_stopped_process_keeps_no_wake_up_to_itself() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, gets_one, &queue)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        // Those who sleep are woken in the order in which they came.
        let mut stopped = waiting.remove(0);
        stop(&stopped);
        queue.put(&1).unwrap();
        queue.put(&2).unwrap();
        let mut got: Vec<_> = waiting.iter_mut().map(Peer::hear).collect();
        got.sort();
        assert_eq!(got, ["1", "2"]);
        waiting.into_iter().for_each(Peer::end);
        queue.put(&3).unwrap();
        stopped.signal(Signal::CONT);
        stopped.expect("3");
        stopped.end();
    }
}

#[test]
fn q_23_a_stopped_process_that_waits_for_room_keeps_nobody_from_putting() {
    for way in WAYS {
        let queue = Queue::bounded(1).unwrap();
        queue.put(&1).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, puts_one, &queue)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        let mut stopped = waiting.remove(0);
        stop(&stopped);
        assert_eq!(queue.get().unwrap(), 1);
        assert_eq!(queue.get_timeout(LONG).unwrap(), 7);
        assert_eq!(queue.get_timeout(LONG).unwrap(), 7);
        waiting.iter_mut().for_each(|peer| peer.expect("put"));
        waiting.into_iter().for_each(Peer::end);
        queue.put_nowait(&2).unwrap();
        stopped.signal(Signal::CONT);
        assert_eq!(queue.get().unwrap(), 2);
        assert_eq!(queue.get_timeout(LONG).unwrap(), 7);
        stopped.expect("put");
        stopped.end();
    }
}

/// Counts how often it was told that there is nothing while there was. Nobody puts anything meanwhile.
fn lies_while_draining(queue: &Queue<u64>, get: impl Fn() -> Result<u64, QueueError>) -> u64 {
    let mut lies = 0;
    loop {
        match get() {
            Ok(_) => {}
            Err(QueueError::Empty) if queue.is_empty() => return lies,
            Err(QueueError::Empty) => lies += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn drains_without_waiting(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    link.say("here");
    link.hear()?;
    link.say(lies_while_draining(&queue, || queue.get_nowait()));
    Ok(())
}

fn drains_with_no_time(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    link.say("here");
    link.hear()?;
    link.say(lies_while_draining(&queue, || queue.get_timeout(Duration::ZERO)));
    Ok(())
}

/// Has three processes do the same to a queue with items at once, none of whom may be told a lie.
fn three_hear_no_lies(start: impl Fn(&Queue<u64>) -> Peer) {
    let queue = Queue::new().unwrap();
    queue.put_many(&[1; 60_000]).unwrap();
    let mut peers: Vec<_> = (0..3).map(|_| start(&queue)).collect();
    peers.iter_mut().for_each(|peer| peer.expect("here"));
    peers.iter_mut().for_each(|peer| peer.say("go"));
    let lies: Vec<_> = peers.iter_mut().map(Peer::hear).collect();
    assert_eq!(lies, ["0", "0", "0"]);
    peers.into_iter().for_each(Peer::end);
}

#[test]
fn q_23_nobody_is_told_that_there_is_nothing_because_another_is_inside_get() {
    for way in WAYS {
        three_hear_no_lies(|queue| Peer::start(way, drains_without_waiting, queue));
    }
}

/// A timed call gave up when it found another process inside and its time over, whatever was in the queue.
#[test]
fn q_06_q_23_nobody_without_time_is_told_that_there_is_nothing_because_another_is_inside_get() {
    for way in WAYS {
        three_hear_no_lies(|queue| Peer::start(way, drains_with_no_time, queue));
    }
}

/// Counts how often it was told that a queue without a limit is full.
fn puts_with_no_time(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    link.say("here");
    link.hear()?;
    let mut lies = 0;
    for n in 0..30_000 {
        match queue.put_timeout(&n, Duration::ZERO) {
            Ok(()) => {}
            Err(QueueError::Full) => lies += 1,
            Err(error) => mp::bail!("{error:?}"),
        }
    }
    link.say(lies);
    Ok(())
}

/// As above, for a call that puts.
#[test]
fn q_03_nobody_is_told_that_a_queue_without_a_limit_is_full() {
    for way in WAYS {
        three_hear_no_lies(|queue| Peer::start(way, puts_with_no_time, queue));
    }
}

#[test]
fn q_26_a_consumer_that_is_killed_inside_get_takes_nothing_with_it() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, gets_one, &queue)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        let _pid = waiting.remove(0).kill_9();
        queue.put(&1).unwrap();
        queue.put(&2).unwrap();
        let mut got: Vec<_> = waiting.iter_mut().map(Peer::hear).collect();
        got.sort();
        assert_eq!(got, ["1", "2"]);
        waiting.into_iter().for_each(Peer::end);
        queue.put(&3).unwrap();
        assert_eq!(queue.get_nowait().unwrap(), 3);
        assert_eq!(queue.qsize(), 0);
    }
}

#[test]
fn q_26_a_producer_that_is_killed_while_it_waits_for_room_puts_nothing() {
    for way in WAYS {
        let queue = Queue::bounded(1).unwrap();
        queue.put(&1).unwrap();
        let mut waiting: Vec<_> = (0..2).map(|_| Peer::start(way, puts_one, &queue)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        let _pid = waiting.remove(0).kill_9();
        assert_eq!(queue.get().unwrap(), 1);
        assert_eq!(queue.get_timeout(LONG).unwrap(), 7);
        waiting.remove(0).end();
        assert!(matches!(queue.get_timeout(SHORT), Err(QueueError::Empty)));
        assert_eq!((queue.qsize(), queue.is_full()), (0, false));
    }
}

/// The median of how long it takes from `wake` until the one who waits has told that it was woken.
fn median_of_wake_ups(mut waiting: Peer, order: &str, mut wake: impl FnMut()) -> Duration {
    let mut times: Vec<_> = (0..7)
        .map(|_| {
            waiting.say(order);
            waiting.hear_that_it_sleeps();
            // Its looks have become rare by then, so that a wake-up is what wakes it.
            std::thread::sleep(2 * NEXT_LOOK);
            let begun = Instant::now();
            wake();
            waiting.hear();
            begun.elapsed()
        })
        .collect();
    waiting.say("end");
    waiting.end();
    times.sort();
    times[times.len() / 2]
}

#[test]
fn q_29_a_waiting_get_is_woken_by_a_put() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let waiting = Peer::start(way, gets_on_demand, &queue);
        let median = median_of_wake_ups(waiting, "get", || queue.put(&1).unwrap());
        assert!(median < NEXT_LOOK / 4, "{median:?}");
    }
}

#[test]
fn q_29_a_waiting_put_is_woken_by_a_get() {
    for way in WAYS {
        let queue = Queue::bounded(1).unwrap();
        queue.put(&1).unwrap();
        let waiting = Peer::start(way, puts_on_demand, &queue);
        let median = median_of_wake_ups(waiting, "put", || {
            queue.get().unwrap();
        });
        assert!(median < NEXT_LOOK / 4, "{median:?}");
    }
}

#[test]
fn q_29_many_items_wake_as_many_who_wait() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut waiting: Vec<_> = (0..4).map(|_| Peer::start(way, gets_one, &queue)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        queue.put_many(&[1, 2, 3, 4]).unwrap();
        let mut got: Vec<_> = waiting.iter_mut().map(Peer::hear).collect();
        got.sort();
        assert_eq!(got, ["1", "2", "3", "4"]);
        waiting.into_iter().for_each(Peer::end);
    }
}

#[test]
fn q_29_room_for_many_wakes_as_many_who_wait() {
    for way in WAYS {
        let queue = Queue::bounded(3).unwrap();
        queue.put_many(&[1, 2, 3]).unwrap();
        let mut waiting: Vec<_> = (0..3).map(|_| Peer::start(way, puts_one, &queue)).collect();
        waiting.iter_mut().for_each(Peer::hear_that_it_sleeps);
        assert_eq!(queue.get_many(3).unwrap(), [1, 2, 3]);
        waiting.iter_mut().for_each(|peer| peer.expect("put"));
        waiting.into_iter().for_each(Peer::end);
        assert_eq!((queue.qsize(), queue.is_full()), (3, true));
    }
}

#[test]
fn q_29_room_for_a_long_item_wakes_who_waits_for_that() {
    let queue = Queue::<()>::builder().max_bytes(1000).build().unwrap();
    (0..50).for_each(|_| queue.put_bytes(&[1; 12]).unwrap());
    std::thread::scope(|scope| {
        let long = scope.spawn(|| queue.put_bytes(&[2; 900]));
        let mut bytes = Vec::new();
        for _ in 0..50 {
            queue.get_bytes(&mut bytes).unwrap();
            assert_eq!(bytes, [1; 12]);
        }
        queue.get_bytes_timeout(&mut bytes, LONG).unwrap();
        assert_eq!(bytes, [2; 900]);
        long.join().unwrap().unwrap();
    });
}

/// A call that waits at a queue.
type Wait<Q> = fn(&Q) -> Result<(), QueueError>;

/// Has threads wait at a queue, closes it, and sees that they come back with the right error, and soon.
fn close_wakes<Q: Sync>(queue: &Q, close: impl Fn(&Q), waits: &[Wait<Q>]) {
    std::thread::scope(|scope| {
        let waiting: Vec<_> = waits
            .iter()
            .map(|wait| {
                let (told, heard) = mpsc::channel();
                let thread = scope.spawn(move || {
                    told.send(gettid().as_raw_nonzero().get().try_into().unwrap()).unwrap();
                    wait(queue)
                });
                let thread_id = heard.recv().unwrap();
                assert!(comes_true(|| is_asleep(std::process::id(), thread_id)));
                thread
            })
            .collect();
        close(queue);
        for thread in waiting {
            let outcome = thread.join().unwrap();
            assert!(matches!(outcome, Err(QueueError::Closed)), "{outcome:?}");
        }
    });
}

#[test]
fn q_14_close_wakes_the_threads_that_wait_inside_get() {
    let queue = Queue::<u64>::new().unwrap();
    close_wakes(
        &queue,
        Queue::close,
        &[
            |queue| queue.get().map(drop),
            |queue| queue.get_timeout(LONG * 10).map(drop),
            |queue| queue.get_many(3).map(drop),
            |queue| queue.get_bytes(&mut Vec::new()),
            |queue| queue.iter().next().map_or(Err(QueueError::Closed), |_| Ok(())),
        ],
    );
}

#[test]
fn q_14_close_wakes_the_threads_that_wait_inside_put() {
    let queue = Queue::<u64>::bounded(1).unwrap();
    queue.put(&1).unwrap();
    close_wakes(
        &queue,
        Queue::close,
        &[
            |queue| queue.put(&2),
            |queue| queue.put_timeout(&2, LONG * 10),
            |queue| queue.put_many(&[2, 3]),
            |queue| queue.put_bytes(&[1]),
        ],
    );
    assert_eq!(queue.qsize(), 1);
}

#[test]
fn q_14_close_wakes_the_threads_that_wait_inside_join() {
    let queue = JoinableQueue::<u64>::new().unwrap();
    queue.put(&1).unwrap();
    let close = |queue: &JoinableQueue<u64>| queue.close();
    close_wakes(
        &queue,
        close,
        &[
            |queue| queue.join(),
            |queue| queue.join_timeout(LONG * 10).map(drop),
            |queue| queue.join(),
        ],
    );
}

/// A joiner slept on for up to 128 ms, until its next look.
#[test]
fn q_14_close_wakes_a_thread_at_once_whatever_it_waits_in() {
    let times_of = |wait: Wait<JoinableQueue<u64>>, maxsize| {
        let mut times: Vec<_> = (0..7)
            .map(|_| {
                let queue = JoinableQueue::<u64>::bounded(maxsize).unwrap();
                (0..maxsize).for_each(|_| queue.put(&1).unwrap());
                std::thread::scope(|scope| {
                    let (told, heard) = mpsc::channel();
                    let queue = &queue;
                    let thread = scope.spawn(move || {
                        told.send(gettid().as_raw_nonzero().get().try_into().unwrap()).unwrap();
                        wait(queue)
                    });
                    let thread_id = heard.recv().unwrap();
                    assert!(comes_true(|| is_asleep(std::process::id(), thread_id)));
                    std::thread::sleep(2 * NEXT_LOOK);
                    let begun = Instant::now();
                    queue.close();
                    assert!(thread.join().unwrap().is_err());
                    begun.elapsed()
                })
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let get = times_of(|queue| queue.get().map(drop), 0);
    assert!(get < NEXT_LOOK / 4, "get: {get:?}");
    let put = times_of(|queue| queue.put(&1), 1);
    assert!(put < NEXT_LOOK / 4, "put: {put:?}");
    let join = times_of(|queue| queue.join(), 1);
    assert!(join < NEXT_LOOK / 4, "join: {join:?}");
}

#[test]
fn q_14_close_wakes_nobody_in_another_process() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut waiting = Peer::start(way, gets_one, &queue);
        waiting.hear_that_it_sleeps();
        let other = Queue::from_token(&queue.token().unwrap()).unwrap();
        queue.close();
        assert!(matches!(
            takes_at_least(SHORT, || other.get_timeout(SHORT)),
            Err(QueueError::Empty)
        ));
        assert!(!waiting.has_spoken());
        other.put(&5).unwrap();
        waiting.expect("5");
        waiting.end();
    }
}
