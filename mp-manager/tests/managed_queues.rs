//! Queues that live in a server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{
    Event, EventProxy, JoinableQueueProxy, Manager, ManagerError, Proxy, Queue, QueueError,
    QueueProxy, TypedProxy,
};
use mp_testing::limits::{SHORT, at_once, comes_true, takes_at_least};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

fn manager() -> Manager {
    Manager::start().unwrap()
}

fn queue_error<T: std::fmt::Debug>(result: Result<T, ManagerError>) -> QueueError {
    match result {
        Err(ManagerError::Queue(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn m_46_a_queue_of_two_that_the_parent_filled_is_emptied_by_a_child() {
    let manager = manager();
    let queue = manager.queue::<i32>(2).unwrap();
    let joinable = manager.joinable_queue::<i32>(2).unwrap();
    for n in [5, 6] {
        queue.put(&n).unwrap();
        joinable.put(&n).unwrap();
    }
    let take = |queue: QueueProxy<i32>, joinable: JoinableQueueProxy<i32>| {
        mp::ensure!(queue.qsize()? == 2 && queue.is_full()? && !queue.is_empty()?, "{queue}");
        mp::ensure!((queue.get()?, queue.get()?) == (5, 6) && queue.is_empty()?, "{queue}");
        mp::ensure!(joinable.qsize()? == 2 && joinable.is_full()?, "{joinable}");
        mp::ensure!((joinable.get()?, joinable.get()?) == (5, 6), "{joinable}");
        mp::ensure!(joinable.is_empty()?, "{joinable}");
        joinable.task_done()?;
        Ok(joinable.task_done()?)
    };
    let child = mp::Process::start(take, (queue.clone(), joinable.clone())).unwrap();
    joinable.join().unwrap();
    child.into_result().unwrap();
    assert!(matches!(queue_error(joinable.task_done()), QueueError::TooManyTaskDone));
    assert_eq!(queue.to_string(), "<Queue(qsize=0, maxsize=2)>");
}

#[test]
fn q_01_q_02_q_03_a_full_queue_refuses_and_keeps_what_it_has() {
    let manager = manager();
    let queue = manager.queue::<u32>(6).unwrap();
    assert!(queue.is_empty().unwrap() && !queue.is_full().unwrap());
    assert_eq!((queue.qsize().unwrap(), queue.maxsize().unwrap()), (0, 6));
    for n in 0..2 {
        queue.put(&n).unwrap();
        queue.put_timeout(&(n + 10), SHORT).unwrap();
        queue.put_nowait(&(n + 20)).unwrap();
    }
    assert!(queue.is_full().unwrap() && !queue.is_empty().unwrap());
    assert!(matches!(at_once(|| queue_error(queue.put_nowait(&9))), QueueError::Full));
    let put_late = || queue_error(queue.put_timeout(&9, SHORT));
    assert!(matches!(takes_at_least(SHORT, put_late), QueueError::Full));
    let all: Vec<u32> = (0..6).map(|_| queue.get_nowait().unwrap()).collect();
    assert_eq!(all, [0, 10, 20, 1, 11, 21]);
    assert!(queue.is_empty().unwrap());
}

#[test]
fn q_05_q_06_q_09_an_empty_queue_has_nothing_and_its_size_is_exact() {
    let manager = manager();
    let queue = manager.queue::<String>(0).unwrap();
    assert!(matches!(at_once(|| queue_error(queue.get_nowait())), QueueError::Empty));
    let get_late = || queue_error(queue.get_timeout(SHORT));
    assert!(matches!(takes_at_least(SHORT, get_late), QueueError::Empty));
    let sizes = |queue: &QueueProxy<String>| queue.qsize().unwrap();
    for n in 1..=3 {
        queue.put(&format!("{n}")).unwrap();
        assert_eq!(sizes(&queue), n);
    }
    assert_eq!(queue.get().unwrap(), "1");
    assert_eq!(queue.get_timeout(SHORT).unwrap(), "2");
    assert_eq!(queue.get_nowait().unwrap(), "3");
    assert_eq!(sizes(&queue), 0);
    assert!(!queue.is_full().unwrap());
}

#[test]
fn q_10_a_size_that_cannot_be_is_an_error() {
    let manager = manager();
    let too_large = 1 << 31;
    let error = queue_error(manager.queue::<u8>(too_large));
    assert!(matches!(error, QueueError::InvalidMaxsize { maxsize } if maxsize == too_large as u64));
    queue_error(manager.joinable_queue::<u8>(usize::MAX));
    assert_eq!(manager.queue::<u8>(too_large - 1).unwrap().maxsize().unwrap(), too_large - 1);
}

#[test]
fn q_07_q_08_what_the_parent_put_comes_before_what_its_child_puts() {
    let manager = manager();
    let queue = manager.queue::<u32>(0).unwrap();
    (0..10).for_each(|n| queue.put(&n).unwrap());
    let put = |queue: QueueProxy<u32>| {
        for n in 10..20 {
            queue.put(&n)?;
        }
        Ok(())
    };
    mp::Process::start(put, (queue.clone(),)).unwrap().into_result().unwrap();
    (0..20).for_each(|n| assert_eq!(queue.get().unwrap(), n));
    assert!(matches!(queue_error(queue.get_nowait()), QueueError::Empty));
}

#[test]
fn q_29_those_who_wait_go_on_when_another_process_puts_or_gets() {
    let manager = manager();
    let (there, back) = (manager.queue::<u32>(1).unwrap(), manager.queue::<u32>(1).unwrap());
    let echo = |there: QueueProxy<u32>, back: QueueProxy<u32>| {
        for _ in 0..100 {
            back.put(&there.get()?)?;
        }
        Ok(())
    };
    let child = mp::Process::start(echo, (there.clone(), back.clone())).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..100).for_each(|n| there.put(&n).unwrap()));
        (0..100).for_each(|n| assert_eq!(back.get().unwrap(), n));
    });
    child.into_result().unwrap();
}

