//! Every form of call gives what the same calls give here, in any number and of any size.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

use mp::{DupFd, Event, Lock, Pool, PoolError, Progress, Queue, TaskOptions, Value};
use mp_testing::limits::{LONG, SHORT, at_once, takes_at_least};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn power(base: u64, exponent: u32) -> mp::Result<u64> {
    Ok(base.wrapping_pow(exponent))
}

fn squares(items: std::ops::Range<u64>) -> Vec<u64> {
    items.map(|n| n * n).collect()
}

fn chunks_of(items: usize) -> TaskOptions {
    TaskOptions::new().chunksize(items)
}

/// What Python passes by name.
#[derive(Serialize, Deserialize)]
struct Named {
    text: String,
    times: usize,
}

#[test]
fn pl_01_apply_takes_any_number_of_arguments_of_any_kind() {
    let pool = Pool::new(2).unwrap();
    assert_eq!(pool.apply(|| Ok(7), ()).unwrap(), 7);
    assert_eq!(pool.apply(square, (5,)).unwrap(), 25);
    assert_eq!(pool.apply(power, (2, 10)).unwrap(), 1024);
    let many = |a: u8, b: char, c: String, d: Option<i64>, e: (f64, bool), f: Vec<u8>| {
        Ok((f, e, d, c, b, a))
    };
    let given = (1, 'b', "c".to_owned(), Some(-4), (5.5, true), vec![6, 6]);
    let expected = (vec![6, 6], (5.5, true), Some(-4), "c".to_owned(), 'b', 1);
    assert_eq!(pool.apply(many, given).unwrap(), expected);
    let named = Named { text: "ab".to_owned(), times: 3 };
    assert_eq!(pool.apply(|n: Named| Ok(n.text.repeat(n.times)), (named,)).unwrap(), "ababab");
    pool.apply(|| Ok(()), ()).unwrap();
    let from = |_: ()| Ok(std::process::id());
    let pid = pool.apply(from, ((),)).unwrap();
    assert!(pid != std::process::id() && pool.worker_pids().contains(&pid));
}

#[test]
fn pl_01_a_generic_function_is_the_one_that_was_meant() {
    fn doubled<T: Serialize + DeserializeOwned + Clone>(value: T) -> mp::Result<(T, T)> {
        Ok((value.clone(), value))
    }
    fn through<T: Serialize + DeserializeOwned + Clone + Send + 'static>(
        pool: &Pool,
        value: T,
    ) -> (T, T) {
        pool.apply(doubled::<T>, (value,)).unwrap()
    }
    let pool = Pool::new(1).unwrap();
    assert_eq!(through(&pool, 3_u8), (3, 3));
    assert_eq!(through(&pool, "text".to_owned()), ("text".to_owned(), "text".to_owned()));
}

#[test]
fn pl_01_x_02_map_and_starmap_equal_the_same_calls_here_with_chunks_of_any_size() {
    let pool = Pool::new(3).unwrap();
    let pairs = || (0..100_u64).map(|n| (n, 3_u32));
    let cubes: Vec<u64> = (0..100).map(|n: u64| n.wrapping_pow(3)).collect();
    assert_eq!(pool.map(square, 0..100).unwrap(), squares(0..100));
    assert_eq!(pool.starmap(power, pairs()).unwrap(), cubes);
    for size in [1, 7, 20, 99, 100, 101, 100_000] {
        let calls = pool.with_options(chunks_of(size));
        assert_eq!(calls.map(square, 0..100).unwrap(), squares(0..100), "{size}");
        assert_eq!(calls.starmap(power, pairs()).unwrap(), cubes, "{size}");
    }
    // Of unknown length, and not an iterator.
    let odd = (0..100).filter(|n| n % 2 == 1);
    let expected: Vec<u64> = (0..100).filter(|n| n % 2 == 1).map(|n| n * n).collect();
    assert_eq!(pool.map(square, odd).unwrap(), expected);
    assert_eq!(pool.map(square, vec![3, 2, 1]).unwrap(), [9, 4, 1]);
    assert_eq!(pool.map(square, [9]).unwrap(), [81]);
    assert_eq!(pool.map(square, BTreeSet::from([2, 1])).unwrap(), [1, 4]);
}

