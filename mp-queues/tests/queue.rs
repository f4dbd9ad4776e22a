//! A queue gives what was put, in order and up to its limit, to whatever process asks.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{JoinableQueue, Queue, QueueError};
use mp_testing::limits::{LONG, SHORT, alone, at_once, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

roles!(
    tells_its_state,
    fills_in_every_form,
    meets_a_full_one,
    meets_an_empty_one,
    takes_in_every_form,
    takes_so_many,
    puts_ten_to_twenty,
    puts_one_and_takes_two,
    puts_picky_values,
    takes_picky_values,
    gives_back_what_is_nothing,
    closes,
);

/// How many items, whether there is none, and whether there is no room, as this process sees it.
fn state<T>(queue: &Queue<T>) -> (usize, bool, bool) {
    (queue.qsize(), queue.is_empty(), queue.is_full())
}

fn is_full(outcome: Result<(), QueueError>) -> bool {
    matches!(outcome, Err(QueueError::Full))
}

fn is_empty<T>(outcome: Result<T, QueueError>) -> bool {
    matches!(outcome, Err(QueueError::Empty))
}

/// Tells what it sees, as often as it is asked.
fn tells_its_state(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "look" {
        link.say(format_args!("{:?} {}", state(&queue), queue.maxsize()));
    }
    Ok(())
}

#[test]
fn q_01_a_new_queue_is_empty_and_not_full() {
    for way in WAYS {
        for (maxsize, queue) in [(0, Queue::<u64>::new()), (1, Queue::bounded(1))] {
            let queue = queue.unwrap();
            assert_eq!(state(&queue), (0, true, false));
            let mut other = Peer::start(way, tells_its_state, &queue);
            other.say("look");
            other.expect(&format!("(0, true, false) {maxsize}"));
            other.say("stop");
            other.end();
        }
    }
}

fn fills_in_every_form(queue: Queue<u64>, _: &mut Link) -> mp::Result<()> {
    queue.put(&1)?;
    queue.put_timeout(&2, LONG)?;
    queue.put_timeout(&3, Duration::MAX)?;
    queue.put_timeout(&4, Duration::ZERO)?;
    queue.put_nowait(&5)?;
    Ok(queue.put_many(&[6])?)
}

#[test]
fn q_02_every_form_of_put_fills_a_queue_up_to_its_capacity() {
    for way in WAYS {
        let queue = Queue::bounded(6).unwrap();
        Peer::start(way, fills_in_every_form, &queue).end();
        assert_eq!(state(&queue), (6, false, true));
        assert!(is_full(queue.put_nowait(&7)));
        assert_eq!(queue.get().unwrap(), 1);
        assert_eq!(state(&queue), (5, false, false));
        queue.put_nowait(&7).unwrap();
        (2..=7).for_each(|n| assert_eq!(queue.get().unwrap(), n));
    }
}

/// Tries every form of put, of a queue that stays full.
fn meets_a_full_one(queue: Queue<u64>, _: &mut Link) -> mp::Result<()> {
    mp::ensure!(is_full(at_once(|| queue.put_nowait(&1))));
    mp::ensure!(is_full(at_once(|| queue.put_bytes_nowait(b"1"))));
    mp::ensure!(is_full(at_once(|| queue.put_many_nowait(&[1, 2]))));
    mp::ensure!(is_full(at_once(|| queue.put_timeout(&1, Duration::ZERO))));
    mp::ensure!(is_full(takes_at_least(SHORT, || queue.put_timeout(&1, SHORT))));
    mp::ensure!(is_full(takes_at_least(SHORT, || queue.put_bytes_timeout(b"1", SHORT))));
    mp::ensure!(is_full(takes_at_least(SHORT, || queue.put_many_timeout(&[1, 2], SHORT))));
    Ok(())
}

#[test]
fn q_03_a_full_queue_refuses_at_once_or_after_the_time_that_was_given() {
    for way in WAYS {
        let by_bytes = Queue::builder().max_bytes(16).build().unwrap();
        for queue in [Queue::bounded(1).unwrap(), by_bytes] {
            queue.put(&5).unwrap();
            Peer::start(way, meets_a_full_one, &queue).end();
            meets_a_full_one(queue.clone(), &mut Link::to_nobody()).unwrap();
            assert_eq!(state(&queue), (1, false, true));
            assert_eq!(queue.get().unwrap(), 5);
            assert_eq!(state(&queue), (0, true, false));
        }
    }
}

fn takes_so_many(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    let count: usize = link.hear()?.parse()?;
    for _ in 0..count {
        queue.get()?;
    }
    Ok(())
}

#[test]
fn q_04_a_queue_from_which_another_process_took_everything_is_empty() {
    for way in WAYS {
        let queue = Queue::bounded(4).unwrap();
        let mut other = Peer::start(way, takes_so_many, &queue);
        queue.put_many(&[1, 2, 3, 4]).unwrap();
        other.say(4);
        other.end();
        assert_eq!(state(&queue), (0, true, false));
    }
}

fn takes_in_every_form(queue: Queue<u64>, _: &mut Link) -> mp::Result<()> {
    let mut bytes = vec![9; 100];
    mp::ensure!(queue.get()? == 1);
    mp::ensure!(queue.get_timeout(LONG)? == 2);
    mp::ensure!(queue.get_timeout(Duration::MAX)? == 3);
    mp::ensure!(queue.get_timeout(Duration::ZERO)? == 4);
    mp::ensure!(queue.get_nowait()? == 5);
    mp::ensure!(queue.get_many(1)? == [6]);
    mp::ensure!(queue.get_many_timeout(1, Duration::ZERO)? == [7]);
    mp::ensure!(queue.get_many_nowait(1)? == [8]);
    queue.get_bytes(&mut bytes)?;
    mp::ensure!(bytes == mp_reduction::encode(&9_u64)?.bytes());
    queue.get_bytes_timeout(&mut bytes, LONG)?;
    queue.get_bytes_nowait(&mut bytes)?;
    mp::ensure!(queue.try_iter().collect::<Result<Vec<_>, _>>()? == [12, 13]);
    Ok(())
}

#[test]
fn q_05_every_form_of_get_takes_the_next_item() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        for n in 1..=13 {
            queue.put(&n).unwrap();
        }
        Peer::start(way, takes_in_every_form, &queue).end();
        assert_eq!(state(&queue), (0, true, false));
    }
}

