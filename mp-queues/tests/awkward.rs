//! Items whose own code does what it should not: panics, gets from the queue it comes from, dies while the session has
//! what belongs to it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mp::{DupFd, Queue, QueueError};
use mp_testing::system::{holdings, settle_at};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

const LIMIT: Duration = Duration::from_secs(10);

thread_local! {
    /// The queue that items get from while they are decoded.
    static OWN: RefCell<Option<Queue<Nosy>>> = const { RefCell::new(None) };
}

/// An item that gets the next one while it is decoded.
#[derive(Debug)]
struct Nosy(String);

impl Serialize for Nosy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Nosy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Nosy, D::Error> {
        let text = String::deserialize(deserializer)?;
        let queue = OWN.with_borrow_mut(Option::take);
        match queue.map(|queue| queue.get()) {
            None => Ok(Nosy(text)),
            Some(Err(error @ QueueError::Reentrant)) => Err(D::Error::custom(error)),
            Some(other) => panic!("{other:?}"),
        }
    }
}

/// An item that panics while it is decoded, if it is told to.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Fickle(u32);

impl<'de> Deserialize<'de> for Fickle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fickle, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number < 100, "item {number} panics");
        Ok(Fickle(number))
    }
}

#[test]
fn an_item_that_gets_from_its_own_queue_is_an_error_and_nobody_waits_for_ever() {
    let queue = Queue::<Nosy>::new().unwrap();
    type Get = fn(&Queue<Nosy>) -> Result<Vec<Nosy>, QueueError>;
    let gets: [Get; 2] = [|queue| queue.get().map(|item| vec![item]), |queue| queue.get_many(9)];
    for get in gets {
        queue.put_many(&["first", "second"].map(|text| Nosy(text.to_owned()))).unwrap();
        OWN.set(Some(queue.clone()));
        let error = get(&queue).unwrap_err();
        assert!(matches!(error, QueueError::Decode(_)), "{error:?}");
        assert_eq!((queue.qsize(), queue.get().unwrap().0.as_str()), (1, "second"));
    }
}

/// it is taken off, whether alone or among others.
#[test]
fn q_28_an_item_that_panics_is_taken_off_and_the_others_are_got() {
    let queue = Queue::<Fickle>::new().unwrap();
    queue.put_many(&[1, 2, 100, 3, 101, 4].map(Fickle)).unwrap();
    assert_eq!(queue.get_many(9).unwrap(), [1, 2].map(Fickle));
    for number in [3, 4] {
        let panic = catch_unwind(AssertUnwindSafe(|| queue.get_many(9).map(drop)));
        assert!(panic.is_err(), "item {number}");
        assert_eq!(queue.get_many(9).unwrap(), [Fickle(number)]);
    }
    queue.put_many(&[102, 5].map(Fickle)).unwrap();
    catch_unwind(AssertUnwindSafe(|| queue.get().map(drop))).unwrap_err();
    assert_eq!(queue.get().unwrap(), Fickle(5));
    assert!(queue.is_empty() && queue.qsize() == 0);
}

fn puts_pipes_for_ever(queue: Queue<DupFd>) -> mp::Result<()> {
    loop {
        queue.put(&std::io::pipe()?.0.into())?;
    }
}

/// What producers have in hand that wait for room goes with them; only what is in the queue stays with it.
#[test]
fn producers_that_are_killed_while_they_wait_leave_nothing_with_the_session() {
    let queue = Queue::<DupFd>::bounded(2).unwrap();
    queue.put_many(&[(); 2].map(|()| std::io::pipe().unwrap().0.into())).unwrap();
    mp::Process::start(|| Ok(()), ()).unwrap().join().unwrap();
    let before = holdings();
    for _ in 0..30 {
        let producer = mp::Process::start(puts_pipes_for_ever, (queue.clone(),)).unwrap();
        let start = Instant::now();
        while !mp_testing::system::is_asleep(producer.pid(), producer.pid()) {
            assert!(start.elapsed() < LIMIT, "it does not come to wait");
            std::thread::yield_now();
        }
        producer.kill();
        producer.join().unwrap_err();
    }
    let held = settle_at(before, LIMIT);
    assert!(held <= before, "{held:?}, and {before:?} before");
}