#[test]
fn those_who_wait_have_their_turn_in_the_order_of_their_coming() {
    let manager = manager();
    let (queue, ready) = (manager.queue::<u32>(1).unwrap(), Event::new().unwrap());
    queue.put(&0).unwrap();
    std::thread::scope(|scope| {
        let comes = || {
            ready.wait().unwrap();
            ready.clear();
            // Nothing tells that it waits; from there it is one call.
            std::thread::sleep(SHORT);
        };
        let (queue, ready) = (&queue, &ready);
        for n in 1..=4 {
            scope.spawn(move || {
                ready.set();
                queue.put(&n).unwrap();
            });
            comes();
        }
        (0..=4).for_each(|n| assert_eq!(queue.get().unwrap(), n));
        let mut getters = Vec::new();
        for _ in 0..4 {
            getters.push(scope.spawn(move || {
                ready.set();
                queue.get().unwrap()
            }));
            comes();
        }
        (10..14).for_each(|n| queue.put(&n).unwrap());
        let got: Vec<_> = getters.into_iter().map(|getter| getter.join().unwrap()).collect();
        assert_eq!(got, [10, 11, 12, 13]);
    });
}

#[test]
fn q_24_q_25_many_producers_and_consumers_deliver_each_item_once_and_whole() {
    fn produce(queue: QueueProxy<(u32, Vec<u8>)>, id: u8) -> mp::Result<()> {
        for n in 0..50 {
            let long = vec![id; if n % 10 == 0 { 1 << 20 } else { 10 }];
            queue.put(&(u32::from(id) * 1000 + n, long))?;
        }
        Ok(())
    }
    fn consume(queue: QueueProxy<(u32, Vec<u8>)>) -> mp::Result<Vec<u32>> {
        let mut got = Vec::new();
        loop {
            let (n, bytes) = queue.get()?;
            if n == u32::MAX {
                return Ok(got);
            }
            mp::ensure!(bytes.iter().all(|byte| u32::from(*byte) == n / 1000), "{n} is not whole");
            got.push(n);
        }
    }

    let manager = manager();
    let queue = manager.queue(3).unwrap();
    let producers: Vec<_> =
        (0..4).map(|id| mp::Process::start(produce, (queue.clone(), id)).unwrap()).collect();
    let consumers: Vec<_> =
        (0..3).map(|_| mp::Process::start(consume, (queue.clone(),)).unwrap()).collect();
    producers.into_iter().for_each(|producer| producer.into_result().unwrap());
    consumers.iter().for_each(|_| queue.put(&(u32::MAX, Vec::new())).unwrap());
    let got = consumers.into_iter().map(|consumer| consumer.into_result().unwrap());
    let mut got: Vec<u32> = got.flatten().collect();
    got.sort_unstable();
    let expected: Vec<u32> = (0..4).flat_map(|id| (0..50).map(move |n| id * 1000 + n)).collect();
    assert_eq!(got, expected);
}