/// Tries every form of get, of a queue that stays empty.
fn meets_an_empty_one(queue: Queue<u64>, _: &mut Link) -> mp::Result<()> {
    let mut bytes = Vec::new();
    mp::ensure!(is_empty(at_once(|| queue.get_nowait())));
    mp::ensure!(is_empty(at_once(|| queue.get_bytes_nowait(&mut bytes))));
    mp::ensure!(is_empty(at_once(|| queue.get_many_nowait(3))));
    mp::ensure!(is_empty(at_once(|| queue.get_timeout(Duration::ZERO))));
    mp::ensure!(is_empty(takes_at_least(SHORT, || queue.get_timeout(SHORT))));
    mp::ensure!(is_empty(takes_at_least(SHORT, || queue.get_bytes_timeout(&mut bytes, SHORT))));
    mp::ensure!(is_empty(takes_at_least(SHORT, || queue.get_many_timeout(3, SHORT))));
    mp::ensure!(queue.try_iter().next().is_none());
    mp::ensure!(queue.get_many(0)?.is_empty(), "none are there at once");
    Ok(())
}

#[test]
fn q_06_an_empty_queue_says_so_at_once_or_after_the_time_that_was_given() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        Peer::start(way, meets_an_empty_one, &queue).end();
        queue.put(&1).unwrap();
        assert_eq!(queue.get().unwrap(), 1);
        meets_an_empty_one(queue.clone(), &mut Link::to_nobody()).unwrap();
        assert_eq!(state(&queue), (0, true, false));
    }
}

fn puts_ten_to_twenty(queue: Queue<u64>, _: &mut Link) -> mp::Result<()> {
    (10..20).try_for_each(|n| Ok(queue.put(&n)?))
}

