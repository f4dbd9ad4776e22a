//! A joinable queue knows when all that was put is done, in whatever process.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use mp::{JoinableQueue, Queue, QueueError};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

mp::enable_test_support!();

roles!(works, joins, joins_and_answers, finishes, gets_and_forgets, joins_on_demand);

/// Works until the absence of a task, which it reports as done, too.
fn works(queue: JoinableQueue<Option<u64>>, _: &mut Link) -> mp::Result<()> {
    loop {
        let task = queue.get()?;
        queue.task_done()?;
        if task.is_none() {
            return Ok(());
        }
    }
}

#[test]
fn jq_01_join_returns_when_four_workers_have_done_ten_tasks() {
    for way in WAYS {
        let queue = JoinableQueue::new().unwrap();
        let workers: Vec<_> = (0..4).map(|_| Peer::start(way, works, &queue)).collect();
        (0..10).for_each(|n| queue.put(&Some(n)).unwrap());
        assert!(queue.join_timeout(LONG).unwrap());
        assert_eq!((queue.unfinished(), queue.qsize()), (0, 0));
        queue.put_many(&[None; 4]).unwrap();
        workers.into_iter().for_each(Peer::end);
        queue.join().unwrap();
    }
}

#[test]
fn jq_01_join_sees_what_a_worker_did_before_it_reported() {
    fn counts(queue: JoinableQueue<u64>, count: mp::RawValue<u64>) -> mp::Result<()> {
        loop {
            match queue.get()? {
                0 => return Ok(()),
                n => count.set(count.get() + n),
            }
            queue.task_done()?;
        }
    }
    let (queue, count) = (JoinableQueue::new().unwrap(), mp::RawValue::new(0).unwrap());
    let p = mp::Process::start(counts, (queue.clone(), count.clone())).unwrap();
    for round in 1..500 {
        queue.put(&1).unwrap();
        queue.join().unwrap();
        assert_eq!(count.get(), round);
    }
    queue.put(&0).unwrap();
    p.join().unwrap();
}

#[test]
fn jq_02_more_reports_than_items_are_an_error_and_a_fresh_queue_is_joined_at_once() {
    for way in WAYS {
        let queue = JoinableQueue::<u64>::new().unwrap();
        at_once(|| queue.join()).unwrap();
        Peer::start(way, joins, &queue).end();
        assert!(at_once(|| queue.join_timeout(Duration::ZERO)).unwrap());
        for _ in 0..3 {
            let error = queue.task_done().unwrap_err();
            assert!(matches!(error, QueueError::TooManyTaskDone));
            assert_eq!(error.to_string(), "task_done was called more often than items were put");
        }
        queue.put_many(&[1, 2]).unwrap();
        Peer::start(way, finishes, &queue).end();
        assert!(matches!(queue.task_done(), Err(QueueError::TooManyTaskDone)));
        queue.join().unwrap();
        assert_eq!((queue.unfinished(), queue.qsize()), (0, 2));
    }
}

fn joins(queue: JoinableQueue<u64>, _: &mut Link) -> mp::Result<()> {
    mp::ensure!(queue.join_timeout(LONG)?);
    Ok(())
}

/// Reports everything as done that was put.
fn finishes(queue: JoinableQueue<u64>, _: &mut Link) -> mp::Result<()> {
    while queue.unfinished() > 0 {
        queue.task_done()?;
    }
    Ok(())
}

#[test]
fn jq_03_a_task_may_be_done_before_it_is_got() {
    for way in WAYS {
        let queue = JoinableQueue::new().unwrap();
        queue.put(&1).unwrap();
        assert_eq!(queue.unfinished(), 1);
        assert!(!at_once(|| queue.join_timeout(Duration::ZERO)).unwrap());
        assert!(!takes_at_least(SHORT, || queue.join_timeout(SHORT)).unwrap());
        Peer::start(way, finishes, &queue).end();
        assert_eq!((queue.unfinished(), queue.qsize()), (0, 1));
        queue.join().unwrap();
        assert_eq!(queue.get().unwrap(), 1);
    }
}

fn joins_and_answers(queue: JoinableQueue<u64>, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    queue.join()?;
    link.say("joined");
    Ok(())
}

#[test]
fn jq_04_all_who_join_wake_and_after_another_put_join_sleeps_again() {
    for way in WAYS {
        let queue = JoinableQueue::new().unwrap();
        for _ in 0..3 {
            queue.put_many(&[1, 2]).unwrap();
            let mut joining: Vec<_> =
                (0..3).map(|_| Peer::start(way, joins_and_answers, &queue)).collect();
            joining.iter_mut().for_each(Peer::hear_that_it_sleeps);
            queue.task_done().unwrap();
            assert!(!takes_at_least(SHORT, || queue.join_timeout(SHORT)).unwrap());
            assert!(joining.iter_mut().all(|peer| !peer.has_spoken()));
            queue.task_done().unwrap();
            queue.join().unwrap();
            joining.iter_mut().for_each(|peer| peer.expect("joined"));
            joining.into_iter().for_each(Peer::end);
        }
    }
}

