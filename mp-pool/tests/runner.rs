//! An object in a process of its own: made once, called many times, ended in order.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::Duration;

use mp::{DupFd, Event, ProcessError, Queue};
use mp_pool::{ProcessRunnee, ProcessRunner, RunnerError};
use mp_testing::limits::{LONG, SHORT, alone, at_once, comes_true, ends_in_time, takes_at_least};
use mp_testing::system::holdings;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mp::enable_test_support!();

/// Does what it is told.
struct Clerk {
    desk: Desk,
    total: u64,
}

/// What a clerk is given when it begins.
#[derive(Clone, Serialize, Deserialize)]
struct Desk {
    diary: Queue<String>,
    go: Event,
}

impl Desk {
    fn new() -> Desk {
        Desk { diary: Queue::new().unwrap(), go: Event::new().unwrap() }
    }

    fn is_written(&self) -> Vec<String> {
        self.diary.try_iter().map(Result::unwrap).collect()
    }

    fn clerk(&self) -> ProcessRunner<Order, u64> {
        ProcessRunner::start::<Clerk>(self.clone()).unwrap()
    }
}

#[derive(Serialize, Deserialize)]
enum Order {
    Add(u64),
    Pid,
    Fail(u8),
    Panic,
    /// Waits until it may go on.
    Wait,
    /// Fails at its end.
    FailAtEnd,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("code {0} is wrong")]
struct WrongCode(u8);

const FAIL_AT_END: u64 = 1 << 60;

impl ProcessRunnee for Clerk {
    type Init = Desk;
    type Args = Order;
    type Out = u64;

    fn new(desk: Desk) -> mp::Result<Clerk> {
        desk.diary.put(&"begun".to_owned())?;
        Ok(Clerk { desk, total: 0 })
    }

    fn call(&mut self, order: Order) -> mp::Result<u64> {
        match order {
            Order::Add(n) => {
                self.total += n;
                Ok(self.total)
            }
            Order::Pid => Ok(std::process::id().into()),
            Order::Fail(code) => looks_up(code),
            Order::Panic => panic!("out of ink"),
            Order::Wait => {
                self.desk.go.wait()?;
                self.desk.diary.put(&"waited".to_owned())?;
                Ok(0)
            }
            Order::FailAtEnd => {
                self.total = FAIL_AT_END;
                Ok(0)
            }
        }
    }

    fn finish(self) -> mp::Result<()> {
        self.desk.diary.put(&format!("ended in {}", std::process::id()))?;
        mp::ensure!(self.total != FAIL_AT_END, "the desk is locked");
        Ok(())
    }
}

fn looks_up(code: u8) -> mp::Result<u64> {
    Err(mp::Error::typed(WrongCode(code)))
}

#[test]
fn pr_01_the_object_is_made_once_and_keeps_its_state_and_its_process() {
    let desk = Desk::new();
    let clerk = desk.clerk();
    assert_eq!(clerk.call(Order::Add(3)).unwrap(), 3);
    assert_eq!(clerk.call(Order::Add(4)).unwrap(), 7);
    for _ in 0..3 {
        assert_eq!(clerk.call(Order::Pid).unwrap(), u64::from(clerk.pid()));
    }
    assert_ne!(clerk.pid(), std::process::id());
    assert!(clerk.is_alive() && clerk.exitcode().is_none());
    assert_eq!(desk.is_written(), ["begun"]);
    clerk.join().unwrap();
    assert!(!clerk.is_alive() && clerk.exitcode() == Some(0));
}

#[test]
fn pr_02_results_come_in_the_order_of_the_calls() {
    let clerk = Desk::new().clerk();
    for _ in 0..1000 {
        clerk.restart(Order::Add(1)).unwrap();
    }
    assert_eq!(clerk.outstanding(), 1000);
    for n in 1..=1000 {
        assert_eq!(clerk.rejoin().unwrap(), n);
    }
    assert_eq!(clerk.outstanding(), 0);
    // A call in between has its own result, and leaves those of others to them.
    clerk.restart(Order::Add(10)).unwrap();
    assert_eq!(clerk.call(Order::Add(100)).unwrap(), 1110);
    assert_eq!(clerk.rejoin().unwrap(), 1010);
}

