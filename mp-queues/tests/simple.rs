//! A simple queue has less than the others, and promises no less.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{QueueError, SimpleQueue};
use mp_testing::limits::at_once;
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

mp::enable_test_support!();

roles!(tells_twice_whether_there_is_nothing, gets_one, closes_twice);

fn tells_twice_whether_there_is_nothing(q: SimpleQueue<bool>, _: &mut Link) -> mp::Result<()> {
    q.put(&q.is_empty())?;
    Ok(q.put(&q.is_empty())?)
}

#[test]
fn sq_01_sq_02_what_was_put_is_there_as_soon_as_put_has_returned() {
    for way in WAYS {
        let queue = SimpleQueue::new().unwrap();
        assert!(queue.is_empty());
        Peer::start(way, tells_twice_whether_there_is_nothing, &queue).end();
        assert!(!queue.is_empty());
        assert_eq!((queue.get().unwrap(), queue.get().unwrap()), (true, false));
        assert!(queue.is_empty());
    }
}

fn closes_twice(queue: SimpleQueue<u64>, _: &mut Link) -> mp::Result<()> {
    queue.put(&1)?;
    queue.close();
    queue.close();
    mp::ensure!(queue.is_closed() && queue.clone().is_closed());
    mp::ensure!(matches!(queue.put(&2), Err(QueueError::Closed)));
    mp::ensure!(matches!(queue.get(), Err(QueueError::Closed)));
    // The uniform answer of all queues, instead of Python's error.
    mp::ensure!(!queue.is_empty());
    Ok(())
}

#[test]
fn sq_03_a_closed_handle_says_so_and_what_was_put_is_delivered() {
    for way in WAYS {
        let queue = SimpleQueue::new().unwrap();
        Peer::start(way, closes_twice, &queue).end();
        assert_eq!(queue.get().unwrap(), 1);
        closes_twice(queue, &mut Link::to_nobody()).unwrap();
    }
}

fn gets_one(queue: SimpleQueue<String>, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let item = queue.get()?;
    link.say(item.len());
    Ok(())
}

/// Python's put blocks when its pipe is full.
#[test]
fn sq_04_put_waits_for_nobody_and_get_for_an_item() {
    for way in WAYS {
        let queue = SimpleQueue::new().unwrap();
        let mut waiting = Peer::start(way, gets_one, &queue);
        waiting.hear_that_it_sleeps();
        assert!(!waiting.has_spoken());
        queue.put(&"x".repeat(3 << 20)).unwrap();
        waiting.expect(&(3 << 20).to_string());
        waiting.end();
        at_once(|| (0..10).for_each(|_| queue.put(&"x".repeat(1 << 20)).unwrap()));
        (0..10).for_each(|_| assert_eq!(queue.get().unwrap().len(), 1 << 20));
        assert!(queue.is_empty());
    }
}

#[derive(Debug, PartialEq, Deserialize)]
enum Item {
    Good,
    Stubborn,
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Item::Good => "Good".serialize(serializer),
            Item::Stubborn => Err(S::Error::custom("it does not want to")),
        }
    }
}

#[test]
fn sq_05_an_item_that_cannot_be_encoded_is_an_error_and_leaves_the_queue_as_it_was() {
    let queue = SimpleQueue::new().unwrap();
    assert!(matches!(queue.put(&Item::Stubborn), Err(QueueError::Encode(_))));
    assert!(queue.is_empty());
    queue.put(&Item::Good).unwrap();
    assert!(matches!(queue.put(&Item::Stubborn), Err(QueueError::Encode(_))));
    assert_eq!(queue.get().unwrap(), Item::Good);
    assert!(queue.is_empty());
}

#[test]
fn a_simple_queue_has_a_token_and_a_text() {
    let queue = SimpleQueue::<u8>::new().unwrap();
    let same = SimpleQueue::<u8>::from_token(&queue.token().unwrap()).unwrap();
    assert!(same.is_same(&queue) && !same.is_same(&SimpleQueue::<u8>::new().unwrap()));
    same.put(&1).unwrap();
    assert_eq!(format!("{queue:?}"), "SimpleQueue(1 of u8, maxsize 0)");
    assert_eq!(queue.get().unwrap(), 1);
}
