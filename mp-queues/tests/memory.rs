//! A queue takes memory as it fills and gives it back as it is emptied; too little is an error, never a signal.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::MetadataExt;

use mp::{EncodeError, JoinableQueue, Queue, QueueError};
use mp_testing::limits::{LONG, SHORT, alone, comes_true};
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;
use mp_testing::system::{Holdings, holdings, mapped_bytes};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::Serialize;
use serde::de::DeserializeOwned;

mp::enable_test_support!();

roles!(takes_slowly);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
/// The length of a block of a queue.
const BLOCK: usize = 32 * KIB;

fn limit(resource: Resource, current: Option<u64>) -> mp::Result<()> {
    Ok(setrlimit(resource, Rlimit { current, maximum: None })?)
}

/// How much is asked for and there, if that is what went wrong.
fn no_space<T: std::fmt::Debug>(outcome: Result<T, QueueError>) -> mp::Result<(u64, u64)> {
    match outcome {
        Err(QueueError::NoSpace { asked, available }) => Ok((asked, available)),
        other => mp::bail!("{other:?}"),
    }
}

/// Bytes whose content tells which item it is.
fn item(number: usize, len: usize) -> Vec<u8> {
    (0..251).cycle().skip(number % 251).take(len).collect()
}

/// Puts items until there is no room, and takes them all; how many there were.
fn fill_and_drain(queue: &Queue<()>, len: usize) -> mp::Result<usize> {
    let mut count = 0;
    let refused = loop {
        match queue.put_bytes_nowait(&item(count, len)) {
            Ok(()) => count += 1,
            refused => break refused,
        }
    };
    let (asked, available) = no_space(refused)?;
    mp::ensure!(asked > available, "{asked} bytes, {available} available");
    mp::ensure!(queue.qsize() == count);
    let mut bytes = Vec::new();
    for number in 0..count {
        queue.get_bytes_nowait(&mut bytes)?;
        mp::ensure!(bytes == item(number, len), "item {number} is damaged");
    }
    mp::ensure!(queue.is_empty() && queue.qsize() == 0);
    Ok(count)
}

#[test]
fn too_little_address_space_is_an_error_and_leaves_the_queue_usable() {
    alone(|| {
        let queue = Queue::<()>::new()?;
        queue.put_bytes(&item(0, MIB))?;
        queue.get_bytes(&mut Vec::with_capacity(2 * MIB))?;
        let mapped = mapped_bytes(std::process::id())?;
        limit(Resource::As, Some(mapped + 40 * MIB as u64))?;
        for _ in 0..5 {
            let count = fill_and_drain(&queue, MIB)?;
            mp::ensure!(count > 2, "only {count} items");
            queue.put_bytes(&item(1, 100))?;
            let mut bytes = Vec::new();
            queue.get_bytes(&mut bytes)?;
            mp::ensure!(bytes == item(1, 100));
        }
        limit(Resource::As, None)?;
        (0..100).try_for_each(|number| queue.put_bytes(&item(number, MIB)))?;
        mp::ensure!(queue.qsize() == 100);
        Ok(())
    });
}

/// There is memory for the short one.
fn refuses_what_is_too_long<T>(short: T, long: T) -> mp::Result<()>
where
    T: Clone + PartialEq + Serialize + DeserializeOwned,
{
    let queue = Queue::<T>::new()?;
    let (long_first, long_last) = ([long.clone(), short.clone()], [short.clone(), long.clone()]);
    queue.put(&short)?;
    let mapped = mapped_bytes(std::process::id())?;
    limit(Resource::As, Some(mapped + 20 * MIB as u64))?;
    for _ in 0..5 {
        let partly = match queue.put_many(&long_last) {
            Err(QueueError::Partial { put: 1, source }) => *source,
            other => mp::bail!("{other:?}"),
        };
        for refused in [queue.put(&long), queue.put_many(&long_first), Err(partly)] {
            let is_told = matches!(refused, Err(QueueError::Encode(EncodeError::NoMemory { .. })));
            mp::ensure!(is_told, "{refused:?}");
        }
        queue.put(&short)?;
        mp::ensure!(queue.qsize() == 3);
        mp::ensure!(queue.get()? == short && queue.get()? == short);
    }
    limit(Resource::As, None)?;
    queue.put(&long)?;
    mp::ensure!(queue.get()? == short && queue.get()? == long);
    Ok(())
}

#[test]
fn a_long_text_without_memory_for_its_encoded_form_is_an_error_and_the_next_one_is_put() {
    alone(|| refuses_what_is_too_long("short".to_owned(), "x".repeat(64 * MIB)));
}

/// Its encoded form grows until there is no memory.
#[test]
fn many_texts_without_memory_for_their_encoded_form_are_an_error_and_the_next_ones_are_put() {
    alone(|| {
        let short = vec!["x".repeat(100 * KIB)];
        refuses_what_is_too_long(short, vec!["x".repeat(KIB); 64 * KIB])
    });
}