#[test]
fn pr_02_restart_does_not_wait_for_an_object_that_does() {
    let desk = Desk::new();
    let clerk = desk.clerk();
    clerk.restart(Order::Wait).unwrap();
    for _ in 0..20_000 {
        at_once(|| clerk.restart(Order::Add(1))).unwrap();
    }
    assert!(matches!(clerk.rejoin_timeout(Duration::ZERO), Err(RunnerError::Timeout)));
    desk.go.set();
    assert_eq!(clerk.rejoin().unwrap(), 0);
    for n in 1..=20_000 {
        assert_eq!(clerk.rejoin().unwrap(), n);
    }
}

/// Gives back what it gets, after some rounds through whatever is between.
struct Echo;

impl ProcessRunnee for Echo {
    type Init = ();
    type Args = Vec<u64>;
    type Out = Vec<u64>;

    fn new((): ()) -> mp::Result<Echo> {
        Ok(Echo)
    }

    fn call(&mut self, args: Vec<u64>) -> mp::Result<Vec<u64>> {
        Ok(args)
    }
}

#[test]
fn pr_02_large_results_that_nobody_takes_stop_neither_side() {
    let echo = ProcessRunner::start::<Echo>(()).unwrap();
    let long: Vec<u64> = (0..80_000).collect();
    for _ in 0..20 {
        at_once(|| echo.restart(long.clone())).unwrap();
    }
    for _ in 0..10 {
        assert!(echo.rejoin().unwrap() == long);
    }
    // The others are done all the same, and are there after the end.
    echo.join().unwrap();
    for _ in 0..10 {
        assert!(echo.rejoin().unwrap() == long);
    }
    assert!(matches!(echo.rejoin(), Err(RunnerError::Joined)));
}

#[test]
fn pr_03_an_error_is_that_of_its_rejoin_and_the_object_stays() {
    let desk = Desk::new();
    let clerk = ProcessRunner::builder::<Clerk>(desk).name("clerk").start().unwrap();
    clerk.restart(Order::Add(1)).unwrap();
    clerk.restart(Order::Fail(9)).unwrap();
    clerk.restart(Order::Add(1)).unwrap();
    assert_eq!(clerk.rejoin().unwrap(), 1);
    let error = clerk.rejoin().unwrap_err();
    assert_eq!(clerk.rejoin().unwrap(), 2);

    let RunnerError::Exception(remote) = &error else { panic!("{error:?}") };
    assert_eq!(remote.downcast::<WrongCode>(), Some(WrongCode(9)));
    assert_eq!((remote.process_name(), remote.pid()), ("clerk", clerk.pid()));
    let trace = remote.traceback();
    assert!(trace.starts_with("[clerk]") && trace.contains("looks_up"), "{trace}");
    assert!(!trace.contains("mp_pool::runner::worker") && !trace.contains("mp_context"), "{trace}");
    let text = error.to_string();
    assert!(text.contains("'clerk'") && text.contains(&clerk.pid().to_string()), "{text}");
    assert!(text.ends_with("code 9 is wrong"), "{text}");
    // Raised again in a third place, it is still what it was.
    let again = mp::RemoteException::new(error);
    assert_eq!(again.downcast::<WrongCode>(), Some(WrongCode(9)));
    assert_eq!(clerk.call(Order::Pid).unwrap(), u64::from(clerk.pid()));
    clerk.join().unwrap();
}

#[test]
fn pr_03_a_panic_is_that_of_its_rejoin_and_the_object_stays() {
    let clerk = ProcessRunner::builder::<Clerk>(Desk::new()).on_failure(|_| ()).start().unwrap();
    assert_eq!(clerk.call(Order::Add(1)).unwrap(), 1);
    for _ in 0..3 {
        let error = clerk.call(Order::Panic).unwrap_err();
        let remote = error.as_exception().unwrap();
        assert!(matches!(error, RunnerError::Exception(_)) && remote.is_panic(), "{error:?}");
        assert_eq!(remote.message(), "out of ink");
        assert!(remote.location().unwrap().starts_with(file!()), "{remote:?}");
        assert!(remote.traceback().contains("Clerk"), "{}", remote.traceback());
    }
    assert_eq!(clerk.call(Order::Add(1)).unwrap(), 2);
    clerk.join().unwrap();
}