#[test]
fn pl_02_pl_56_x_01_the_forms_that_do_not_wait_give_the_same() {
    let pool = Pool::new(2).unwrap();
    let one = pool.apply_async(power, (3, 4)).unwrap();
    let mapped = pool.map_async(square, 0..10).unwrap();
    let starred = pool.starmap_async(power, (0..50).map(|n| (n, 2))).unwrap();
    let chunked = pool.with_options(chunks_of(20)).map_async(square, 0..100).unwrap();
    assert_eq!(starred.get_timeout(LONG).unwrap(), &squares(0..50));
    assert_eq!(mapped.get_timeout(LONG).unwrap(), &squares(0..10));
    assert_eq!(chunked.into_result().unwrap(), squares(0..100));
    assert_eq!(*one.get().unwrap(), 81);
}

#[test]
fn pl_04_nothing_gives_nothing_at_once() {
    let pool = Pool::new(2).unwrap();
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let hold = |begun: Event, go: Event| {
        begun.set();
        Ok(go.wait()?)
    };
    // Also when no worker has time for it.
    let held: Vec<_> =
        (0..2).map(|_| pool.apply_async(hold, (begun.clone(), go.clone())).unwrap()).collect();
    begun.wait().unwrap();
    for options in [TaskOptions::new(), chunks_of(1), chunks_of(20)] {
        let calls = pool.with_options(options);
        assert_eq!(calls.map(square, []).unwrap(), []);
        assert_eq!(calls.starmap(power, []).unwrap(), []);
        let mapped = calls.map_async(square, (0..5).filter(|n| *n > 9)).unwrap();
        assert!(mapped.ready());
        assert_eq!(mapped.successful(), Some(true));
        assert_eq!(*mapped.get_timeout(Duration::ZERO).unwrap(), []);
        assert_eq!(*calls.starmap_async(power, []).unwrap().get().unwrap(), []);
        let mut none = calls.imap(square, []).unwrap();
        assert!(none.next().is_none() && none.next().is_none());
        assert!(calls.imap_unordered(square, 5..5).unwrap().next().is_none());
    }
    go.set();
    held.iter().for_each(|held| held.wait());
}

#[test]
fn pl_05_imap_gives_results_in_input_order_and_nothing_past_the_end() {
    let pool = Pool::new(4).unwrap();
    for size in [1, 7, 100, 5000] {
        let calls = pool.with_options(chunks_of(size));
        let results: Result<Vec<u64>, _> = calls.imap(square, 0..1000).unwrap().collect();
        assert_eq!(results.unwrap(), squares(0..1000), "{size}");
        let results: Result<Vec<u64>, _> = calls.imap_unordered(square, 0..1000).unwrap().collect();
        let mut results = results.unwrap();
        results.sort_unstable();
        assert_eq!(results, squares(0..1000), "{size}");
    }
    let mut few = pool.imap(square, 0..3).unwrap();
    assert_eq!(few.size_hint(), (3, Some(3)));
    for n in [0, 1, 4] {
        assert_eq!(few.next().unwrap().unwrap(), n);
    }
    assert_eq!(few.size_hint(), (0, Some(0)));
    assert!(few.next().is_none() && few.next().is_none());
    assert!(few.next_timeout(Duration::ZERO).unwrap().is_none());
}

/// Waits with item 0 until it may go on.
fn first_waits((n, go): (u64, Event)) -> mp::Result<u64> {
    if n == 0 {
        go.wait()?;
    }
    Ok(n)
}

#[test]
fn pl_05_imap_unordered_gives_what_is_there_while_imap_waits_for_the_first() {
    let pool = Pool::new(2).unwrap();
    let go = Event::new().unwrap();
    let items = || (0..10).map(|n| (n, go.clone())).collect::<Vec<_>>();
    let mut some = pool.imap_unordered(first_waits, items()).unwrap();
    let nine: BTreeSet<u64> = some.by_ref().take(9).map(Result::unwrap).collect();
    assert_eq!(nine, (1..10).collect());
    assert!(matches!(some.next_timeout(Duration::ZERO), Err(PoolError::Timeout)));
    go.set();
    assert_eq!(some.next().unwrap().unwrap(), 0);
    assert!(some.next().is_none());

    go.clear();
    let mut all = pool.imap(first_waits, items()).unwrap();
    assert!(matches!(all.next_timeout(SHORT), Err(PoolError::Timeout)));
    go.set();
    let results: Vec<u64> = all.map(Result::unwrap).collect();
    assert_eq!(results, (0..10).collect::<Vec<_>>());
}