#[test]
fn q_07_what_was_put_before_a_process_started_comes_before_what_it_puts() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        for n in 0..10 {
            queue.put(&n).unwrap();
        }
        Peer::start(way, puts_ten_to_twenty, &queue).end();
        for n in 0..20 {
            assert_eq!(queue.get_nowait().unwrap(), n);
        }
        assert!(is_empty(queue.get_nowait()));
    }
}

#[test]
fn q_08_a_queue_that_was_used_before_takes_items_of_a_process_that_starts_later() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        // Through all of its first blocks, and more than once around.
        for n in 0..20_000 {
            queue.put(&n).unwrap();
            assert_eq!(queue.get().unwrap(), n);
        }
        Peer::start(way, puts_ten_to_twenty, &queue).end();
        (10..20).for_each(|n| assert_eq!(queue.get_nowait().unwrap(), n));
    }
}

#[test]
fn q_09_the_size_follows_every_put_and_get() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut other = Peer::start(way, tells_its_state, &queue);
        let mut sizes = Vec::new();
        let mut look = || {
            other.say("look");
            sizes.push((queue.qsize(), other.hear()));
        };
        look();
        queue.put(&1).unwrap();
        look();
        queue.put(&1).unwrap();
        look();
        queue.get().unwrap();
        look();
        queue.get().unwrap();
        look();
        let expected =
            [0, 1, 2, 1, 0].map(|size| (size, format!("({size}, {}, false) 0", size == 0)));
        assert_eq!(sizes, expected);
        other.say("stop");
        other.end();
    }
}

#[test]
fn q_10_zero_is_no_limit_and_the_limit_can_be_read() {
    assert_eq!(Queue::<u8>::new().unwrap().maxsize(), 0);
    assert_eq!(Queue::<u8>::bounded(0).unwrap().maxsize(), 0);
    let most = i32::MAX as usize;
    assert_eq!(Queue::<u8>::bounded(most).unwrap().maxsize(), most);
    for maxsize in [most + 1, usize::MAX] {
        let error = Queue::<u8>::bounded(maxsize).unwrap_err();
        let expected = maxsize as u64;
        assert!(matches!(error, QueueError::InvalidMaxsize { maxsize } if maxsize == expected));
        let text = format!("a queue cannot be limited to {maxsize} items");
        assert!(error.to_string().starts_with(&text), "{error}");
    }
    let queue = Queue::bounded(0).unwrap();
    for n in 0..100_000_u32 {
        queue.put_nowait(&n).unwrap();
    }
    assert_eq!(state(&queue), (100_000, false, false));
}

/// A value that refuses to be encoded, or decoded, depending on what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Picky {
    Good(u32),
    FailsToEncode,
    FailsToDecode,
}

impl Serialize for Picky {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Picky::Good(n) => (n, "good").serialize(serializer),
            Picky::FailsToDecode => (0, "fails to decode").serialize(serializer),
            Picky::FailsToEncode => Err(S::Error::custom("it does not want to")),
        }
    }
}

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Picky, D::Error> {
        match <(u32, String)>::deserialize(deserializer)? {
            (n, text) if text == "good" => Ok(Picky::Good(n)),
            (_, text) => Err(D::Error::custom(text)),
        }
    }
}

fn puts_picky_values(queue: Queue<Picky>, link: &mut Link) -> mp::Result<()> {
    for _ in 0..100 {
        let Err(QueueError::Encode(_)) = queue.put(&Picky::FailsToEncode) else {
            mp::bail!("no error")
        };
        let Err(QueueError::Encode(_)) = queue.put_nowait(&Picky::FailsToEncode) else {
            mp::bail!("no error")
        };
        let Err(QueueError::Encode(_)) = queue.put_many(&[Picky::FailsToEncode]) else {
            mp::bail!("no error")
        };
    }
    queue.put(&Picky::Good(1))?;
    link.say("put");
    Ok(())
}

