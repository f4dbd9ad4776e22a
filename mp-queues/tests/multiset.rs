//! Four producers and four consumers: every item arrives once, and each producer's in order.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{Barrier, Queue};
use mp_testing::limits::{LONG, ends_in_time};

mp::enable_test_support!();

const PRODUCERS: u64 = CONSUMERS as u64;
const CONSUMERS: usize = 4;
/// The lowest bits of an item are its number, those above its producer; all of them are the end.
const NUMBER_BITS: u32 = 32;
const END: u64 = u64::MAX;

/// How many items there are in all: `MP_ITEMS`, or as many as take a few seconds.
fn items() -> u64 {
    let usual = if cfg!(debug_assertions) { 500_000 } else { 1_000_000 };
    std::env::var("MP_ITEMS").ok().and_then(|items| items.parse().ok()).unwrap_or(usual)
}

/// Puts the numbers below `count`, `batch` in one call.
fn produces(q: Queue<u64>, start: Barrier, me: u64, count: u64, batch: u64) -> mp::Result<()> {
    let item = |number| me << NUMBER_BITS | number;
    start.wait()?;
    if batch == 1 {
        return (0..count).try_for_each(|number| Ok(q.put(&item(number))?));
    }
    let numbers: Vec<_> = (0..count).map(item).collect();
    numbers.chunks(usize::try_from(batch)?).try_for_each(|chunk| Ok(q.put_many(chunk)?))
}

/// Which numbers of each producer came, as the bits of words.
type Bitmaps = Vec<Vec<u64>>;

/// Gets items until the end, each after all of the same producer that came before.
fn consumes(q: Queue<u64>, start: Barrier, count: u64, batch: usize) -> mp::Result<Bitmaps> {
    let words = usize::try_from(count.div_ceil(64))?;
    let mut bitmaps = vec![vec![0; words]; usize::try_from(PRODUCERS)?];
    let mut next = vec![0; bitmaps.len()];
    start.wait()?;
    loop {
        let items = if batch == 1 { vec![q.get()?] } else { q.get_many(batch)? };
        mp::ensure!(!items.is_empty() && items.len() <= batch);
        let is_end = items.last() == Some(&END);
        for &item in items.iter().filter(|item| **item != END) {
            let (producer, number) = (usize::try_from(item >> NUMBER_BITS)?, item & 0xffff_ffff);
            mp::ensure!(number >= next[producer], "{number} of {producer} after a later one");
            next[producer] = number + 1;
            bitmaps[producer][usize::try_from(number / 64)?] |= 1 << (number % 64);
        }
        if is_end {
            // The ends of others come to them.
            let ends = items.iter().filter(|item| **item == END).count();
            q.put_many(&vec![END; ends - 1])?;
            return Ok(bitmaps);
        }
    }
}

fn all_arrive_once(maxsize: usize, put_batch: u64, get_batch: usize) {
    let count = items() / PRODUCERS;
    let queue = Queue::bounded(maxsize).unwrap();
    let start = Barrier::new(2 * CONSUMERS).unwrap();
    let consumers: Vec<_> = (0..CONSUMERS)
        .map(|_| {
            let arguments = (queue.clone(), start.clone(), count, get_batch);
            mp::Process::start(consumes, arguments).unwrap()
        })
        .collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|me| {
            let arguments = (queue.clone(), start.clone(), me, count, put_batch);
            mp::Process::start(produces, arguments).unwrap()
        })
        .collect();
    for producer in producers {
        ends_in_time(&producer);
        producer.into_result().unwrap();
    }
    queue.put_many(&[END; CONSUMERS]).unwrap();
    let mut all: Bitmaps = Vec::new();
    let mut got = Vec::new();
    for consumer in consumers {
        ends_in_time(&consumer);
        let bitmaps = consumer.into_result().unwrap();
        got.push(bitmaps.iter().flatten().map(|word| u64::from(word.count_ones())).sum::<u64>());
        if all.is_empty() {
            all = bitmaps;
            continue;
        }
        for (word, more) in all.iter_mut().flatten().zip(bitmaps.iter().flatten()) {
            assert_eq!(*word & more, 0, "two consumers got the same item");
            *word |= more;
        }
    }
    eprintln!("each consumer got {got:?}");
    assert_eq!(got.iter().sum::<u64>(), count * PRODUCERS);
    for bitmap in &all {
        let numbers: u32 = bitmap.iter().map(|word| word.count_ones()).sum();
        assert_eq!(u64::from(numbers), count, "items of a producer are missing");
    }
    assert_eq!((queue.qsize(), queue.is_empty()), (0, true));
}

#[test]
fn q_24_every_item_of_a_queue_without_a_limit_arrives_once() {
    all_arrive_once(0, 1, 1);
}

#[test]
fn q_24_every_item_of_a_limited_queue_arrives_once() {
    all_arrive_once(50, 1, 1);
}

#[test]
fn q_24_every_item_arrives_once_when_many_are_put_and_got_in_one_call() {
    all_arrive_once(0, 100, 64);
}

#[test]
fn q_24_every_item_arrives_once_when_many_are_put_and_single_ones_got() {
    all_arrive_once(1000, 300, 1);
}

#[test]
fn q_24_every_item_arrives_once_when_single_ones_are_put_and_many_got() {
    all_arrive_once(0, 1, 1000);
}

#[test]
fn q_25_items_of_a_megabyte_of_four_producers_arrive_whole() {
    const LEN: usize = 1 << 20;
    fn puts(queue: Queue<()>, me: u8) -> mp::Result<()> {
        (0..25).try_for_each(|number| Ok(queue.put_bytes(&[vec![number], vec![me; LEN]].concat())?))
    }
    for maxsize in [0, 2] {
        let queue = Queue::bounded(maxsize).unwrap();
        let producers: Vec<_> =
            (0..4).map(|me| mp::Process::start(puts, (queue.clone(), me)).unwrap()).collect();
        let (mut bytes, mut next) = (Vec::new(), [0; 4]);
        for _ in 0..100 {
            queue.get_bytes_timeout(&mut bytes, LONG).unwrap();
            let (number, me) = (bytes[0], bytes[1]);
            assert!(bytes.len() == LEN + 1 && bytes[1..] == vec![me; LEN], "a part of another");
            assert_eq!(number, next[usize::from(me)]);
            next[usize::from(me)] += 1;
        }
        producers.into_iter().for_each(|producer| producer.into_result().unwrap());
        assert!(queue.is_empty());
    }
}
