//! An object lives as long as a handle or a message with one in it, and not longer, whoever is killed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use common::{daemon, hold_still, kill_9, start_and_wait};
use mp_reduction::wire::{self, FrameReader};
use mp_reduction::{DupFd, Message};
use mp_shared_memory::{RawArray, RawValue};
use mp_testing::limits::comes_true;
use mp_testing::system::holdings;

mp::enable_test_support!();

/// Runs a scenario in a process of its own, where nothing else opens or maps anything.
fn alone(scenario: impl mp::Target<(), Output = ()>) {
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

/// Mappings of arenas and of memory of their own in this process.
fn mappings() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("/memfd:mp-")).count()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn rt_09_a_hundred_thousand_objects_stay_within_what_was_there_before() {
    alone(|| {
        let cycle = |n: u64| {
            let value = RawValue::new(n)?;
            let message = mp_reduction::encode(&value)?;
            drop(value);
            mp::ensure!(message.decode::<RawValue<u64>>()?.get() == n);
            Ok(())
        };
        (0..1000).try_for_each(cycle)?;
        let (before, mapped, resident) = (holdings(), mappings(), resident_kib());
        (0..100_000).try_for_each(cycle)?;
        mp::ensure!(holdings() == before && mappings() == mapped);
        let grown = resident_kib().saturating_sub(resident);
        mp::ensure!(grown < 2048, "{grown} KiB more");
        Ok(())
    });
}

/// Takes values out of messages, adds to each, and drops it, until the sender closes; what it holds more at the
/// end than after the first thousand.
fn add_to_each(socket: DupFd) -> mp::Result<(u64, usize)> {
    let socket = socket.into::<UnixStream>();
    let mut reader = FrameReader::new();
    let (mut count, mut settled) = (0, None);
    loop {
        while let Some(frame) = reader.next_frame()? {
            let message = Message::from_parts(frame.body.into_owned(), frame.descriptors);
            let value = message.decode::<RawValue<u64>>()?;
            drop(message);
            value.set(value.get() + 1);
            count += 1;
        }
        if count >= 1000 && settled.is_none() {
            settled = Some(mappings());
        }
        if reader.fill(&socket)? == 0 {
            return Ok((count, mappings().saturating_sub(settled.unwrap_or(0))));
        }
    }
}

#[test]
fn rt_09_a_hundred_thousand_objects_sent_and_dropped_stay_within_what_was_there_before() {
    alone(|| {
        let (ours, theirs) = UnixStream::pair()?;
        let receiver = mp::Process::start(add_to_each, (theirs.into(),))?;
        let cycle = |n: u64| -> mp::Result<()> {
            let message = mp_reduction::encode(&RawValue::new(n)?)?; // its only handle is gone here
            let fds: Vec<_> = message.attachments().iter().map(AsFd::as_fd).collect();
            wire::send_frame(&ours, 1, message.bytes(), &fds)?;
            Ok(())
        };
        (0..1000).try_for_each(cycle)?;
        let (before, mapped, resident) = (holdings(), mappings(), resident_kib());
        (0..100_000).try_for_each(cycle)?;
        mp::ensure!(holdings() == before, "{:?} after {before:?}", holdings());
        // A backlog of a few hundred may have made a second arena.
        mp::ensure!(mappings() <= mapped + 2, "{} mappings after {mapped}", mappings());
        let grown = resident_kib().saturating_sub(resident);
        mp::ensure!(grown < 2048, "{grown} KiB more");
        drop(ours);
        let (count, more) = receiver.into_result()?;
        mp::ensure!(count == 101_000 && more <= 2, "{count} values, {more} mappings more");
        Ok(())
    });
}

#[test]
fn rt_09_a_thousand_long_arrays_leave_everything_as_before() {
    alone(|| {
        let cycle = |n: u8| {
            let array = RawArray::<u8>::zeroed(1 << 20)?;
            let message = mp_reduction::encode(&array)?;
            array.set(7, n)?;
            drop(array);
            let array = message.decode::<RawArray<u8>>()?;
            mp::ensure!(array.get(7)? == n);
            array.token()?;
            Ok(())
        };
        cycle(1)?;
        let (before, mapped) = (holdings(), mappings());
        (0..1000).try_for_each(|n: u32| cycle(n.to_le_bytes()[0]))?;
        // The session keeps what has a token until it looks again.
        mp::ensure!(mappings() == mapped);
        mp::ensure!(comes_true(|| holdings().descriptors <= before.descriptors));
        Ok(())
    });
}

