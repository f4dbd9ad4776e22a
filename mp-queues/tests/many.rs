//! Many items in one call, bytes as they are, limits in bytes, and items one by one in a loop.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{JoinableQueue, Queue, QueueError};
use mp_testing::limits::{LONG, SHORT, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;

mp::enable_test_support!();

roles!(puts_many, takes_many, echoes_bytes, sums_up);

/// Puts what it is told to, all numbers up to there.
fn puts_many(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    let count = link.hear()?.parse()?;
    Ok(queue.put_many(&(0..count).collect::<Vec<u64>>())?)
}

/// Takes as many, and sees that they come in order.
fn takes_many(queue: Queue<u64>, link: &mut Link) -> mp::Result<()> {
    let count = link.hear()?.parse()?;
    let mut next = 0;
    while next < count {
        let got = queue.get_many(usize::MAX)?;
        mp::ensure!(!got.is_empty());
        for n in got {
            mp::ensure!(n == next);
            next += 1;
        }
    }
    Ok(())
}

#[test]
fn many_items_come_out_as_they_went_in() {
    for way in WAYS {
        for (maxsize, count) in [(0, 200_000), (1, 2000), (7, 5000), (1000, 50_000)] {
            let queue = Queue::bounded(maxsize).unwrap();
            let mut producer = Peer::start(way, puts_many, &queue);
            let mut consumer = Peer::start(way, takes_many, &queue);
            producer.say(count);
            consumer.say(count);
            producer.end();
            consumer.end();
            assert_eq!(queue.qsize(), 0);
        }
    }
}

#[test]
fn many_items_are_got_in_one_call_as_far_as_they_are_there() {
    let queue = Queue::new().unwrap();
    queue.put_many(&(0..100).collect::<Vec<u32>>()).unwrap();
    assert_eq!(queue.get_many(0).unwrap(), [0; 0]);
    assert_eq!(queue.get_many(3).unwrap(), [0, 1, 2]);
    assert_eq!(queue.get_many_nowait(usize::MAX).unwrap(), (3..100).collect::<Vec<_>>());
    queue.put_many(&[]).unwrap();
    assert!(queue.is_empty());
}

/// The consumer that had looked at the tail once got no more than what had been there by then.
#[test]
fn many_items_are_got_that_were_put_one_by_one_since_the_last_look() {
    let queue = Queue::new().unwrap();
    (0..6).for_each(|n| queue.put(&n).unwrap());
    assert_eq!(queue.get().unwrap(), 0);
    queue.put(&6).unwrap();
    queue.put(&7).unwrap();
    assert_eq!(queue.get_many(10).unwrap(), (1..8).collect::<Vec<_>>());
}

#[test]
fn many_items_for_which_there_is_no_room_are_put_in_part() {
    let queue = Queue::bounded(3).unwrap();
    let expect_partial = |outcome: Result<(), QueueError>, count: usize| match outcome {
        Err(QueueError::Partial { put, source }) => {
            assert_eq!(put, count);
            assert!(matches!(*source, QueueError::Full), "{source:?}");
        }
        other => panic!("{other:?}"),
    };
    expect_partial(queue.put_many_nowait(&[1, 2, 3, 4, 5]), 3);
    assert!(matches!(queue.put_many_nowait(&[6, 7]), Err(QueueError::Full)));
    assert_eq!(queue.get().unwrap(), 1);
    let timed = || queue.put_many_timeout(&[4, 5], SHORT);
    expect_partial(takes_at_least(SHORT, timed), 1);
    assert_eq!((queue.get().unwrap(), queue.get().unwrap(), queue.get().unwrap()), (2, 3, 4));
    assert!(queue.is_empty());
    let error = queue.put_many_nowait(&[1, 2, 3, 4]).unwrap_err();
    assert_eq!(error.to_string(), "only 3 items were put");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the queue is full");
}

#[test]
fn many_items_of_which_one_is_too_large_are_put_up_to_it() {
    let queue = Queue::builder().max_bytes(1000).build().unwrap();
    let items = ["a".to_owned(), "b".to_owned(), "c".repeat(2000), "d".to_owned()];
    match queue.put_many(&items).unwrap_err() {
        QueueError::Partial { put: 2, source } => {
            assert!(matches!(*source, QueueError::TooLarge { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((queue.get().unwrap(), queue.get().unwrap()), ("a".to_owned(), "b".to_owned()));
    assert!(matches!(queue.put_many(&items[2..]), Err(QueueError::TooLarge { .. })));
    assert!(queue.is_empty());
}

#[test]
fn many_large_items_do_not_have_to_be_there_at_the_same_time() {
    let queue = Queue::builder().max_bytes(3 << 20).build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let items: Vec<_> = (0..20).map(|n| n.to_string().repeat(500_000)).collect();
            queue.put_many(&items).unwrap();
        });
        let mut got = Vec::new();
        while got.len() < 20 {
            got.extend(queue.get_many_timeout(20, LONG).unwrap());
        }
        let is_right = |(n, item): (usize, &String)| *item == n.to_string().repeat(500_000);
        assert!(got.iter().enumerate().all(is_right));
    });
}

fn echoes_bytes((forth, back): (Queue<()>, Queue<()>), link: &mut Link) -> mp::Result<()> {
    let count: usize = link.hear()?.parse()?;
    let mut bytes = Vec::new();
    for _ in 0..count {
        forth.get_bytes(&mut bytes)?;
        back.put_bytes(&bytes)?;
    }
    Ok(())
}

#[test]
fn bytes_of_all_lengths_around_the_edges_go_there_and_back() {
    let edge = [0, 1, 12, 13, 16, 1019, 1020, 1021, 1024, 32_768, 65_536, 1 << 20];
    let lengths = edge.iter().flat_map(|len: &usize| len.saturating_sub(2)..len + 18);
    let lengths: Vec<_> = lengths.chain([9 << 20]).collect();
    for way in WAYS {
        let queues = (Queue::new().unwrap(), Queue::new().unwrap());
        let mut other = Peer::start(way, echoes_bytes, &queues);
        other.say(lengths.len());
        let mut got = vec![1; 10];
        for (number, len) in lengths.iter().enumerate() {
            let sent: Vec<u8> = (0..251).cycle().skip(number % 251).take(*len).collect();
            queues.0.put_bytes(&sent).unwrap();
            queues.1.get_bytes_timeout(&mut got, LONG).unwrap();
            assert!(got == sent, "{len} bytes");
        }
        other.end();
    }
}

#[test]
fn bytes_that_are_an_encoded_item_are_got_as_that() {
    let queue = Queue::<(u8, String)>::new().unwrap();
    let item = (7, "seven".to_owned());
    let message = mp_reduction::encode(&item).unwrap();
    queue.put_bytes(message.bytes()).unwrap();
    assert_eq!(queue.get().unwrap(), item);
    queue.put(&item).unwrap();
    let mut bytes = Vec::new();
    queue.get_bytes(&mut bytes).unwrap();
    assert_eq!(bytes, message.bytes());
}

#[test]
fn bytes_got_of_an_item_with_a_lock_in_it_are_without_the_lock() {
    let queue = Queue::new().unwrap();
    let lock = mp::Lock::new().unwrap();
    queue.put(&(1_u8, lock.clone())).unwrap();
    let mut bytes = Vec::new();
    queue.get_bytes(&mut bytes).unwrap();
    assert!(queue.is_empty());
    queue.put_bytes(&bytes).unwrap();
    assert!(matches!(queue.get(), Err(QueueError::Decode(_))), "its lock is not there any more");
}

#[test]
fn a_limit_in_bytes_counts_items_with_what_they_take_beside_their_own() {
    for max_bytes in [1, 16, 17, 100, 4096, 100_000] {
        let queue = Queue::<()>::builder().max_bytes(max_bytes).build().unwrap();
        let mut put = 0;
        // 12 bytes and 4 more, which is as much as fits without a gap.
        while queue.put_bytes_nowait(&[7; 12]).is_ok() {
            put += 1;
        }
        assert_eq!(put, max_bytes.div_ceil(16), "of {max_bytes} bytes");
        assert!(queue.is_full());
        queue.get_bytes(&mut Vec::new()).unwrap();
        assert!(!queue.is_full());
        queue.put_bytes_nowait(&[7; 12]).unwrap();
        assert!(matches!(queue.put_bytes_nowait(&[]), Err(QueueError::Full)));
    }
}

#[test]
fn an_item_larger_than_the_limit_in_bytes_is_refused_at_once_whatever_is_in_the_queue() {
    let queue = Queue::<String>::builder().max_bytes(64).maxsize(3).build().unwrap();
    assert_eq!(queue.maxsize(), 3);
    let long = "x".repeat(61);
    for _ in 0..2 {
        match queue.put(&long).unwrap_err() {
            error @ QueueError::TooLarge { size, max: 64 } => {
                assert!((63..=80).contains(&size), "{size}");
                assert!(error.to_string().contains("too large for a queue of at most 64 bytes"));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(queue.put_timeout(&long, LONG), Err(QueueError::TooLarge { .. })));
        assert!(matches!(queue.put_nowait(&long), Err(QueueError::TooLarge { .. })));
        assert!(matches!(queue.put_bytes(&[0; 61]), Err(QueueError::TooLarge { .. })));
        queue.put_nowait(&"short".to_owned()).unwrap();
    }
    // The longest that fits waits for all others to be taken.
    let longest = [0; 60];
    assert!(matches!(queue.put_bytes_nowait(&longest), Err(QueueError::Full)));
    queue.get_many(2).unwrap();
    queue.put_bytes_nowait(&longest).unwrap();
}

#[test]
fn whichever_limit_is_reached_first_counts() {
    let queue = Queue::<()>::builder().maxsize(2).max_bytes(1600).build().unwrap();
    queue.put_nowait(&()).unwrap();
    queue.put_nowait(&()).unwrap();
    assert!(queue.is_full() && matches!(queue.put_nowait(&()), Err(QueueError::Full)));
    (0..2).for_each(|_| queue.get().unwrap());
    queue.put_bytes(&[0; 1500]).unwrap();
    assert!(!queue.is_full());
    assert!(matches!(queue.put_bytes_nowait(&[0; 200]), Err(QueueError::Full)));
    let queue = JoinableQueue::with_limits(Queue::builder().max_bytes(16)).unwrap();
    queue.put_nowait(&5).unwrap();
    assert!(matches!(queue.put_nowait(&6), Err(QueueError::Full)));
    queue.get().unwrap();
    queue.task_done().unwrap();
    queue.join().unwrap();
}

/// Sums up all items before the absence.
fn sums_up(queue: Queue<Option<u64>>, link: &mut Link) -> mp::Result<()> {
    let mut sum = 0;
    for item in &queue {
        match item? {
            Some(n) => sum += n,
            None => queue.close(),
        }
    }
    link.say(sum);
    Ok(())
}

#[test]
fn a_loop_takes_items_until_the_handle_is_closed() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let mut other = Peer::start(way, sums_up, &queue);
        (1..=1000).for_each(|n| queue.put(&Some(n)).unwrap());
        queue.put(&None).unwrap();
        other.expect("500500");
        other.end();
        queue.put(&Some(1)).unwrap();
        assert_eq!(queue.try_iter().map(Result::unwrap).collect::<Vec<_>>(), [Some(1)]);
        assert!(queue.try_iter().next().is_none());
    }
}

#[test]
fn a_loop_gives_errors_and_goes_on() {
    let queue = Queue::<String>::new().unwrap();
    queue.put(&"first".to_owned()).unwrap();
    queue.put_bytes(&[1]).unwrap();
    queue.put(&"third".to_owned()).unwrap();
    let got: Vec<_> = queue.try_iter().collect();
    assert_eq!(got.len(), 3);
    assert!(matches!(got[1], Err(QueueError::Decode(_))));
    assert_eq!(got[2].as_ref().unwrap(), "third");
    let mut iter = queue.iter();
    queue.put(&"last".to_owned()).unwrap();
    assert_eq!(iter.next().unwrap().unwrap(), "last");
    queue.close();
    assert!(iter.next().is_none());
}