#[test]
fn q_11_q_12_a_value_that_cannot_be_encoded_is_an_error_and_takes_no_place() {
    for way in WAYS {
        let queue = Queue::bounded(1).unwrap();
        let mut other = Peer::start(way, puts_picky_values, &queue);
        other.expect("put");
        assert_eq!(state(&queue), (1, false, true));
        assert_eq!(queue.get().unwrap(), Picky::Good(1));
        assert_eq!(state(&queue), (0, true, false));
        other.end();
        let error = queue.put(&Picky::FailsToEncode).unwrap_err();
        assert_eq!(error.to_string(), "cannot put an item");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("Picky") && cause.contains("it does not want to"), "{cause}");
    }
}

#[test]
fn q_12_an_error_in_the_middle_of_many_says_how_many_were_put() {
    let queue = Queue::new().unwrap();
    let items = [Picky::Good(1), Picky::Good(2), Picky::FailsToEncode, Picky::Good(3)];
    match queue.put_many(&items).unwrap_err() {
        QueueError::Partial { put: 2, source } => {
            assert!(matches!(*source, QueueError::Encode(_)), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(queue.get_many(10).unwrap(), [Picky::Good(1), Picky::Good(2)]);
}

fn takes_picky_values(queue: Queue<Picky>, _: &mut Link) -> mp::Result<()> {
    let is_decode_error = |outcome| matches!(outcome, Err(QueueError::Decode(_)));
    mp::ensure!(is_decode_error(queue.get()));
    mp::ensure!(state(&queue) == (3, false, false));
    mp::ensure!(queue.get()? == Picky::Good(1));
    mp::ensure!(is_decode_error(queue.get_nowait()));
    mp::ensure!(is_decode_error(queue.get_timeout(LONG)));
    mp::ensure!(state(&queue) == (0, true, false));
    Ok(())
}

#[test]
fn q_28_an_item_that_cannot_be_decoded_is_one_error_and_gives_its_place_back() {
    for way in WAYS {
        let queue = Queue::bounded(4).unwrap();
        let bad = Picky::FailsToDecode;
        queue.put_many(&[bad, Picky::Good(1), bad, bad]).unwrap();
        assert!(queue.is_full());
        Peer::start(way, takes_picky_values, &queue).end();
        let foreign = Queue::<String>::from_token(&queue.token().unwrap()).unwrap();
        foreign.put(&"a text".to_owned()).unwrap();
        let error = queue.get().unwrap_err();
        assert_eq!(error.to_string(), "cannot get an item");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("Picky"), "{cause}");
        queue.put_bytes(b"no message at all").unwrap();
        assert!(matches!(queue.get(), Err(QueueError::Decode(_))));
        queue.put(&Picky::Good(5)).unwrap();
        assert_eq!(queue.get().unwrap(), Picky::Good(5));
    }
}

#[test]
fn q_28_an_item_that_cannot_be_decoded_ends_those_that_come_before_it() {
    let queue = Queue::new().unwrap();
    let bad = Picky::FailsToDecode;
    queue.put_many(&[Picky::Good(1), Picky::Good(2), bad, bad, Picky::Good(3)]).unwrap();
    assert_eq!(queue.get_many(10).unwrap(), [Picky::Good(1), Picky::Good(2)]);
    assert_eq!(queue.qsize(), 3);
    for _ in 0..2 {
        assert!(matches!(queue.get_many(10), Err(QueueError::Decode(_))));
    }
    assert_eq!(queue.get_many(10).unwrap(), [Picky::Good(3)]);
    assert_eq!(state(&queue), (0, true, false));
}

/// Whether [`Explosive`] is to be decoded without a panic.
static IS_DEFUSED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Its `Deserialize` panics.
#[derive(Serialize)]
struct Explosive(u32);

impl<'de> Deserialize<'de> for Explosive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Explosive, D::Error> {
        assert!(IS_DEFUSED.load(std::sync::atomic::Ordering::Relaxed), "it explodes");
        u32::deserialize(deserializer).map(Explosive)
    }
}

#[test]
fn q_28_a_panic_while_an_item_is_decoded_leaves_the_queue_usable() {
    alone(|| {
        let queue = Queue::bounded(4)?;
        (0..4).try_for_each(|n| queue.put(&Explosive(n)))?;
        let unwinds = |get: &dyn Fn() -> bool| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(get)).is_err()
        };
        mp::ensure!(unwinds(&|| queue.get().is_ok()));
        mp::ensure!(unwinds(&|| queue.get_many(10).is_ok()));
        IS_DEFUSED.store(true, std::sync::atomic::Ordering::Relaxed);
        mp::ensure!(queue.qsize() == queue.get_many(10)?.len() && queue.is_empty());
        (0..4).try_for_each(|n| queue.put_nowait(&Explosive(n)))?;
        mp::ensure!(state(&queue) == (4, false, true));
        mp::ensure!(queue.get_many(10)?.iter().map(|item| item.0).eq(0..4));
        Ok(())
    });
}