#[test]
fn ten_thousand_objects_take_few_descriptors() {
    alone(|| {
        let before = holdings().descriptors;
        let values = (0..10_000_u32).map(RawValue::new).collect::<Result<Vec<_>, _>>()?;
        let after = holdings().descriptors;
        mp::ensure!(after - before < 50, "{} descriptors", after - before);
        let message = mp_reduction::encode(&values)?;
        mp::ensure!(message.attachments().len() < 50);
        let child = |values: Vec<RawValue<u32>>| {
            let before = holdings().descriptors;
            mp::ensure!(before < 80, "{before} descriptors in the child");
            values.iter().for_each(|value| value.set(value.get() + 1));
            Ok(())
        };
        mp::Process::start(child, (values.clone(),))?.join()?;
        mp::ensure!((1..).zip(&values).all(|(n, value)| value.get() == n));
        Ok(())
    });
}

#[test]
fn a_message_that_is_decoded_twice_frees_nothing_early() {
    let value = RawValue::new(5_u64).unwrap();
    let message = mp_reduction::encode(&value).unwrap();
    let first = message.decode::<RawValue<u64>>().unwrap();
    drop((value, first));
    // What would be free now would be taken and zeroed by one of these.
    let others: Vec<_> = (0..1000).map(|_| RawValue::new(0_u64).unwrap()).collect();
    let second = message.decode::<RawValue<u64>>().unwrap();
    drop(message);
    assert_eq!(second.get(), 5);
    assert!(others.iter().all(|other| !other.is_same(&second)));
}

#[test]
fn a_message_keeps_what_nobody_else_has_and_its_end_frees_it() {
    for len in [1, 100_000] {
        let array = RawArray::<u64>::new(&vec![7; len]).unwrap();
        let token = array.token().unwrap();
        let message = mp_reduction::encode(&array).unwrap();
        drop(array);
        assert_eq!(RawArray::<u64>::from_token(&token).unwrap().to_vec(), vec![7; len]);
        let copy = {
            let attachments = message.attachments().iter().map(|fd| fd.try_clone().unwrap());
            Message::from_parts(message.bytes().to_vec(), attachments.collect())
        };
        drop(message);
        assert_eq!(copy.decode::<RawArray<u64>>().unwrap().to_vec(), vec![7; len]);
    }
}

#[test]
fn a_receiver_gets_an_object_whose_sender_dropped_it_and_ended_at_once() {
    for round in 0..50_u32 {
        let child = |round: u32| {
            let array = RawArray::<u32>::new(&vec![round; 10_000])?;
            Ok((RawValue::new(round)?, array))
        };
        let child = mp::Process::start(child, (round,)).unwrap();
        let (value, array) = child.into_result().unwrap();
        assert_eq!((value.get(), array.get(9_999).unwrap()), (round, round));
        // It goes on to a third process, though its maker is gone.
        let next = |value: RawValue<u32>| Ok(value.set(value.get() + 1));
        mp::Process::start(next, (value.clone(),)).unwrap().join().unwrap();
        assert_eq!(value.get(), round + 1);
    }
}

fn holds(values: Vec<RawValue<u64>>, ready: DupFd) -> mp::Result<()> {
    values.iter().for_each(|value| value.set(1));
    hold_still(ready)
}

#[test]
fn what_a_killed_process_held_is_used_again() {
    alone(|| {
        let mut mapped = 0;
        for round in 0..1000 {
            let values = (0..20).map(|_| RawValue::new(0)).collect::<Result<Vec<_>, _>>()?;
            mp::ensure!(values.iter().all(|value| value.get() == 0));
            let arguments = values.clone();
            let holder = start_and_wait(|ready| daemon(holds, (arguments, ready)));
            drop(values);
            kill_9(&holder);
            match round {
                100 => mapped = mappings(),
                n if n > 100 => mp::ensure!(mappings() <= mapped, "{} mappings", mappings()),
                _ => {}
            }
        }
        Ok(())
    });
}

#[test]
fn v_15_objects_are_dropped_by_many_threads_at_any_moment() {
    let (sender, receiver) = std::sync::mpsc::channel::<RawArray<u8>>();
    let receiver = std::sync::Mutex::new(receiver);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let sender = sender.clone();
            scope.spawn(move || {
                for n in 0..2000 {
                    let array = RawArray::zeroed(1 + n * 7 % 5000).unwrap();
                    assert!(array.to_vec().iter().all(|byte| *byte == 0));
                    array.set(0, thread).unwrap();
                    sender.send(array).unwrap();
                }
            });
        }
        drop(sender);
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let next = receiver.lock().unwrap().recv();
                    let Ok(array) = next else { break };
                    assert!(array.get(0).unwrap() < 4);
                }
            });
        }
    });
}