#[test]
fn pr_04_join_does_the_queued_calls_and_finishes_the_object_in_its_process() {
    let desk = Desk::new();
    let clerk = desk.clerk();
    clerk.restart(Order::Wait).unwrap();
    clerk.restart(Order::Add(5)).unwrap();
    assert!(!takes_at_least(SHORT, || clerk.join_timeout(SHORT)).unwrap());
    // It takes no more calls, though it goes on.
    assert!(matches!(clerk.restart(Order::Add(1)), Err(RunnerError::Joined)));
    desk.go.set();
    assert!(clerk.join_timeout(LONG).unwrap());
    clerk.join().unwrap();
    assert_eq!(desk.is_written(), ["begun", "waited", &format!("ended in {}", clerk.pid())]);
    assert_eq!(clerk.rejoin().unwrap(), 0);
    assert_eq!(clerk.rejoin().unwrap(), 5);
    assert!(matches!(clerk.rejoin(), Err(RunnerError::Joined)));
    assert!(matches!(clerk.rejoin_timeout(SHORT), Err(RunnerError::Joined)));
    assert!(matches!(clerk.call(Order::Add(1)), Err(RunnerError::Joined)));
}

#[test]
fn pr_04_dropping_waits_for_nothing_and_loses_no_call() {
    let desk = Desk::new();
    let clerk = desk.clerk();
    let pid = clerk.pid();
    clerk.restart(Order::Wait).unwrap();
    clerk.restart(Order::Fail(3)).unwrap();
    clerk.restart(Order::Wait).unwrap();
    at_once(|| drop(clerk));
    desk.go.set();
    let written: Vec<String> = (0..4).map(|_| desk.diary.get_timeout(LONG).unwrap()).collect();
    assert_eq!(written, ["begun", "waited", "waited", &format!("ended in {pid}")]);
}

/// Drops a runner with calls and ends.
fn drops_and_ends(desk: Desk) -> mp::Result<()> {
    let clerk = desk.clerk();
    for _ in 0..3 {
        clerk.restart(Order::Wait)?;
    }
    Ok(())
}

#[test]
fn pr_04_the_end_of_a_program_waits_for_a_runner_that_was_dropped() {
    let desk = Desk::new();
    let p = mp::Process::start(drops_and_ends, (desk.clone(),)).unwrap();
    assert_eq!(desk.diary.get_timeout(LONG).unwrap(), "begun");
    assert!(!p.join_timeout(SHORT).unwrap());
    desk.go.set();
    ends_in_time(&p);
    p.into_result().unwrap();
    let written = desk.is_written();
    assert_eq!(written[..3], ["waited", "waited", "waited"]);
    assert!(written[3].starts_with("ended in "), "{written:?}");
}

/// Exits with a runner that waits for calls.
fn exits_with_a_runner(desk: Desk) -> mp::Result<()> {
    let clerk = desk.clerk();
    clerk.call(Order::Add(1))?;
    std::process::exit(3);
}

#[test]
fn pr_04_an_exit_with_a_runner_that_is_in_use_waits_for_nothing() {
    let p = mp::Process::start(exits_with_a_runner, (Desk::new(),)).unwrap();
    ends_in_time(&p);
    assert!(matches!(p.join(), Err(ProcessError::Exited { code: 3, .. })));
}

#[test]
fn pr_04_a_failure_at_the_end_is_the_error_of_join() {
    let clerk = ProcessRunner::builder::<Clerk>(Desk::new()).on_failure(|_| ()).start().unwrap();
    clerk.restart(Order::FailAtEnd).unwrap();
    for _ in 0..2 {
        let error = clerk.join().unwrap_err();
        let RunnerError::Finish(remote) = &error else { panic!("{error:?}") };
        assert_eq!(remote.message(), "the desk is locked");
        assert_eq!(clerk.exitcode(), Some(1));
    }
    // The calls are not concerned.
    assert_eq!(clerk.rejoin().unwrap(), 0);
    assert!(matches!(clerk.rejoin(), Err(RunnerError::Finish(_))));
}

/// Doubles what comes in one queue into another; a call gives it new ones.
struct Doubler(Queue<u64>, Queue<u64>);

impl ProcessRunnee for Doubler {
    type Init = (Queue<u64>, Queue<u64>);
    type Args = Option<(Queue<u64>, Queue<u64>)>;
    type Out = usize;

    fn new((input, output): Self::Init) -> mp::Result<Doubler> {
        Ok(Doubler(input, output))
    }

    fn call(&mut self, renewed: Self::Args) -> mp::Result<usize> {
        if let Some((input, output)) = renewed {
            *self = Doubler(input, output);
        }
        for count in 0.. {
            match self.0.get()? {
                0 => return Ok(count),
                n => self.1.put(&(2 * n))?,
            }
        }
        mp::bail!("out of numbers")
    }
}