/// Cannot be encoded, or not be decoded.
#[derive(Debug, PartialEq)]
enum Awkward {
    Unsendable,
    Untakable,
    Fine,
}

impl Serialize for Awkward {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Awkward::Unsendable => Err(serde::ser::Error::custom("it stays")),
            Awkward::Untakable => serializer.serialize_bool(false),
            Awkward::Fine => serializer.serialize_bool(true),
        }
    }
}

impl<'de> Deserialize<'de> for Awkward {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Awkward, D::Error> {
        match bool::deserialize(deserializer)? {
            true => Ok(Awkward::Fine),
            false => Err(serde::de::Error::custom("it goes")),
        }
    }
}

#[test]
fn q_11_q_12_q_28_jq_05_an_awkward_value_is_an_error_of_its_own_call() {
    let manager = manager();
    let queue = manager.joinable_queue::<Awkward>(1).unwrap();
    let error = queue.put(&Awkward::Unsendable).unwrap_err();
    assert!(matches!(error, ManagerError::Encode(_)), "{error:?}");
    assert_eq!((queue.qsize().unwrap(), queue.unfinished().unwrap()), (0, 0));
    queue.put(&Awkward::Untakable).unwrap();
    let error = queue.get().unwrap_err();
    assert!(matches!(error, ManagerError::Decode(_)), "{error:?}");
    queue.put_nowait(&Awkward::Fine).unwrap();
    assert_eq!(queue.get().unwrap(), Awkward::Fine);
}

#[test]
fn q_30_any_value_is_an_item() {
    let manager = manager();
    let (units, options) =
        (manager.queue::<()>(0).unwrap(), manager.queue::<Option<String>>(0).unwrap());
    units.put(&()).unwrap();
    assert_eq!(units.qsize().unwrap(), 1);
    units.get().unwrap();
    options.put(&None).unwrap();
    options.put(&Some(String::new())).unwrap();
    assert_eq!((options.get().unwrap(), options.get().unwrap()), (None, Some(String::new())));
}

#[test]
fn q_31_a_proxy_in_an_item_lives_with_it_and_goes_with_it() {
    let manager = manager();
    let queue = manager.queue::<(EventProxy, Event)>(0).unwrap();
    let (event, local) = (manager.event().unwrap(), Event::new().unwrap());
    queue.put(&(event, local.clone())).unwrap();
    // The event lives in the queue alone.
    assert_eq!(manager.number_of_objects().unwrap(), 2);
    let take = |queue: QueueProxy<(EventProxy, Event)>| {
        let (event, local) = queue.get()?;
        mp::ensure!(!event.is_set()?, "{event}");
        Ok(local.set())
    };
    mp::Process::start(take, (queue.clone(),)).unwrap().into_result().unwrap();
    local.wait().unwrap();
    assert_eq!(manager.number_of_objects().unwrap(), 1);
    queue.put(&(manager.event().unwrap(), local)).unwrap();
    assert_eq!(manager.number_of_objects().unwrap(), 2);
    drop(queue);
    assert_eq!(manager.number_of_objects().unwrap(), 0);
}

#[test]
fn m_63_a_queue_in_itself_ends_with_its_last_proxy() {
    let manager = manager();
    for _ in 0..10 {
        let queue = manager.queue::<Proxy>(0).unwrap();
        let event = manager.event().unwrap();
        queue.put(queue.as_proxy()).unwrap();
        queue.put(event.as_proxy()).unwrap();
        queue.put(&queue.get().unwrap()).unwrap();
        assert_eq!(queue.qsize().unwrap(), 2);
        drop((queue, event));
        let is_empty = || manager.number_of_objects().unwrap() == 0;
        assert!(comes_true(is_empty), "{:?}", manager.debug_info());
    }
}