#[test]
fn a_file_size_limit_is_an_error_and_leaves_the_queue_usable() {
    alone(|| {
        let queue = Queue::<()>::new()?;
        queue.put_bytes(&item(0, 10))?;
        limit(Resource::Fsize, Some(8 * MIB as u64))?;
        for _ in 0..5 {
            let (asked, available) = no_space(queue.put_bytes(&item(1, 9 * MIB)))?;
            mp::ensure!(asked > available && available <= 8 * MIB as u64);
            mp::ensure!(queue.qsize() == 1);
        }
        let text = queue.put_bytes(&item(1, 9 * MIB)).unwrap_err().to_string();
        mp::ensure!(text.starts_with("no space for ") && text.ends_with(" available"), "{text}");
        queue.put_bytes(&item(1, MIB))?;
        let mut bytes = Vec::new();
        queue.get_bytes(&mut bytes)?;
        mp::ensure!(bytes == item(0, 10));
        queue.get_bytes(&mut bytes)?;
        mp::ensure!(bytes == item(1, MIB));
        Ok(())
    });
}

/// Such a queue, which has no limit of its own, took itself for a limited one: put waited for room, for ever.
#[test]
fn a_queue_made_under_a_file_size_limit_says_that_there_is_no_space() {
    alone(|| {
        limit(Resource::Fsize, Some(8 * MIB as u64))?;
        let small = Queue::<()>::new()?;
        let (first, second) = (fill_and_drain(&small, 100 * KIB)?, fill_and_drain(&small, 10)?);
        mp::ensure!(first > 10 && second > 1000, "{first} and {second} items");
        Ok(())
    });
}

#[test]
fn a_file_size_limit_too_low_for_any_queue_is_an_error_that_says_so() {
    alone(|| {
        for bytes in [100, 64 * KIB as u64, 2 * MIB as u64] {
            limit(Resource::Fsize, Some(bytes))?;
            let before = holdings();
            for _ in 0..100 {
                let (asked, available) = no_space(Queue::<()>::new())?;
                mp::ensure!(asked > available, "{asked} bytes, {available} available");
            }
            mp::ensure!(holdings() == before);
        }
        limit(Resource::Fsize, None)?;
        Queue::<u8>::new()?.put(&1)?;
        Ok(())
    });
}

#[test]
fn a_consumer_without_address_space_leaves_the_items_to_others() {
    let queue = Queue::<()>::new().unwrap();
    (0..60).for_each(|number| queue.put_bytes(&item(number, MIB)).unwrap());
    let child = |queue: Queue<()>| {
        let mapped = mapped_bytes(std::process::id())?;
        limit(Resource::As, Some(mapped + 20 * MIB as u64))?;
        let mut bytes = Vec::new();
        let (mut got, mut refused) = (0, 0);
        while refused < 3 {
            match queue.get_bytes_nowait(&mut bytes) {
                Ok(()) => {
                    mp::ensure!(bytes == item(got, MIB));
                    got += 1;
                }
                refusal => {
                    no_space(refusal)?;
                    refused += 1;
                }
            }
        }
        Ok(got)
    };
    let p = mp::Process::start(child, (queue.clone(),)).unwrap();
    let got = p.into_result().unwrap();
    assert!(got < 60, "it had enough");
    let mut bytes = Vec::new();
    for number in got..60 {
        queue.get_bytes_nowait(&mut bytes).unwrap();
        assert!(bytes == item(number, MIB), "item {number}");
    }
    assert_eq!(queue.qsize(), 0);
}

/// A number of kilobytes out of a file of the system.
fn kib(path: &str, field: &str) -> mp::Result<usize> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// How much memory this process has, how many mappings, and how much of the memory is shared.
fn memory() -> mp::Result<(usize, usize, usize)> {
    let maps = fs::read_to_string("/proc/self/maps")?.lines().count();
    let status = "/proc/self/status";
    Ok((kib(status, "VmRSS:")?, maps, kib(status, "RssShmem:")?))
}

#[test]
fn ten_thousand_queues_leave_descriptors_mappings_and_memory_as_before() {
    alone(|| Ok(())); // after which this process has what it keeps for its children
    let before = holdings();
    alone(|| {
        let cycle = |n: usize| -> Result<(), QueueError> {
            let queue = JoinableQueue::bounded(n % 3)?;
            queue.put(&(n, "text".to_owned()))?;
            let queue = if n.is_multiple_of(16) {
                JoinableQueue::from_token(&queue.token()?)?
            } else {
                queue.clone()
            };
            if n.is_multiple_of(2) {
                let _item: (usize, String) = queue.get()?;
                queue.task_done()?;
                queue.join()?;
            }
            if n.is_multiple_of(100) {
                queue.put_bytes(&[1; MIB])?;
            }
            Ok(())
        };
        (0..1000).try_for_each(cycle)?;
        let (before, (resident, maps, shared)) = (holdings(), memory()?);
        (0..10_000).try_for_each(cycle)?;
        mp::ensure!(comes_true(|| holdings() == before), "{:?}, not {before:?}", holdings());
        let now = memory()?;
        eprintln!("resident, mappings, shared: {:?} and then {now:?}", (resident, maps, shared));
        mp::ensure!(now.0 <= resident + 2048, "{} KiB and not {resident}", now.0);
        mp::ensure!(now.1 <= maps + 4, "{} mappings and not {maps}", now.1);
        mp::ensure!(now.2 <= shared + 256, "{} KiB shared and not {shared}", now.2);
        Ok(())
    });
    // Here is the root of the session, where tokens leave something.
    let is_back =
        |now: Holdings| now.descriptors <= before.descriptors && now.children <= before.children;
    assert!(comes_true(|| is_back(holdings())), "{:?} and not {before:?}", holdings());
}