#[test]
fn pr_05_queues_work_inside_and_can_be_renewed_between_rounds() {
    let (mut input, mut output) = (Queue::new().unwrap(), Queue::new().unwrap());
    let doubler = ProcessRunner::start::<Doubler>((input.clone(), output.clone())).unwrap();
    for round in 0..5 {
        let renewed = (round > 0).then(|| {
            (input, output) = (Queue::new().unwrap(), Queue::new().unwrap());
            (input.clone(), output.clone())
        });
        doubler.restart(renewed).unwrap();
        input.put_many(&[1, 2, 3, 0]).unwrap();
        let got = (0..3).map(|_| output.get_timeout(LONG).unwrap());
        assert_eq!(got.collect::<Vec<_>>(), [2, 4, 6]);
        assert_eq!(doubler.rejoin().unwrap(), 3);
    }
    doubler.join().unwrap();
}

/// Never comes to be.
struct Stillborn;

impl ProcessRunnee for Stillborn {
    type Init = bool;
    type Args = ();
    type Out = ();

    fn new(panics: bool) -> mp::Result<Stillborn> {
        assert!(!panics, "no desk at all");
        Err(mp::Error::typed(WrongCode(1)))
    }

    fn call(&mut self, (): ()) -> mp::Result<()> {
        Ok(())
    }
}

#[test]
fn pr_06_an_object_that_cannot_be_made_is_the_error_of_every_call() {
    for panics in [false, true] {
        let start = || {
            ProcessRunner::builder::<Stillborn>(panics)
                .name("stillborn")
                .on_failure(|_| ())
                .start()
                .unwrap()
        };
        let check = |outcome: Result<(), RunnerError>| {
            let error = outcome.unwrap_err();
            let RunnerError::Setup(remote) = &error else { panic!("{error:?}") };
            assert_eq!(remote.is_panic(), panics);
            assert_eq!(remote.downcast(), (!panics).then_some(WrongCode(1)));
            assert!(!remote.traceback().contains("mp_pool::runner::worker"), "{remote:?}");
            assert!(
                error.to_string().starts_with("failed to set up a runner: process 'stillborn'")
            );
        };
        // With a call that is pending, and without any.
        let runner = start();
        if runner.restart(()).is_ok() {
            check(runner.rejoin());
        }
        check(runner.rejoin());
        check(runner.rejoin_timeout(LONG));
        check(runner.restart(()));
        check(runner.call(()));
        check(runner.join());
        check(runner.rejoin());
        let runner = start();
        check(runner.rejoin());
        let runner = start();
        check(runner.join());
        check(runner.call(()));
    }
}

/// A value that does not survive its way.
#[derive(Debug, PartialEq)]
enum Fragile {
    Sound(u8),
    Unencodable,
    Undecodable,
    PanicsInDecode,
}

impl Serialize for Fragile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Fragile::Sound(n) => n.serialize(serializer),
            Fragile::Unencodable => Err(serde::ser::Error::custom("it breaks when packed")),
            Fragile::Undecodable => 100_u8.serialize(serializer),
            Fragile::PanicsInDecode => 101_u8.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fragile, D::Error> {
        match u8::deserialize(deserializer)? {
            100 => Err(serde::de::Error::custom("it broke on the way")),
            101 => panic!("it explodes when unpacked"),
            n => Ok(Fragile::Sound(n)),
        }
    }
}

/// Makes and takes fragile things.
struct Packer;

impl ProcessRunnee for Packer {
    type Init = Option<Fragile>;
    /// What is sent there, and what is to be sent back.
    type Args = (Fragile, u8);
    type Out = Fragile;

    fn new(_: Option<Fragile>) -> mp::Result<Packer> {
        Ok(Packer)
    }

    fn call(&mut self, (_, back): (Fragile, u8)) -> mp::Result<Fragile> {
        Ok(match back {
            1 => Fragile::Unencodable,
            2 => Fragile::Undecodable,
            3 => Fragile::PanicsInDecode,
            n => Fragile::Sound(n),
        })
    }
}

