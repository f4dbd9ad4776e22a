//! Queues travel wherever values do, and whatever can travel goes through a queue.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::{Duration, Instant};

use mp::{
    DupFd, Event, JoinableQueue, Lock, Pipe, Queue, QueueError, SharedMemoryError, SimpleQueue,
    Value,
};
use mp_testing::limits::{LONG, alone, comes_true};
use mp_testing::peer::{Link, Peer, WAYS, Way};
use mp_testing::roles;
use mp_testing::system::{Holdings, holdings};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

roles!(
    answers_over_the_queue_it_gets,
    drops_queues_in_themselves,
    sends_everything_and_ends,
    sends_its_own_queue,
    puts_five,
);

type Answers = Queue<u64>;

/// Gets a queue over a queue, and puts something into it.
fn answers_over_the_queue_it_gets(queue: Queue<(u64, Answers)>, _: &mut Link) -> mp::Result<()> {
    loop {
        match queue.get()? {
            (0, _) => return Ok(()),
            (n, answers) => answers.put(&(n * n))?,
        }
    }
}

#[test]
fn q_31_a_queue_goes_through_a_queue() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        let worker = Peer::start(way, answers_over_the_queue_it_gets, &queue);
        for n in 1..20 {
            let answers = Queue::new().unwrap();
            queue.put(&(n, answers.clone())).unwrap();
            assert_eq!(answers.get_timeout(LONG).unwrap(), n * n);
        }
        queue.put(&(0, Queue::new().unwrap())).unwrap();
        worker.end();
    }
}

/// Makes a queue, puts something into it and sends it away with what is in it.
fn sends_its_own_queue(queue: Queue<Answers>, _: &mut Link) -> mp::Result<()> {
    let own = Queue::new()?;
    own.put_many(&[1, 2, 3])?;
    queue.put(&own)?;
    own.put(&4)?;
    Ok(())
}

#[test]
fn q_31_a_queue_goes_through_a_queue_with_what_is_in_it_and_outlives_its_maker() {
    for way in WAYS {
        let queue = Queue::new().unwrap();
        Peer::start(way, sends_its_own_queue, &queue).end();
        let got = queue.get().unwrap();
        (1..=4).for_each(|n| assert_eq!(got.get_nowait().unwrap(), n));
        assert!(got.is_empty());
    }
}

/// Queues of all kinds, and a queue for such as this.
#[derive(Clone, Serialize, Deserialize)]
struct Desk {
    name: String,
    inbox: Option<Queue<String>>,
    tasks: Vec<JoinableQueue<u32>>,
    simple: Result<SimpleQueue<f64>, ()>,
    others: Queue<Desk>,
}

#[test]
fn q_31_queues_travel_in_structures_as_arguments_and_over_the_queue_that_is_in_them() {
    let worker = |others: Queue<Desk>| {
        let desk = others.get()?;
        let inbox = desk.inbox.ok_or(mp::Error::msg("it is lost"))?;
        inbox.put(&format!("from {}", desk.name))?;
        desk.tasks[1].get()?;
        desk.tasks[1].task_done()?;
        mp::ensure!(desk.simple.is_ok_and(|simple| simple.put(&2.5).is_ok()));
        mp::ensure!(desk.others.is_same(&others));
        // The next one comes through the queue that came through itself.
        mp::ensure!(desk.others.get()?.name == "second");
        Ok(())
    };
    let desk = Desk {
        name: "first".to_owned(),
        inbox: Some(Queue::new().unwrap()),
        tasks: vec![JoinableQueue::new().unwrap(), JoinableQueue::bounded(2).unwrap()],
        simple: Ok(SimpleQueue::new().unwrap()),
        others: Queue::new().unwrap(),
    };
    desk.tasks[1].put(&1).unwrap();
    let p = mp::Process::start(worker, (desk.others.clone(),)).unwrap();
    desk.others.put(&desk).unwrap();
    desk.others.put(&Desk { name: "second".to_owned(), ..desk.clone() }).unwrap();
    p.join().unwrap();
    assert_eq!(desk.inbox.unwrap().get().unwrap(), "from first");
    assert!(desk.tasks[1].join_timeout(LONG).unwrap());
    assert_eq!(desk.simple.unwrap().get().unwrap(), 2.5);
}