/// Its `Serialize` panics.
struct Bursting;

impl Serialize for Bursting {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("it bursts")
    }
}

#[test]
fn q_11_a_panic_while_an_item_is_encoded_puts_nothing() {
    let queue = Queue::<Bursting>::bounded(1).unwrap();
    for _ in 0..3 {
        let puts = std::panic::AssertUnwindSafe(|| queue.put(&Bursting));
        std::panic::catch_unwind(puts).unwrap_err();
        assert_eq!(state(&queue), (0, true, false));
    }
    queue.put_bytes_nowait(b"").unwrap();
}

fn closes(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    let (clone, bytes) = (queue.clone(), &mut Vec::new());
    queue.put(&1)?;
    queue.close();
    queue.close();
    mp::ensure!(queue.is_closed() && clone.is_closed());
    for queue in [&queue, &clone] {
        let is_closed = |outcome| matches!(outcome, Err(QueueError::Closed));
        mp::ensure!(is_closed(queue.put(&2)) && is_closed(queue.put_nowait(&2)));
        mp::ensure!(is_closed(queue.put_timeout(&2, LONG)) && is_closed(queue.put_bytes(b"2")));
        mp::ensure!(is_closed(queue.put_many(&[2])) && is_closed(queue.put_many(&[])));
        mp::ensure!(is_closed(queue.get().map(drop)) && is_closed(queue.get_nowait().map(drop)));
        mp::ensure!(is_closed(queue.get_timeout(LONG).map(drop)));
        mp::ensure!(is_closed(queue.get_many(2).map(drop)) && is_closed(queue.get_bytes(bytes)));
        mp::ensure!(queue.iter().next().is_none() && queue.try_iter().next().is_none());
        mp::ensure!(state(queue) == (1, false, false), "what is in it is still there");
    }
    let text = queue.put(&2).unwrap_err().to_string();
    mp::ensure!(text.contains("closed"), "{text}");
    link.say("closed");
    link.hear()?;
    Ok(())
}

#[test]
fn q_13_q_14_q_16_a_closed_handle_says_so_and_others_go_on() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut other = Peer::start(way, closes, &queue);
        other.expect("closed");
        assert!(!queue.is_closed());
        assert_eq!(queue.get().unwrap(), 1);
        queue.put(&5).unwrap();
        assert_eq!(queue.get().unwrap(), 5);
        queue.put(&7).unwrap();
        other.say("end");
        other.end();
        assert_eq!(queue.get().unwrap(), 7);
        closes(queue.clone(), &mut Link::to_nobody()).unwrap_err(); // nobody is there to be heard
        assert!(queue.is_closed());
        let again = Queue::<u64>::from_token(&queue.token().unwrap()).unwrap();
        assert!(!again.is_closed(), "another handle of the same process");
        assert_eq!(again.get().unwrap(), 1);
    }
}

#[test]
fn q_13_jq_07_a_closed_joinable_queue_says_the_same() {
    let queue = JoinableQueue::new().unwrap();
    queue.put(&1).unwrap();
    queue.close();
    assert!(matches!(queue.put(&1), Err(QueueError::Closed)));
    assert!(matches!(queue.get(), Err(QueueError::Closed)));
    assert!(matches!(queue.task_done(), Err(QueueError::Closed)));
    assert!(matches!(queue.join(), Err(QueueError::Closed)));
    assert!(matches!(queue.join_timeout(LONG), Err(QueueError::Closed)));
    assert_eq!((queue.qsize(), queue.unfinished()), (1, 1));
}