/// How many blocks are behind the queue of this process, of which there must be one only. Its links take some pages
/// beside them.
fn blocks_behind_queue() -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let target = fs::read_link(&path).ok()?;
            let is_queue = target.to_str()?.starts_with("/memfd:mp-queue");
            let metadata = fs::metadata(&path).ok().filter(|_| is_queue)?;
            Some((metadata.ino(), metadata.blocks()))
        })
        .collect();
    files.sort();
    files.dedup();
    assert_eq!(files.len(), 1, "one queue");
    usize::try_from(files[0].1).unwrap() * 512 / BLOCK
}

/// Takes items, as many as it is told to at a time.
fn takes_slowly(queue: Queue<()>, link: &mut Link) -> mp::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let count: usize = link.hear()?.parse()?;
        if count == 0 {
            return Ok(());
        }
        (0..count).try_for_each(|_| queue.get_bytes_timeout(&mut bytes, LONG))?;
        link.say("taken");
    }
}

/// How many blocks are behind an empty queue when they are not more than `expected`, or at the end of a long wait. What
/// may be needed again at once is given back by who waits for an item, after a while.
fn settled(queue: &Queue<()>, expected: usize) -> usize {
    comes_true(|| {
        let got = queue.get_bytes_timeout(&mut Vec::new(), SHORT);
        assert!(matches!(got, Err(QueueError::Empty)), "{got:?}");
        blocks_behind_queue() <= expected
    });
    blocks_behind_queue()
}

/// The number of blocks behind a queue whose consumer is slow: before, at most, half drained, drained.
fn blocks_with_a_backlog(count: usize, len: usize) -> mp::Result<[usize; 4]> {
    let queue = Queue::<()>::new()?;
    let mut consumer = Peer::start(WAYS[0], takes_slowly, &queue);
    let mut take = |count: usize| {
        consumer.say(count);
        consumer.expect("taken");
    };
    let bytes = vec![1; len];
    (0..4).try_for_each(|_| queue.put_bytes(&bytes))?;
    take(4);
    let before = blocks_behind_queue();
    for _ in 0..count / 4 {
        (0..5).try_for_each(|_| queue.put_bytes(&bytes))?;
        take(1);
    }
    let most = blocks_behind_queue();
    take(count / 2);
    let half = blocks_behind_queue();
    take(queue.qsize());
    mp::ensure!(queue.is_empty());
    consumer.say(0);
    consumer.end();
    Ok([before, most, half, settled(&queue, before + 2)])
}

/// Sees that the memory of a queue follows its backlog.
fn memory_follows_the_backlog(count: usize, len: usize) -> mp::Result<()> {
    let [before, most, half, after] = blocks_with_a_backlog(count, len)?;
    eprintln!(
        "items of {len} bytes: {before} blocks, {most} at most, {half} at half, {after} at the end"
    );
    let backlog = (count * (len + 16)).div_ceil(BLOCK);
    mp::ensure!(most >= count * len / BLOCK, "{most} blocks cannot hold {count} items");
    mp::ensure!(most <= backlog + backlog / 8 + 8, "{most} blocks for {backlog}");
    mp::ensure!(half <= most * 5 / 8 + 8, "{half} blocks of {most} when half is gone");
    mp::ensure!(after <= before + 2, "{after} blocks after all is gone, and not {before}");
    Ok(())
}

#[test]
fn the_memory_of_a_queue_of_short_items_follows_its_backlog() {
    alone(|| memory_follows_the_backlog(200_000, 100));
}

#[test]
fn the_memory_of_a_queue_of_long_items_follows_its_backlog() {
    alone(|| memory_follows_the_backlog(600, 100 * KIB));
}

#[test]
fn the_memory_of_a_queue_of_very_long_items_follows_its_backlog() {
    alone(|| memory_follows_the_backlog(40, 4 * MIB));
}

#[test]
fn a_single_long_item_leaves_a_queue_of_short_ones_as_small_as_before() {
    alone(|| {
        let queue = Queue::<()>::new()?;
        let mut bytes = Vec::new();
        let mut short = |count: usize| {
            (0..count).try_for_each(|_| {
                queue.put_bytes(&[1; 1000])?;
                queue.get_bytes(&mut bytes)
            })
        };
        short(100)?;
        let before = blocks_behind_queue();
        queue.put_bytes(&vec![1; 32 * MIB])?;
        mp::ensure!(blocks_behind_queue() >= 32 * MIB / BLOCK);
        queue.get_bytes(&mut Vec::new())?;
        short(20_000)?;
        let after = settled(&queue, before + 2);
        mp::ensure!(after <= before + 2, "{after} blocks and not {before}");
        Ok(())
    });
}