#[test]
fn pr_03_a_value_that_does_not_cross_concerns_one_call() {
    let packer = ProcessRunner::builder::<Packer>(None).on_failure(|_| ()).start().unwrap();
    let sound = || Fragile::Sound(9);
    packer.restart((sound(), 10)).unwrap();
    let error = packer.restart((Fragile::Unencodable, 0)).unwrap_err();
    assert!(matches!(error, RunnerError::Encode(_)), "{error:?}");
    assert_eq!(packer.outstanding(), 1);
    for (args, back) in
        [(Fragile::Undecodable, 0), (sound(), 1), (sound(), 2), (sound(), 3), (sound(), 11)]
    {
        packer.restart((args, back)).unwrap();
    }
    packer.restart((Fragile::PanicsInDecode, 0)).unwrap();
    assert_eq!(packer.rejoin().unwrap(), Fragile::Sound(10));
    let told = |error: RunnerError, expected: &str| {
        let text = error.to_string();
        assert!(text.contains(&packer.pid().to_string()) && text.contains(expected), "{text}");
        error
    };
    let error = told(packer.rejoin().unwrap_err(), "it broke on the way");
    assert!(matches!(error, RunnerError::ArgumentsLost { .. }), "{error:?}");
    for reason in ["it breaks when packed", "it broke on the way", "its Deserialize panicked"] {
        let error = told(packer.rejoin().unwrap_err(), reason);
        assert!(matches!(error, RunnerError::ResultLost { .. }), "{error:?}");
    }
    assert_eq!(packer.rejoin().unwrap(), Fragile::Sound(11));
    let error = told(packer.rejoin().unwrap_err(), "it explodes when unpacked");
    assert!(error.as_exception().unwrap().is_panic());
    packer.join().unwrap();
}

#[test]
fn pr_06_what_the_object_is_made_from_may_not_cross_either() {
    let error = ProcessRunner::start::<Packer>(Some(Fragile::Unencodable)).unwrap_err();
    assert!(matches!(error, RunnerError::Process(ProcessError::Encode(_))), "{error:?}");
    let packer = ProcessRunner::start::<Packer>(Some(Fragile::Undecodable)).unwrap();
    for _ in 0..2 {
        let error = packer.rejoin().unwrap_err();
        assert!(matches!(error, RunnerError::Process(ProcessError::Decode(_))), "{error:?}");
    }
}

#[test]
fn a_rejoin_without_a_call_is_an_error_and_no_hang() {
    let clerk = Desk::new().clerk();
    for timeout in [None, Some(LONG)] {
        let error = match timeout {
            None => clerk.rejoin(),
            Some(timeout) => clerk.rejoin_timeout(timeout),
        };
        assert!(matches!(error, Err(RunnerError::NoCall)), "{error:?}");
    }
    clerk.call(Order::Add(1)).unwrap();
    assert!(matches!(clerk.rejoin(), Err(RunnerError::NoCall)));
}

#[test]
fn a_call_whose_time_is_over_goes_on_and_is_rejoined_later() {
    let desk = Desk::new();
    let clerk = desk.clerk();
    let timed = || clerk.call_timeout(Order::Wait, SHORT);
    assert!(matches!(takes_at_least(SHORT, timed), Err(RunnerError::Timeout)));
    assert_eq!(clerk.outstanding(), 1);
    clerk.restart(Order::Add(7)).unwrap();
    let timed = || clerk.rejoin_timeout(SHORT);
    assert!(matches!(takes_at_least(SHORT, timed), Err(RunnerError::Timeout)));
    desk.go.set();
    assert_eq!(clerk.rejoin_timeout(LONG).unwrap(), 0);
    assert_eq!(clerk.rejoin().unwrap(), 7);
    assert_eq!(clerk.call_timeout(Order::Add(1), LONG).unwrap(), 8);
}