/// A queue for queues of its own kind.
#[derive(Serialize, Deserialize)]
struct Nest(Queue<Nest>);

#[test]
fn q_31_a_queue_goes_through_itself() {
    let queue = Queue::<Nest>::new().unwrap();
    for _ in 0..10 {
        queue.put(&Nest(queue.clone())).unwrap();
    }
    let Nest(same) = queue.get().unwrap();
    assert!(same.is_same(&queue));
    assert_eq!(same.qsize(), 9);
    let child = |Nest(queue): Nest| {
        let same = (0..9).map(|_| Ok(queue.get()?.0.is_same(&queue)));
        same.collect::<mp::Result<Vec<bool>>>()
    };
    let same = mp::Process::start(child, (Nest(same),)).unwrap().into_result().unwrap();
    assert_eq!(same, [true; 9]);
    assert!(queue.is_empty());
}

/// How many descriptors of the memory of queues this process has.
fn memories_of_queues() -> usize {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("/memfd:mp-queue")).count()
}

/// Makes queues that are in themselves, and drops them; as the root of a session it also keeps what belongs to items.
fn drops_queues_in_themselves((): (), link: &mut Link) -> mp::Result<()> {
    for _ in 0..50 {
        let queue = Queue::new()?;
        (0..3).try_for_each(|_| queue.put(&Nest(queue.clone())))?;
        drop(queue.get()?);
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while memories_of_queues() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    link.say(memories_of_queues());
    Ok(())
}

/// What a queue keeps for its items must not keep the queue.
#[test]
fn q_31_a_queue_that_is_in_itself_goes_with_its_last_handle() {
    let mut other = Peer::start_program(drops_queues_in_themselves, "");
    other.expect("0");
    other.end();
}

#[test]
fn q_31_a_grandchild_uses_the_queue_of_its_grandparent() {
    let child = |queue: Queue<u32>, back: Queue<u32>| {
        let grandchild = |queue: Queue<u32>, back: Queue<u32>| {
            while let Ok(n) = queue.get_nowait() {
                back.put(&(n * 2))?;
            }
            Ok(())
        };
        mp::Process::start(grandchild, (queue.clone(), back.clone()))?.join()?;
        Ok(back.put(&1)?)
    };
    let (queue, back) = (Queue::new().unwrap(), Queue::new().unwrap());
    queue.put_many(&[1, 2, 3]).unwrap();
    mp::Process::start(child, (queue.clone(), back.clone())).unwrap().join().unwrap();
    (2..=6).step_by(2).chain([1]).for_each(|n| assert_eq!(back.get_nowait().unwrap(), n));
    assert!(queue.is_empty());
}

#[test]
fn q_31_a_queue_goes_over_a_pipe_and_back_as_a_result() {
    let child = |pipe: mp::Connection| -> mp::Result<Queue<u32>> {
        let queue: Queue<u32> = pipe.recv()?;
        queue.put(&5)?;
        Ok(queue)
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let queue = Queue::<u32>::new().unwrap();
    let p = mp::Process::start(child, (theirs,)).unwrap();
    ours.send(&queue).unwrap();
    let back = p.into_result().unwrap();
    assert!(back.is_same(&queue));
    assert_eq!(back.get().unwrap(), 5);
}

/// What goes through a queue beside bytes.
#[derive(Serialize, Deserialize)]
struct Everything {
    lock: Lock,
    events: Vec<Event>,
    value: Value<u64>,
    pipe: mp::Connection,
    file: DupFd,
}

/// Sends one of everything, which it has made itself, and ends at once. Only what is in the queue keeps it.
fn sends_everything_and_ends(queue: Queue<(u32, Everything)>, link: &mut Link) -> mp::Result<()> {
    let many = link.hear()? == "many";
    let make = |n: u32| {
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(b"from the dead")?;
        let (ours, theirs) = Pipe::duplex()?;
        ours.send(&"sent before the end")?;
        let event = Event::new()?;
        event.set();
        Ok((
            n,
            Everything {
                lock: Lock::new()?,
                events: vec![Event::new()?, event],
                value: Value::new(n.into())?,
                pipe: theirs,
                file: reader.into(),
            },
        ))
    };
    let items = (0..5).map(make).collect::<mp::Result<Vec<_>>>()?;
    if many {
        queue.put_many(&items)?;
    } else {
        items.iter().try_for_each(|item| queue.put(item))?;
    }
    drop(items);
    std::process::exit(0)
}

fn check_everything(everything: Everything, n: u64) {
    let Everything { lock, events, value, pipe, file } = everything;
    assert!(lock.try_acquire().unwrap().is_some_and(|guard| guard.owner_died().is_none()));
    assert_eq!(events.iter().map(Event::is_set).collect::<Vec<_>>(), [false, true]);
    value.update(|n| *n += 1).unwrap();
    assert_eq!(value.get().unwrap(), n + 1);
    assert_eq!(pipe.recv::<String>().unwrap(), "sent before the end");
    let mut text = String::new();
    file.into::<PipeReader>().read_to_string(&mut text).unwrap();
    assert_eq!(text, "from the dead");
}

#[test]
fn l_09_locks_events_values_pipes_and_files_go_through_a_queue_and_outlive_their_sender() {
    for way in WAYS {
        for order in ["one by one", "many"] {
            let queue = Queue::new().unwrap();
            let mut sender = Peer::start(way, sends_everything_and_ends, &queue);
            sender.say(order);
            sender.end_somehow();
            assert_eq!(queue.qsize(), 5);
            for n in 0..5 {
                let (number, everything) = queue.get_timeout(LONG).unwrap();
                assert_eq!(u64::from(number), n);
                check_everything(everything, n);
            }
            assert!(queue.is_empty());
        }
    }
}

#[test]
fn l_09_items_with_locks_in_them_are_got_by_a_call_for_many() {
    let queue = Queue::new().unwrap();
    let mut sender = Peer::start(Way::Argument, sends_everything_and_ends, &queue);
    sender.say("many");
    sender.end_somehow();
    let mut got = Vec::new();
    while got.len() < 5 {
        let more = queue.get_many_timeout(3, LONG).unwrap();
        assert!((1..=3).contains(&more.len()));
        got.extend(more);
    }
    assert_eq!(got.iter().map(|item| item.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    assert!(queue.is_empty());
    for (n, everything) in got {
        check_everything(everything, n.into());
    }
}

#[test]
fn l_09_a_lock_that_came_through_a_queue_is_the_one_that_was_sent() {
    let child = |queue: Queue<Lock>, back: Queue<Lock>| {
        let lock = queue.get()?;
        lock.acquire()?.leak();
        back.put(&lock)?;
        let lock = queue.get()?;
        Ok(lock.release()?)
    };
    let (queue, back) = (Queue::new().unwrap(), Queue::new().unwrap());
    let p = mp::Process::start(child, (queue.clone(), back.clone())).unwrap();
    let lock = Lock::new().unwrap();
    queue.put(&lock).unwrap();
    let same = back.get().unwrap();
    assert!(same.is_same(&lock) && lock.is_locked());
    queue.put(&lock).unwrap();
    p.join().unwrap();
    assert!(!lock.is_locked());
}

#[test]
fn l_09_items_with_descriptors_leave_none_behind_whether_they_are_got_or_not() {
    alone(|| {
        let pair = || -> mp::Result<(DupFd, PipeWriter)> {
            let (reader, writer) = std::io::pipe()?;
            Ok((reader.into(), writer))
        };
        let cycle = || -> mp::Result<()> {
            let queue = Queue::<(Lock, DupFd)>::bounded(2)?;
            let item = || -> mp::Result<_> { Ok((Lock::new()?, pair()?.0)) };
            (0..20).try_for_each(|_| -> mp::Result<()> {
                queue.put(&item()?)?;
                queue.get()?;
                queue.put_many(&[item()?, item()?])?;
                mp::ensure!(matches!(queue.put_nowait(&item()?), Err(QueueError::Full)));
                let many = queue.put_many_nowait(&[item()?, item()?]);
                mp::ensure!(matches!(many, Err(QueueError::Full)));
                queue.get_bytes(&mut Vec::new())?;
                mp::ensure!(queue.get_many(3)?.len() == 1);
                queue.put_bytes(b"")?;
                mp::ensure!(matches!(queue.get(), Err(QueueError::Decode(_))));
                Ok(())
            })?;
            // These go with the queue.
            queue.put(&item()?)?;
            queue.put(&item()?)?;
            Ok(())
        };
        cycle()?;
        let before = holdings();
        (0..10).try_for_each(|_| cycle())?;
        let is_back =
            |now: Holdings| now.descriptors <= before.descriptors && now.threads <= before.threads;
        mp::ensure!(comes_true(|| is_back(holdings())), "{:?} and not {before:?}", holdings());
        Ok(())
    });
}

#[test]
fn l_09_a_receiver_that_knows_no_such_type_takes_the_item_off_and_the_descriptor_is_closed() {
    let queue = Queue::<DupFd>::new().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    queue.put(&DupFd::from(writer)).unwrap();
    let same = Queue::<String>::from_token(&queue.token().unwrap()).unwrap();
    assert!(matches!(same.get(), Err(QueueError::Decode(_))));
    assert!(queue.is_empty());
    // The end of the file comes when nobody has the other end any more.
    assert_eq!(reader.read_to_end(&mut Vec::new()).unwrap(), 0);
}

fn puts_five(queue: Queue<u64>, _: &mut Link) -> mp::Result<()> {
    Ok(queue.put(&5)?)
}

#[test]
fn texts_that_are_no_tokens_of_a_queue_are_errors() {
    let queue = Queue::<u64>::new().unwrap();
    let token = queue.token().unwrap();
    assert!(Queue::<u64>::from_token(&token).unwrap().is_same(&queue));
    Peer::start_program(puts_five, &token).end();
    assert_eq!(queue.get().unwrap(), 5);

    let other = Queue::<u64>::new().unwrap().token().unwrap();
    let live = Queue::<u64>::new().unwrap();
    let live_token = live.token().unwrap();
    let half = |token: &str, index: usize| token.split('+').nth(index).unwrap().to_owned();
    let mixed = [
        format!("{}+{}", half(&token, 0), half(&live_token, 1)),
        format!("{}+{}", half(&live_token, 0), half(&token, 1)),
        format!("{}+{}", half(&token, 1), half(&token, 0)),
        format!("{}+{}", half(&token, 0), half(&token, 0)),
        half(&token, 0),
        half(&token, 1),
        token.replace('+', " "),
        format!("{token}+{token}"),
        Lock::new().unwrap().token().unwrap(),
        Value::new(1).unwrap().token().unwrap(),
        other,
    ];
    let garbage = ["", " ", "+", "++", "a+b", "mp1-0-0+mp1-0-0", "\u{1f980}", &"x+".repeat(50_000)]
        .map(str::to_owned);
    let damaged = (0..token.len()).map(|at| token[..at].to_owned());
    for text in mixed.into_iter().chain(garbage).chain(damaged) {
        let refused = Queue::<u64>::from_token(&text).unwrap_err();
        let QueueError::Memory(error) = refused else { panic!("{text}: {refused:?}") };
        // Half of a number is another number.
        let is_expected = matches!(
            error,
            SharedMemoryError::Foreign { .. }
                | SharedMemoryError::Gone
                | SharedMemoryError::SessionUnreachable { .. }
        );
        assert!(is_expected, "{text}: {error:?}");
        JoinableQueue::<u64>::from_token(&text).unwrap_err();
        SimpleQueue::<u64>::from_token(&text).unwrap_err();
        Lock::from_token(&token).unwrap_err();
    }
    queue.put(&1).unwrap();
    assert_eq!((queue.get().unwrap(), live.qsize()), (1, 0));
}

#[test]
fn a_queue_in_a_format_that_leaves_the_machine_is_a_clear_error() {
    let queue = Queue::<u64>::new().unwrap();
    let error = serde_json::to_string(&queue).unwrap_err().to_string();
    let joinable = JoinableQueue::<u64>::new().unwrap();
    let simple = SimpleQueue::<u64>::new().unwrap();
    assert_eq!(serde_json::to_string(&joinable).unwrap_err().to_string(), error);
    assert_eq!(serde_json::to_string(&simple).unwrap_err().to_string(), error);
    let lock = serde_json::to_string(&Lock::new().unwrap()).unwrap_err().to_string();
    assert_eq!(error, lock, "it says the same as other handles do");
    assert!(serde_json::from_str::<Queue<u64>>("[1,2]").is_err());
    queue.put(&1).unwrap();
    assert_eq!(queue.get().unwrap(), 1);
}