#[test]
fn a_proxy_of_a_queue_goes_through_queues_of_both_kinds() {
    let manager = manager();
    let inner = manager.queue::<u8>(0).unwrap();
    let (local, managed) = (Queue::new().unwrap(), manager.queue::<QueueProxy<u8>>(0).unwrap());
    local.put(&inner).unwrap();
    managed.put(&local.get().unwrap()).unwrap();
    let arrived = managed.get().unwrap();
    assert_eq!(arrived, inner);
    arrived.put(&7).unwrap();
    assert_eq!(inner.get().unwrap(), 7);
}

#[test]
fn jq_01_join_returns_when_every_item_is_done() {
    fn work(queue: JoinableQueueProxy<Option<u32>>) -> mp::Result<u32> {
        let mut count = 0;
        loop {
            let item = queue.get()?;
            std::thread::sleep(Duration::from_millis(1));
            queue.task_done()?;
            match item {
                Some(_) => count += 1,
                None => return Ok(count),
            }
        }
    }

    let manager = manager();
    let queue = manager.joinable_queue(0).unwrap();
    let workers: Vec<_> =
        (0..4).map(|_| mp::Process::start(work, (queue.clone(),)).unwrap()).collect();
    (0..10).for_each(|n| queue.put(&Some(n)).unwrap());
    queue.join().unwrap();
    assert_eq!((queue.qsize().unwrap(), queue.unfinished().unwrap()), (0, 0));
    workers.iter().for_each(|_| queue.put(&None).unwrap());
    queue.join().unwrap();
    let counts = workers.into_iter().map(|worker| worker.into_result().unwrap());
    assert_eq!(counts.sum::<u32>(), 10);
}

#[test]
fn jq_02_jq_03_jq_04_jq_06_the_count_goes_up_at_put_and_all_who_join_wake() {
    let manager = manager();
    let queue = manager.joinable_queue::<u32>(1).unwrap();
    at_once(|| queue.join().unwrap());
    assert!(matches!(queue_error(queue.task_done()), QueueError::TooManyTaskDone));
    queue.put(&1).unwrap();
    assert!(!takes_at_least(SHORT, || queue.join_timeout(SHORT).unwrap()));
    assert!(!at_once(|| queue.join_timeout(Duration::ZERO).unwrap()));
    let join = |queue: JoinableQueueProxy<u32>| Ok(queue.join()?);
    let joiners: Vec<_> =
        (0..2).map(|_| mp::Process::start(join, (queue.clone(),)).unwrap()).collect();
    std::thread::scope(|scope| {
        let here = scope.spawn(|| queue.join().unwrap());
        // One that waits for room counts when it is in.
        let waits = scope.spawn(|| queue.put(&2).unwrap());
        std::thread::sleep(SHORT);
        assert_eq!(queue.unfinished().unwrap(), 1);
        queue.get().unwrap();
        waits.join().unwrap();
        assert_eq!(queue.unfinished().unwrap(), 2);
        queue.task_done().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        assert!(!here.is_finished());
        // Before it is got.
        queue.task_done().unwrap();
    });
    joiners.into_iter().for_each(|joiner| joiner.into_result().unwrap());
    assert!(queue.join_timeout(Duration::ZERO).unwrap());
}

#[test]
fn a_server_that_is_shut_down_ends_all_waits() {
    let manager = manager();
    let (empty, full) = (manager.queue::<u8>(0).unwrap(), manager.joinable_queue::<u8>(1).unwrap());
    full.put(&0).unwrap();
    std::thread::scope(|scope| {
        let waits = [
            scope.spawn(|| empty.get().map(drop).unwrap_err()),
            scope.spawn(|| full.put(&1).unwrap_err()),
            scope.spawn(|| full.join().unwrap_err()),
        ];
        std::thread::sleep(2 * SHORT);
        manager.shutdown().unwrap();
        for wait in waits {
            let error = wait.join().unwrap();
            assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
        }
    });
    assert!(comes_true(|| empty.qsize().is_err()));
}
