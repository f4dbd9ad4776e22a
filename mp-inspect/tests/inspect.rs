//! What is seen of a session from inside and from outside, with real processes in it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::any::Any;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mp::inspect::{Inspection, ProcessReport, QueueReport, SyncReport, WaitsFor};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

/// Looks into the session of a process until something is to be seen.
fn until(pid: u32, is_seen: impl Fn(&Inspection) -> bool) -> Inspection {
    let begun = Instant::now();
    loop {
        let session = mp::inspect_session(pid).unwrap();
        if is_seen(&session) {
            return session;
        }
        assert!(begun.elapsed() < LONG, "not seen:\n{session}");
        std::thread::yield_now();
    }
}

/// Runs a scenario in a process at the root of a session of its own.
fn at_root(test: &str) {
    let output = Command::new("/proc/self/exe")
        .args(["--exact", test, "--ignored", "--nocapture"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

/// Ends the process when the test fails: it would else wait at its end for children that wait.
struct EndsIfPanicking;

impl Drop for EndsIfPanicking {
    fn drop(&mut self) {
        if std::thread::panicking() {
            signal(std::process::id(), Signal::KILL);
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn process(session: &Inspection, name: &str) -> ProcessReport {
    session.processes.iter().find(|process| process.name == name).cloned().unwrap()
}

fn waits(session: &Inspection, name: &str) -> usize {
    let named = session.processes.iter().filter(|process| process.name == name);
    named.map(|process| process.waits.len()).sum()
}

fn locks(session: &Inspection, kind: &str) -> Vec<SyncReport> {
    session.locks.iter().filter(|lock| lock.kind == kind).cloned().collect()
}

fn queue(session: &Inspection) -> QueueReport {
    assert_eq!(session.queues.len(), 1, "{session}");
    session.queues[0].clone()
}

/// Takes one lock, and then wants another that somebody has who wants this.
fn crosswise(first: mp::Lock, second: mp::Lock, both: mp::Barrier) -> mp::Result<()> {
    let _first = first.acquire()?;
    both.wait()?;
    let _second = second.acquire()?;
    Ok(())
}

#[test]
fn a_dead_lock_is_seen_with_who_holds_what_and_where_it_was_made() {
    at_root("dead_lock_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn dead_lock_at_root() {
    let _ends = EndsIfPanicking;
    let (a, b, both) =
        (mp::Lock::new().unwrap(), mp::Lock::new().unwrap(), mp::Barrier::new(2).unwrap());
    let line = line!() - 1;
    let start =
        |name, args| mp::Process::builder(crosswise, args).name(name).daemon(true).start().unwrap();
    let there = start("there", (a.clone(), b.clone(), both.clone()));
    let back = start("back", (b, a, both));
    let session = until(std::process::id(), |session| !session.dead_locks.is_empty());
    assert_eq!(session.dead_locks.len(), 1, "{session}");
    let circle = &session.dead_locks[0];
    let mut seen: Vec<(&str, u32, &str, u32)> = circle
        .iter()
        .map(|wait| {
            (wait.process.as_str(), wait.pid, wait.held_by[0].process.as_str(), wait.held_by[0].pid)
        })
        .collect();
    seen.sort_unstable();
    let expected =
        [("back", back.pid(), "there", there.pid()), ("there", there.pid(), "back", back.pid())];
    assert_eq!(seen, expected);
    for wait in circle {
        let WaitsFor::Sync { kind, place, .. } = &wait.waits_for else { panic!("{wait}") };
        assert_eq!(kind, "Lock");
        assert!(place.ends_with(&format!("tests/inspect.rs:{line}")), "{place}");
        assert_eq!(
            (wait.thread.as_str(), wait.held_by[0].thread.as_deref()),
            ("main", Some("main"))
        );
    }
    // It is the same to `mp-top`'s eyes, while both are stopped.
    signal(there.pid(), Signal::STOP);
    signal(back.pid(), Signal::STOP);
    let session = until(back.pid(), |session| process(session, "there").state == "stopped");
    assert_eq!((session.root, session.dead_locks.len()), (std::process::id(), 1), "{session}");
    signal(back.pid(), Signal::CONT);
    there.kill();
    back.join().unwrap();
    assert!(mp::inspect().unwrap().dead_locks.is_empty());
}

#[test]
fn one_who_joins_a_child_that_waits_for_its_lock_is_dead_locked_and_a_slow_one_is_not() {
    at_root("join_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn join_at_root() {
    let _ends = EndsIfPanicking;
    let lock = mp::Lock::new().unwrap();
    let guard = lock.acquire().unwrap();
    let wants = |lock: mp::Lock| Ok(drop(lock.acquire()?));
    let child = mp::Process::builder(wants, (lock.clone(),)).name("child").start().unwrap();
    // Another thread has the lock than the one that joins: that is none, for it may go on.
    std::thread::scope(|scope| {
        let joined = scope.spawn(|| child.join());
        let is_joined = |session: &Inspection| {
            waits(session, "child") == 1 && waits(session, "MainProcess") == 1
        };
        let session = until(std::process::id(), is_joined);
        assert!(session.dead_locks.is_empty(), "{session}");
        drop(guard);
        joined.join().unwrap().unwrap();
    });
    // The thread that has the lock joins.
    let (seen, pid) = (mp::Event::new().unwrap(), std::process::id());
    let watches = |pid: u32, seen: mp::Event, victim: u32| {
        let session = until(pid, |session| !session.dead_locks.is_empty());
        let waits_for = |name| session.dead_locks[0].iter().find(|wait| wait.process == name);
        mp::ensure!(
            matches!(waits_for("MainProcess").unwrap().waits_for, WaitsFor::Process { pid, .. } if pid == victim)
        );
        mp::ensure!(matches!(waits_for("child").unwrap().waits_for, WaitsFor::Sync { .. }));
        seen.set();
        signal(victim, Signal::KILL);
        Ok(())
    };
    let in_main = move |pid: u32, seen: mp::Event| {
        let lock = mp::Lock::new()?;
        let _guard = lock.acquire()?;
        let child = mp::Process::builder(wants, (lock.clone(),)).name("child").start()?;
        let _watcher =
            mp::Process::builder(watches, (pid, seen, child.pid())).daemon(true).start()?;
        child.join()?;
        Ok(())
    };
    let main =
        mp::Process::builder(in_main, (pid, seen.clone())).name("MainProcess").start().unwrap();
    main.join().unwrap_err();
    assert!(seen.is_set());
}

#[test]
fn every_kind_of_wait_names_its_object_and_ends_with_it() {
    at_root("waits_at_root");
}

fn waits_for_an_event(event: mp::Event) -> mp::Result<()> {
    Ok(event.wait()?)
}

fn gets(queue: mp::Queue<u64>) -> mp::Result<()> {
    queue.get()?;
    Ok(())
}

fn puts(queue: mp::Queue<u64>) -> mp::Result<()> {
    Ok(queue.put(&1)?)
}

fn takes(permits: mp::Semaphore) -> mp::Result<()> {
    drop(permits.acquire()?);
    Ok(())
}

fn meets(barrier: mp::Barrier) -> mp::Result<()> {
    barrier.wait()?;
    Ok(())
}

fn is_notified(condition: mp::Condition) -> mp::Result<()> {
    Ok(condition.acquire()?.wait()?)
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn waits_at_root() {
    let _ends = EndsIfPanicking;
    let (event, barrier) = (mp::Event::new().unwrap(), mp::Barrier::new(2).unwrap());
    let (permits, condition) = (mp::Semaphore::new(1).unwrap(), mp::Condition::new().unwrap());
    let (empty, full) = (mp::Queue::new().unwrap(), mp::Queue::bounded(1).unwrap());
    full.put(&7).unwrap();
    let permit = permits.acquire().unwrap();
    let name = mp::Process::<()>::name;
    let all = [
        mp::Process::builder(waits_for_an_event, (event.clone(),)).name("event").start().unwrap(),
        mp::Process::builder(gets, (empty.clone(),)).name("gets").start().unwrap(),
        mp::Process::builder(puts, (full.clone(),)).name("puts").start().unwrap(),
        mp::Process::builder(takes, (permits.clone(),)).name("takes").start().unwrap(),
        mp::Process::builder(meets, (barrier.clone(),)).name("meets").start().unwrap(),
        mp::Process::builder(is_notified, (condition.clone(),)).name("notified").start().unwrap(),
    ];
    let session =
        until(std::process::id(), |session| all.iter().all(|p| waits(session, name(p)) == 1));
    let text = |name: &str| process(&session, name).waits[0].to_string();
    for (name, said) in [
        ("event", "for Event "),
        ("gets", "for an item of Queue "),
        ("puts", "for room of Queue "),
        ("takes", "for Semaphore "),
        ("meets", "for Barrier "),
        ("notified", "for Condition "),
    ] {
        assert!(text(name).starts_with("main: ") && text(name).contains(said), "{}", text(name));
        assert!(text(name).contains("tests/inspect.rs:"), "{}", text(name));
    }
    let semaphore = &locks(&session, "Semaphore")[0];
    assert_eq!(
        (semaphore.holders[0].pid, semaphore.state.as_str()),
        (std::process::id(), "value 0")
    );
    assert_eq!(semaphore.waiters[0].process, "takes");
    assert_eq!(locks(&session, "Barrier")[0].state, "1 of 2 arrived");
    assert_eq!(locks(&session, "Condition")[0].state, "1 waiting");
    assert_eq!(locks(&session, "Event")[0].state, "not set");
    let of = |most| session.queues.iter().find(|queue| queue.max_items == most).unwrap();
    assert_eq!((of(Some(1)).items, of(Some(1)).waiters[0].process.as_str()), (1, "puts"));
    assert_eq!((of(None).items, of(None).waiters[0].process.as_str()), (0, "gets"));

    drop(permit);
    event.set();
    empty.put(&1).unwrap();
    full.get().unwrap();
    barrier.wait().unwrap();
    condition.acquire().unwrap().notify_all();
    for process in &all {
        process.join().unwrap();
    }
    let session = mp::inspect().unwrap();
    assert!(session.processes.iter().all(|process| process.waits.is_empty()), "{session}");
    assert!(
        session.locks.iter().all(|lock| lock.holders.is_empty() && lock.waiters.is_empty()),
        "{session}"
    );
}

#[test]
fn a_queue_shows_its_depth_and_bytes_and_a_dead_holder_of_a_lock_is_called_dead() {
    at_root("queue_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn queue_at_root() {
    let _ends = EndsIfPanicking;
    let queue_of_text = mp::JoinableQueue::<String>::new().unwrap();
    for length in [10, 1000] {
        queue_of_text.put(&"x".repeat(length)).unwrap();
    }
    let session = mp::inspect().unwrap();
    let seen = queue(&session);
    assert_eq!((seen.items, seen.put, seen.handles, seen.unfinished), (2, 2, 1, None));
    assert!((1010..2000).contains(&seen.bytes), "{}", seen.bytes);
    queue_of_text.get().unwrap();
    queue_of_text.task_done().unwrap();
    let seen = queue(&mp::inspect().unwrap());
    assert_eq!((seen.items, seen.put, seen.unfinished), (1, 2, Some(1)));

    let lock = mp::Lock::new().unwrap();
    let dies = |lock: mp::Lock| {
        let guard = lock.acquire()?;
        signal(std::process::id(), Signal::KILL);
        drop(guard);
        Ok(())
    };
    let child = mp::Process::builder(dies, (lock.clone(),)).name("dies").start().unwrap();
    child.join().unwrap_err();
    let holder = locks(&mp::inspect().unwrap(), "Lock")[0].holders[0].clone();
    assert_eq!(
        (holder.is_alive, holder.process.as_str(), holder.pid),
        (false, "dies", child.pid())
    );
    assert!(holder.to_string().contains("dead"), "{holder}");
    assert!(lock.acquire().unwrap().owner_died().is_some(), "looking has not taken it over");
}

fn waits_in_pool(gate: mp::Event) -> mp::Result<()> {
    Ok(gate.wait()?)
}

#[test]
fn a_pool_shows_its_workers_and_tasks_and_a_server_its_objects_and_clients() {
    at_root("pool_and_server_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn pool_and_server_at_root() {
    let _ends = EndsIfPanicking;
    let gate = mp::Event::new().unwrap();
    let pool = mp::Pool::builder().processes(2).name("mill").start().unwrap();
    let tasks: Vec<_> =
        (0..5).map(|_| pool.apply_async(waits_in_pool, (gate.clone(),)).unwrap()).collect();
    let manager = mp::Manager::start().unwrap();
    let list = manager.list::<u64>().unwrap();
    let held_twice = list.clone();
    let session = until(std::process::id(), |session| {
        session.pools.iter().any(|pool| pool.in_flight == 5 && pool.workers == 2)
    });
    let seen = &session.pools[0];
    assert_eq!((seen.name.as_str(), seen.pid, seen.processes), ("mill", std::process::id(), 2));
    let server = &session.servers[0];
    assert_eq!(server.clients, [std::process::id()]);
    let objects: Vec<_> = server.objects.iter().map(|object| object.type_name.as_str()).collect();
    assert_eq!(objects.len(), 1, "{session}");
    assert!(
        session.unseen.is_empty() && session.queues.is_empty(),
        "queues of pools are their own: {session}"
    );
    assert_eq!(process(&session, &server.name).pid, server.pid);
    let text = session.to_string();
    assert!(text.contains("mill") && text.contains("SERVER"), "{text}");

    // A server that is stopped is not waited for.
    signal(server.pid, Signal::STOP);
    let session = until(std::process::id(), |session| {
        session.unseen.iter().any(|unseen| unseen.reason.contains("stopped"))
    });
    assert!(session.servers.is_empty());
    signal(server.pid, Signal::CONT);
    drop((list, held_twice));
    let is_empty =
        |session: &Inspection| session.servers.iter().any(|server| server.objects.is_empty());
    until(std::process::id(), is_empty);
    gate.set();
    for task in tasks {
        task.get().unwrap();
    }
    until(std::process::id(), |session| session.pools[0].in_flight == 0);
    let pool_seen = mp::inspect().unwrap().pools[0].clone();
    assert_eq!((pool_seen.waiting, pool_seen.done), (0, 5));
    drop(pool);
    assert!(mp::inspect().unwrap().pools.is_empty());
}

#[test]
fn grandchildren_and_programs_that_came_by_a_token_belong_to_the_session() {
    at_root("family_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn family_at_root() {
    let _ends = EndsIfPanicking;
    let gate = mp::Event::new().unwrap();
    let parent = |gate: mp::Event| {
        mp::Process::builder(waits_for_an_event, (gate,)).name("grandchild").start()?.join()?;
        Ok(())
    };
    let child = mp::Process::builder(parent, (gate.clone(),)).name("child").start().unwrap();
    let mut guest = Command::new("/proc/self/exe")
        .args(["--exact", "guest", "--ignored", "--nocapture"])
        .env("GATE", gate.token().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let is_whole = |session: &Inspection| {
        let handles = locks(session, "Event").first().map_or(0, |event| event.handles);
        waits(session, "grandchild") == 1 && waits(session, "child") == 1 && handles >= 3
    };
    let session = until(std::process::id(), is_whole);
    let names: Vec<&str> =
        session.processes.iter().map(|process| process.name.as_str()).take(3).collect();
    assert_eq!(names, ["MainProcess", "child", "grandchild"]);
    assert_eq!(process(&session, "grandchild").parent, child.pid());
    assert!(session.processes.iter().any(|process| process.pid == guest.id()), "{session}");
    assert!(mp::inspect::sessions().unwrap().contains(&std::process::id()));
    gate.set();
    child.join().unwrap();
    assert!(guest.wait().unwrap().success());
}

#[test]
#[ignore = "a program that has a token, run by a test"]
fn guest() {
    if let Ok(token) = std::env::var("GATE") {
        mp::Event::from_token(&token).unwrap().wait().unwrap();
    }
}

#[test]
fn what_cannot_be_looked_at_is_an_error_that_names_it() {
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let error = mp::inspect_session(stranger.id()).unwrap_err();
    assert!(matches!(error, mp::InspectError::NoSession { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {} (", stranger.id())), "{error}");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    let error = mp::inspect_session(stranger.id()).unwrap_err();
    assert!(matches!(error, mp::InspectError::NoProcess { .. }), "{error:?}");
}

#[test]
fn looking_while_processes_come_and_go_and_are_killed_never_fails() {
    at_root("storm_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn storm_at_root() {
    let _ends = EndsIfPanicking;
    let rounds = std::env::var("MP_STORM").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    let works = |lock: mp::Lock, queue: mp::Queue<u64>| {
        loop {
            let _guard = lock.acquire()?;
            queue.put(&1)?;
            queue.get_nowait().ok();
        }
    };
    let (lock, queue) = (mp::Lock::new().unwrap(), mp::Queue::<u64>::new().unwrap());
    for round in 0..rounds {
        let workers: Vec<mp::Process<()>> = (0..3)
            .map(|_| {
                mp::Process::builder(works, (lock.clone(), queue.clone()))
                    .daemon(true)
                    .start()
                    .unwrap()
            })
            .collect();
        for worker in workers {
            let session = mp::inspect().unwrap();
            assert!(session.dead_locks.is_empty(), "round {round}: {session}");
            worker.kill();
            let session = mp::inspect().unwrap();
            assert!(session.to_string().contains("MainProcess"), "{session}");
            worker.join().unwrap_err();
        }
    }
}

/// As `crosswise`, but nobody waits for ever.
fn crosswise_for_a_while(first: mp::Lock, second: mp::Lock, both: mp::Barrier) -> mp::Result<()> {
    let _first = first.acquire()?;
    both.wait()?;
    while second.acquire_timeout(LONG)?.is_none() {}
    Ok(())
}

#[test]
fn waits_that_have_a_deadline_are_no_dead_lock() {
    at_root("deadlines_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn deadlines_at_root() {
    let _ends = EndsIfPanicking;
    let (a, b) = (mp::Lock::new().unwrap(), mp::Lock::new().unwrap());
    let both = mp::Barrier::new(2).unwrap();
    let start = |name, args| {
        let process = mp::Process::builder(crosswise_for_a_while, args);
        process.name(name).daemon(true).start().unwrap()
    };
    let there = start("there", (a.clone(), b.clone(), both.clone()));
    let back = start("back", (b, a, both));
    let wait = |session: &Inspection, name| {
        let waits = session.processes.iter().filter(|process| process.name == name);
        waits.flat_map(|process| process.waits.clone()).find(|wait| !wait.held_by.is_empty())
    };
    let session = until(std::process::id(), |session| {
        wait(session, "there").is_some() && wait(session, "back").is_some()
    });
    assert!(wait(&session, "there").unwrap().has_deadline);
    assert!(session.dead_locks.is_empty(), "{session}");
    there.kill();
    back.join().unwrap();
}

#[test]
fn a_pool_that_has_nothing_to_do_shows_its_workers() {
    at_root("idle_pool_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn idle_pool_at_root() {
    let _ends = EndsIfPanicking;
    let _pool = mp::Pool::new(2).unwrap();
    let session = mp::inspect().unwrap();
    assert_eq!((session.pools[0].workers, session.pools[0].in_flight), (2, 0), "{session}");
    let waits_for_work =
        |process: &ProcessReport| process.waits.iter().any(|wait| wait.waits_for == WaitsFor::Pool);
    until(std::process::id(), |session| {
        session.processes.iter().filter(|process| waits_for_work(process)).count() == 2
    });
}

#[test]
fn names_may_be_cut_within_a_character() {
    at_root("odd_name_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn odd_name_at_root() {
    let _ends = EndsIfPanicking;
    let _lock = mp::Lock::new().unwrap();
    std::fs::write("/proc/self/comm", b"gr\xc3").unwrap();
    assert_eq!(mp::inspect().unwrap().root, std::process::id());
}

#[test]
fn a_shortage_of_descriptors_is_said_and_hides_nothing_in_silence() {
    at_root("shortage_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn shortage_at_root() {
    let _ends = EndsIfPanicking;
    let _lock = mp::Lock::new().unwrap();
    let big = mp::Barrier::new(2).unwrap(); // lies in another arena
    let open = u64::try_from(std::fs::read_dir("/proc/self/fd").unwrap().count()).unwrap();
    let (mut whole, mut failed) = (0, 0);
    // What is open stays so beyond a limit.
    for limit in 3..open + 8 {
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(limit), ..before }).unwrap();
        let looked = mp::inspect();
        setrlimit(Resource::Nofile, before).unwrap();
        match looked {
            Ok(session) if session.unseen.is_empty() => {
                assert_eq!(session.locks.len(), 2, "limit {limit}: {session}");
                whole += 1;
            }
            Ok(_) => failed += 1,
            Err(error) => {
                assert!(
                    matches!(error, mp::InspectError::System { .. }),
                    "limit {limit}: {error:?}"
                );
                failed += 1;
            }
        }
    }
    assert!(whole > 0 && failed > 0, "{whole} whole, {failed} failed");
    drop(big);
}

#[test]
fn memory_that_is_not_there_is_not_made_by_looking() {
    at_root("sparse_at_root");
}

#[test]
#[ignore = "run at the root of a session of its own"]
fn sparse_at_root() {
    let _ends = EndsIfPanicking;
    let _lock = mp::Lock::new().unwrap();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let false_arena = rustix::fs::memfd_create(c"mp-arena", flags).unwrap();
    rustix::fs::ftruncate(&false_arena, 64 << 20).unwrap();
    rustix::io::pwrite(&false_arena, b"mp-aren2", 0).unwrap();
    rustix::fs::fcntl_add_seals(&false_arena, SealFlags::SHRINK | SealFlags::GROW).unwrap();
    let before = rustix::fs::fstat(&false_arena).unwrap().st_blocks;
    assert_eq!(mp::inspect().unwrap().locks.len(), 1);
    assert_eq!(rustix::fs::fstat(&false_arena).unwrap().st_blocks, before);
}

#[test]
fn a_process_that_has_ended_and_is_not_reaped_is_none() {
    let mut ended = Command::new("true").spawn().unwrap();
    let pid = ended.id();
    let begun = Instant::now();
    while !matches!(mp::inspect_session(pid), Err(mp::InspectError::NoProcess { .. })) {
        assert!(begun.elapsed() < LONG);
        std::thread::yield_now();
    }
    ended.wait().unwrap();
}

#[test]
fn every_object_shows_the_line_that_made_it() {
    at_root("makes_one_of_each");
}

#[test]
#[ignore = "run in a session of its own by every_object_shows_the_line_that_made_it"]
fn makes_one_of_each() {
    let context = mp::SpawnContext::new();
    let mut kept: Vec<Box<dyn Any>> = Vec::new();
    let mut lines = BTreeSet::new();
    macro_rules! make {
        ($object:expr) => {{
            kept.push(Box::new($object.unwrap()));
            lines.insert(line!());
        }};
    }
    make!(mp::Lock::new());
    make!(mp::RLock::new());
    make!(mp::Event::new());
    make!(mp::Barrier::new(2));
    make!(mp::Barrier::builder(2).build());
    make!(mp::Semaphore::new(1));
    make!(mp::BoundedSemaphore::new(1));
    make!(mp::Condition::new());
    make!(mp::Lock::new().and_then(|lock| mp::Condition::with_lock(&lock)));
    make!(mp::RLock::new().and_then(|lock| mp::Condition::with_rlock(&lock)));
    make!(mp::Value::new(1));
    make!(mp::Lock::new().and_then(|lock| mp::Value::with_lock(1, &lock)));
    make!(mp::Array::new(&[1, 2]));
    make!(mp::Array::<u64>::zeroed(2));
    make!(mp::Queue::<u64>::new());
    make!(mp::Queue::<u64>::bounded(3));
    make!(mp::Queue::<u64>::builder().maxsize(3).build());
    make!(mp::SimpleQueue::<u64>::new());
    make!(mp::JoinableQueue::<u64>::new());
    make!(mp::JoinableQueue::<u64>::bounded(3));
    make!(mp::JoinableQueue::<u64>::with_limits(mp::Queue::builder().maxsize(3)));
    make!(context.lock());
    make!(context.rlock());
    make!(context.event());
    make!(context.barrier(2));
    make!(context.semaphore(1));
    make!(context.bounded_semaphore(1));
    make!(context.condition());
    make!(context.value(1));
    make!(context.array(&[1, 2]));
    make!(context.queue::<u64>(3));
    make!(context.simple_queue::<u64>());
    make!(context.joinable_queue::<u64>(3));
    let seen = mp::inspect().unwrap();
    let places = seen.locks.iter().map(|lock| &lock.place);
    let places: BTreeSet<&String> =
        places.chain(seen.queues.iter().map(|queue| &queue.place)).collect();
    let expected: BTreeSet<String> =
        lines.iter().map(|line| format!("mp-inspect/tests/inspect.rs:{line}")).collect();
    let is_at = |place: &str| expected.iter().any(|expected| place.ends_with(expected.as_str()));
    let strays: Vec<_> = places.iter().filter(|place| !is_at(place)).collect();
    assert!(strays.is_empty(), "{strays:?}");
    assert_eq!(places.len(), lines.len(), "{places:#?}");
}