/// Puts an item and takes two, so that everybody is ahead of the other once.
fn puts_one_and_takes_two(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    queue.put(&1)?;
    let got = [queue.get()?, queue.get()?];
    link.say(format_args!("{got:?}"));
    Ok(())
}

#[test]
fn q_07_items_of_two_processes_are_in_one_order() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        queue.put(&0).unwrap();
        let mut other = Peer::start(way, puts_one_and_takes_two, &queue);
        other.expect("[0, 1]");
        other.end();
    }
}

#[test]
fn q_17_a_put_of_a_megabyte_waits_for_nobody() {
    let queue = Queue::<()>::new().unwrap();
    for _ in 0..20 {
        at_once(|| queue.put_bytes(&vec![1; 1 << 20])).unwrap();
    }
    assert_eq!(queue.qsize(), 20);
}

#[test]
fn q_22_what_a_thread_has_put_it_can_get_at_once() {
    let queue = Queue::new().unwrap();
    for n in 0..20_000_u32 {
        queue.put(&n).unwrap();
        assert_eq!(queue.get_nowait().unwrap(), n);
        assert!(is_empty(queue.get_nowait()));
    }
    let queue = Queue::<()>::new().unwrap();
    for n in 0..100_u8 {
        queue.put_bytes(&vec![n; 300_000]).unwrap();
        let mut bytes = Vec::new();
        queue.get_bytes_nowait(&mut bytes).unwrap();
        assert!(bytes.len() == 300_000 && bytes.iter().all(|byte| *byte == n));
    }
}

type Nothings = ((), Option<Vec<u8>>, Vec<String>, String, Result<(), ()>);

/// Sends back what comes, until it is told by an absence.
fn gives_back_what_is_nothing(
    (forth, back): (Queue<Option<Nothings>>, Queue<Nothings>),
    _: &mut Link,
) -> mp::Result<()> {
    while let Some(nothing) = forth.get()? {
        back.put(&nothing)?;
    }
    Ok(())
}

#[test]
fn q_30_nothing_and_empty_values_are_items_like_any_other() {
    let nothings: [Nothings; 3] = [
        ((), None, Vec::new(), String::new(), Ok(())),
        ((), Some(Vec::new()), vec![String::new()], "\0".to_owned(), Err(())),
        ((), Some(vec![0]), Vec::new(), String::new(), Ok(())),
    ];
    for way in WAYS {
        let queues = (Queue::new().unwrap(), Queue::new().unwrap());
        let other = Peer::start(way, gives_back_what_is_nothing, &queues);
        for nothing in &nothings {
            queues.0.put(&Some(nothing.clone())).unwrap();
        }
        for nothing in &nothings {
            assert_eq!(&queues.1.get().unwrap(), nothing);
        }
        queues.0.put(&None).unwrap();
        other.end();
    }
    let queue = Queue::new().unwrap();
    queue.put_many(&[(); 1000]).unwrap();
    assert_eq!(queue.qsize(), 1000);
    (0..1000).for_each(|_| queue.get_nowait().unwrap());
    assert!(is_empty(queue.get_nowait()));
    queue.put_bytes(b"").unwrap();
    let mut bytes = vec![1, 2, 3];
    queue.get_bytes(&mut bytes).unwrap();
    assert!(bytes.is_empty() && queue.is_empty());
}

#[test]
fn the_text_of_a_queue_names_its_items_and_its_size() {
    let queue = JoinableQueue::<u8>::bounded(3).unwrap();
    queue.put(&1).unwrap();
    assert_eq!(format!("{:?}", *queue), "Queue(1 of u8, maxsize 3)");
    assert_eq!(format!("{queue:?}"), "JoinableQueue(1 of u8, maxsize 3)");
}