#[test]
fn pl_08_x_04_a_next_that_expires_loses_nothing() {
    let pool = Pool::new(2).unwrap();
    let go = Event::new().unwrap();
    let mut results = pool.imap(first_waits, [1, 0, 2].map(|n| (n, go.clone()))).unwrap();
    assert_eq!(results.next_timeout(LONG).unwrap().unwrap().unwrap(), 1);
    for _ in 0..2 {
        let expired = takes_at_least(SHORT, || results.next_timeout(SHORT));
        assert!(matches!(expired, Err(PoolError::Timeout)));
        let expired = at_once(|| results.next_timeout(Duration::ZERO));
        assert!(matches!(expired, Err(PoolError::Timeout)));
    }
    go.set();
    assert_eq!(results.next_timeout(Duration::MAX).unwrap().unwrap().unwrap(), 0);
    assert_eq!(results.next().unwrap().unwrap(), 2);
    assert!(results.next().is_none());
}

#[test]
fn pl_09_x_02_chunks_of_nothing_are_refused_by_every_call() {
    let pool = Pool::new(1).unwrap();
    let calls = pool.with_options(chunks_of(0));
    fn is_refused<T>(outcome: Result<T, PoolError>) -> bool {
        matches!(outcome, Err(PoolError::Invalid { what }) if what.contains("chunk"))
    }
    assert!(is_refused(calls.map(square, 0..3)));
    assert!(is_refused(calls.map(square, [])));
    assert!(is_refused(calls.map_async(square, 0..3)));
    assert!(is_refused(calls.starmap(power, [(1, 2)])));
    assert!(is_refused(calls.starmap_async(power, [(1, 2)])));
    assert!(is_refused(calls.imap(square, 0..3)));
    assert!(is_refused(calls.imap_unordered(square, [])));
    let calls = pool.with_options(TaskOptions::new().look_ahead(0));
    let refused = calls.imap(square, 0..3);
    assert!(matches!(refused, Err(PoolError::Invalid { what }) if what.contains("look-ahead")));
    assert_eq!(pool.map(square, 0..3).unwrap(), [0, 1, 4]);
}

#[test]
fn pl_10_a_map_makes_about_four_chunks_for_each_worker() {
    let pool = Pool::new(3).unwrap();
    let done_after = |items: Vec<u64>, knows_its_length: bool| {
        let (sender, steps) = mpsc::channel();
        let total = items.len();
        let calls = pool.with_options(TaskOptions::new().progress(move |progress: Progress| {
            assert_eq!(progress.total, Some(total));
            sender.send(progress.done).unwrap();
        }));
        let results = match knows_its_length {
            true => calls.map(square, items),
            false => calls.map(square, items.into_iter().filter(|n| *n < u64::MAX)),
        };
        assert_eq!(results.unwrap().len(), total);
        drop(calls);
        steps.iter().collect::<Vec<usize>>()
    };
    for knows in [true, false] {
        // 100 / 12, rounded up, is 9: eleven chunks and the last item.
        let steps = done_after((0..100).collect(), knows);
        assert_eq!(steps.len(), 12, "{steps:?}");
        let mut sizes: Vec<usize> =
            steps.iter().scan(0, |last, n| Some(n - std::mem::replace(last, *n))).collect();
        sizes.sort_unstable();
        assert_eq!((sizes[0], &sizes[1..]), (1, &[9; 11][..]));
        assert_eq!(done_after((0..12).collect(), knows), (1..=12).collect::<Vec<_>>());
        assert_eq!(done_after((0..13).collect(), knows).len(), 7);
        assert_eq!(done_after(vec![1], knows), [1]);
    }
}

#[test]
fn pl_11_imap_reads_an_endless_input_only_so_far_ahead() {
    let pool = Pool::new(2).unwrap();
    for is_ordered in [true, false] {
        for (options, most) in [
            (TaskOptions::new(), 32),
            // Chunks are not cut.
            (TaskOptions::new().chunksize(5), 160 + 4),
            (TaskOptions::new().look_ahead(1), 1),
            (TaskOptions::new().look_ahead(10), 10),
            (TaskOptions::new().look_ahead(10).chunksize(4), 10 + 3),
        ] {
            let read = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&read);
            let endless = (0..).inspect(move |_| {
                counter.fetch_add(1, SeqCst);
            });
            let calls = pool.with_options(options);
            let mut results = match is_ordered {
                true => calls.imap(square, endless).unwrap(),
                false => calls.imap_unordered(square, endless).unwrap(),
            };
            assert_eq!(read.load(SeqCst), 0, "nothing is read before it is asked for");
            let mut seen = BTreeSet::new();
            for given in 0..100 {
                seen.insert(results.next().unwrap().unwrap());
                let read = read.load(SeqCst);
                assert!(read > given && read <= given + most, "{read} after {given}");
            }
            assert_eq!(seen.len(), 100);
            if is_ordered {
                assert_eq!(seen.into_iter().collect::<Vec<_>>(), squares(0..100));
            }
        }
    }
    // Not more was read because those were dropped on the way.
    assert_eq!(pool.apply(square, (3,)).unwrap(), 9);
}