#[test]
fn threads_that_call_get_their_own_results_and_those_that_rejoin_get_each_once() {
    let echo = ProcessRunner::start::<Echo>(()).unwrap();
    let (rejoined, callers) = (std::sync::Mutex::new(BTreeSet::new()), 6_u64);
    std::thread::scope(|scope| {
        for caller in 0..callers {
            let echo = &echo;
            scope.spawn(move || {
                for n in 0..300 {
                    let args = vec![caller, n];
                    assert_eq!(echo.call(args.clone()).unwrap(), args);
                    echo.restart(vec![100 + caller, n]).unwrap();
                }
            });
        }
        for _ in 0..3 {
            scope.spawn(|| {
                let mut got = 0;
                while got < 600 {
                    match echo.rejoin_timeout(LONG) {
                        Ok(args) => {
                            assert!(args[0] >= 100 && rejoined.lock().unwrap().insert(args));
                            got += 1;
                        }
                        Err(RunnerError::NoCall) => std::thread::yield_now(),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            });
        }
    });
    assert_eq!(rejoined.into_inner().unwrap().len(), 1800);
    assert!(matches!(echo.rejoin(), Err(RunnerError::NoCall)));
}

#[test]
fn threads_whose_time_is_over_take_nobodys_result_along() {
    let desk = Desk::new();
    let clerk = desk.clerk();
    std::thread::scope(|scope| {
        // It is the first that the object does, so that the others have to wait.
        clerk.restart(Order::Wait).unwrap();
        let waits = scope.spawn(|| clerk.rejoin());
        assert!(comes_true(|| clerk.outstanding() == 0));
        for _ in 0..4 {
            scope.spawn(|| {
                let timed = clerk.call_timeout(Order::Add(1), SHORT);
                assert!(matches!(timed, Err(RunnerError::Timeout)), "{timed:?}");
            });
        }
        assert!(comes_true(|| clerk.outstanding() == 4));
        desk.go.set();
        assert_eq!(waits.join().unwrap().unwrap(), 0);
    });
    for n in 1..=4 {
        assert_eq!(clerk.rejoin().unwrap(), n);
    }
}

/// Takes and gives what is more than bytes.
struct Plumber;

impl ProcessRunnee for Plumber {
    type Init = ();
    type Args = (DupFd, Queue<String>);
    type Out = (DupFd, Queue<String>);

    fn new((): ()) -> mp::Result<Plumber> {
        Ok(Plumber)
    }

    fn call(&mut self, (fd, queue): Self::Args) -> mp::Result<Self::Out> {
        let mut text = String::new();
        fd.into::<PipeReader>().read_to_string(&mut text)?;
        queue.put(&text)?;
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(text.as_bytes())?;
        let own = Queue::new()?;
        own.put(&text)?;
        Ok((reader.into(), own))
    }
}

#[test]
fn handles_and_descriptors_go_both_ways() {
    let plumber = ProcessRunner::start::<Plumber>(()).unwrap();
    for n in 0..5 {
        let text = format!("water {n}");
        let (reader, mut writer) = std::io::pipe().unwrap();
        let queue = Queue::new().unwrap();
        plumber.restart((reader.into(), queue.clone())).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        drop::<PipeWriter>(writer);
        let (fd, theirs) = plumber.rejoin().unwrap();
        let mut read = String::new();
        fd.into::<PipeReader>().read_to_string(&mut read).unwrap();
        assert_eq!(
            (&read, theirs.get().unwrap(), queue.get().unwrap()),
            (&text, text.clone(), text.clone())
        );
    }
    plumber.join().unwrap();
}

/// Has processes of its own.
struct Foreman;

impl ProcessRunnee for Foreman {
    type Init = ();
    type Args = u64;
    type Out = (String, u64);

    fn new((): ()) -> mp::Result<Foreman> {
        Ok(Foreman)
    }

    fn call(&mut self, n: u64) -> mp::Result<(String, u64)> {
        let squared = mp::Process::start(|n: u64| Ok(n * n), (n,))?.into_result()?;
        let word = std::env::var("WORD").unwrap_or_default();
        Ok((format!("{} {word}", mp::current_process().name()), squared))
    }
}

#[test]
fn the_object_can_start_processes_and_the_builder_describes_its_own() {
    let described = ProcessRunner::builder::<Foreman>(()).name("foreman").env("WORD", "hello");
    assert!(format!("{described:?}").contains("foreman"));
    let foreman = described.start().unwrap();
    assert_eq!(foreman.name(), "foreman");
    assert_eq!(foreman.call(12).unwrap(), ("foreman hello".to_owned(), 144));
    let shown = format!("{foreman:?}");
    assert!(shown.contains("foreman") && shown.contains("0 outstanding"), "{shown}");
    foreman.join().unwrap();
}

#[test]
fn nothing_is_left_of_runners_that_were_joined_dropped_or_killed() {
    alone(|| {
        let desk = Desk::new();
        desk.go.set();
        // What the first of all leaves stays.
        desk.clerk().join()?;
        let before = holdings();
        for round in 0..24 {
            let clerk = desk.clerk();
            clerk.restart(Order::Wait)?;
            match round % 3 {
                0 => clerk.join()?,
                1 => clerk.kill(),
                _ => drop(clerk),
            }
            // What those who are not gone yet have is not to be had again, so one more place for objects would be kept.
            mp::ensure!(comes_true(|| holdings().children <= before.children));
        }
        mp::ensure!(comes_true(|| holdings() <= before), "{:?}, not {before:?}", holdings());
        Ok(())
    });
}

#[test]
fn a_runner_may_be_used_by_any_thread_whatever_its_object_is() {
    fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ProcessRunner<std::rc::Rc<u8>, *const u8>>();
    is_send_and_sync::<RunnerError>();
}