fn joins_on_demand(queue: JoinableQueue<u64>, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "join" {
        link.say_waiting();
        queue.join()?;
        link.say("joined");
    }
    Ok(())
}

#[test]
fn jq_04_the_last_report_wakes_a_joiner_rather_than_its_next_look() {
    const NEXT_LOOK: Duration = Duration::from_millis(128);
    let queue = JoinableQueue::new().unwrap();
    let mut joining = Peer::start(WAYS[0], joins_on_demand, &queue);
    let mut times: Vec<_> = (0..15)
        .map(|_| {
            queue.put(&1).unwrap();
            joining.say("join");
            joining.hear_that_it_sleeps();
            std::thread::sleep(2 * NEXT_LOOK);
            let begun = Instant::now();
            queue.task_done().unwrap();
            joining.expect("joined");
            begun.elapsed()
        })
        .collect();
    joining.say("end");
    joining.end();
    times.sort();
    assert!(times[7] < NEXT_LOOK / 4, "{times:?}");
}

/// An item that cannot be encoded.
#[derive(Deserialize)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("it does not want to"))
    }
}

#[test]
fn jq_05_an_item_that_was_not_put_is_not_waited_for() {
    let queue = JoinableQueue::<Stubborn>::bounded(1).unwrap();
    assert!(matches!(queue.put(&Stubborn), Err(QueueError::Encode(_))));
    assert!(matches!(queue.put_many(&[Stubborn, Stubborn]), Err(QueueError::Encode(_))));
    assert_eq!(queue.unfinished(), 0);
    at_once(|| queue.join()).unwrap();
    queue.put_bytes(&[]).unwrap();
    assert!(matches!(queue.put_bytes_nowait(&[]), Err(QueueError::Full)));
    assert!(matches!(queue.put_bytes_timeout(&[], SHORT), Err(QueueError::Full)));
    assert_eq!(queue.unfinished(), 1);
    queue.task_done().unwrap();
    at_once(|| queue.join()).unwrap();
}

/// Gets a task, and says so, but never that it is done.
fn gets_and_forgets(queue: JoinableQueue<u64>, link: &mut Link) -> mp::Result<()> {
    queue.get()?;
    link.hold_still()
}

#[test]
fn jq_06_a_worker_that_dies_with_a_task_in_its_hands_leaves_join_waiting() {
    for way in WAYS {
        let queue = JoinableQueue::new().unwrap();
        queue.put_many(&[1, 2]).unwrap();
        let mut worker = Peer::start(way, gets_and_forgets, &queue);
        worker.expect("still");
        let mut joining = Peer::start(way, joins_and_answers, &queue);
        joining.hear_that_it_sleeps();
        let _pid = worker.kill_9();
        assert_eq!(queue.get().unwrap(), 2);
        queue.task_done().unwrap();
        assert!(!takes_at_least(SHORT, || queue.join_timeout(SHORT)).unwrap());
        assert_eq!((queue.unfinished(), joining.has_spoken()), (1, false));
        // Whoever knows of the death reports in its place.
        queue.task_done().unwrap();
        joining.expect("joined");
        joining.end();
        queue.join().unwrap();
    }
}

#[test]
fn jq_01_a_joinable_queue_is_a_queue_in_all_else() {
    let queue = JoinableQueue::bounded(2).unwrap();
    assert_eq!(queue.maxsize(), 2);
    queue.put_nowait(&1).unwrap();
    queue.put_timeout(&2, LONG).unwrap();
    assert!(queue.is_full() && matches!(queue.put_nowait(&3), Err(QueueError::Full)));
    assert_eq!((queue.get_nowait().unwrap(), queue.get_timeout(LONG).unwrap()), (1, 2));
    assert!(queue.is_empty() && matches!(queue.get_nowait(), Err(QueueError::Empty)));
    assert_eq!(queue.unfinished(), 2);
    let same = JoinableQueue::<u32>::from_token(&queue.token().unwrap()).unwrap();
    let plain = Queue::<u32>::from_token(&queue.token().unwrap()).unwrap();
    assert!(same.is_same(&queue) && same.is_same(&plain));
    // What comes through a plain handle counts as well.
    plain.put(&5).unwrap();
    assert_eq!(same.unfinished(), 3);
}

#[test]
fn jq_01_threads_put_work_and_join_at_once() {
    let queue = JoinableQueue::bounded(10).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| (0..2000).for_each(|_| queue.put(&1_u32).unwrap()));
            scope.spawn(|| {
                for _ in 0..2000 {
                    queue.get().unwrap();
                    queue.task_done().unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                queue.join().unwrap();
            }
        });
    });
    assert!(comes_true(|| queue.unfinished() == 0));
    queue.join().unwrap();
    assert!(matches!(queue.task_done(), Err(QueueError::TooManyTaskDone)));
}