#[test]
fn x_03_results_before_one_that_fails_are_given_out() {
    let pool = Pool::new(2).unwrap();
    let fails_at_5 = |n: u64| {
        mp::ensure!(n != 5, "no {n}");
        Ok(n)
    };
    for size in [1, 3, 10] {
        let mut results = pool.with_options(chunks_of(size)).imap(fails_at_5, 0..10).unwrap();
        for n in 0..5 {
            assert_eq!(results.next().unwrap().unwrap(), n);
        }
        let error = results.next().unwrap().unwrap_err();
        assert_eq!(error.as_exception().unwrap().message(), "no 5");
    }
}

#[test]
fn arguments_and_results_carry_handles_and_descriptors() {
    fn uses(
        numbers: Queue<u64>,
        lock: Lock,
        total: Value<u64>,
        out: DupFd,
    ) -> mp::Result<(Queue<u64>, DupFd)> {
        let _held = lock.acquire()?;
        for number in numbers.try_iter() {
            let number = number?;
            total.update(|total| *total += number)?;
        }
        out.into::<PipeWriter>().write_all(b"written by a worker")?;
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(b"read from a result")?;
        let made = Queue::new()?;
        made.put(&42)?;
        Ok((made, reader.into()))
    }
    let pool = Pool::new(2).unwrap();
    for _ in 0..3 {
        let (numbers, lock) = (Queue::new().unwrap(), Lock::new().unwrap());
        let total = Value::new(0_u64).unwrap();
        numbers.put_many(&[1, 2, 3]).unwrap();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let args = (numbers, lock, total.clone(), writer.into());
        let (made, fd) = pool.apply(uses, args).unwrap();
        assert_eq!(total.get().unwrap(), 6);
        assert_eq!(made.get_timeout(LONG).unwrap(), 42);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        fd.into::<PipeReader>().read_to_string(&mut text).unwrap();
        assert_eq!(text, "written by a workerread from a result");
    }
    // In the items and results of a map, too.
    let queues = [(); 10].map(|()| Queue::<u64>::new().unwrap());
    let back = pool
        .map(
            |queue: Queue<u64>| {
                queue.put(&9)?;
                Ok(queue)
            },
            queues.clone(),
        )
        .unwrap();
    for (queue, back) in queues.iter().zip(back) {
        assert!(queue.is_same(&back));
        assert_eq!(back.get_timeout(LONG).unwrap(), 9);
    }
}

#[test]
fn arguments_and_results_may_be_large() {
    let pool = Pool::new(2).unwrap();
    let reversed = |mut bytes: Vec<u32>| {
        bytes.reverse();
        Ok(bytes)
    };
    let large: Vec<u32> = (0..2_000_000).collect();
    let back: Vec<u32> = large.iter().copied().rev().collect();
    assert!(pool.apply(reversed, (large,)).unwrap() == back);
    let many = pool.imap(|n: usize| Ok(vec![n; 20_000]), 0..50).unwrap();
    for (n, result) in many.enumerate() {
        assert!(result.unwrap() == vec![n; 20_000]);
    }
}

#[test]
fn calls_of_every_form_can_be_made_from_many_threads_at_once() {
    let pool = Pool::new(3).unwrap();
    std::thread::scope(|scope| {
        for start in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for n in start..start + 20 {
                    assert_eq!(pool.apply(square, (n,)).unwrap(), n * n);
                    let later = pool.apply_async(square, (n + 1,)).unwrap();
                    assert_eq!(pool.map(square, n..n + 10).unwrap(), squares(n..n + 10));
                    let results: Result<Vec<u64>, _> =
                        pool.imap(square, n..n + 10).unwrap().collect();
                    assert_eq!(results.unwrap(), squares(n..n + 10));
                    assert_eq!(later.into_result().unwrap(), (n + 1) * (n + 1));
                }
            });
        }
    });
}

#[test]
fn imap_can_be_read_by_another_thread_and_dropped_before_its_end() {
    let pool = Pool::new(2).unwrap();
    let results = pool.imap(square, 0..1000).unwrap();
    let read =
        std::thread::spawn(move || results.take(700).map(Result::unwrap).collect::<Vec<_>>());
    assert_eq!(read.join().unwrap(), squares(0..700));
    pool.close();
    pool.join().unwrap();
}
