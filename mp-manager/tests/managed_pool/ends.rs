//! Pools that are ended, and workers, servers and clients that are killed.

use std::fmt::Debug;

use mp::{
    Event, Manager, ManagerError, PoolError, PoolProxy, Process, Queue, TaskOptions, TypedProxy,
};
use mp_testing::limits::{LONG, SHORT, comes_true};
use mp_testing::system::{ends_within, raise, signal};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::{SERVER, Tally, TallyProxy, add, is_as_new, manager, objects, park, refusal, square};

fn is_gone<T: Debug>(outcome: &Result<T, ManagerError>) -> bool {
    matches!(outcome, Err(ManagerError::Disconnected { server, .. }) if server == SERVER)
}

fn end_in_time(pids: &[u32]) {
    assert!(pids.iter().all(|pid| ends_within(*pid, LONG).unwrap()));
}

#[test]
fn pl_34_pl_48_a_pool_ends_as_it_is_told() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    assert!(matches!(refusal(pool.join()), PoolError::StillOpen));
    let result = pool.map_async(square, 0..100).unwrap();
    let pids = pool.worker_pids().unwrap();
    let mut imap = pool.imap(square, 0..100).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 0);
    pool.close().unwrap();
    assert!(imap.map(Result::unwrap).eq((1..100).map(|n| n * n)), "it goes on");
    pool.join().unwrap();
    end_in_time(&pids);
    assert_eq!(result.get().unwrap()[99], 99 * 99);
    assert!(matches!(refusal(pool.apply(add, (1, 2))), PoolError::Closed));
    assert!(matches!(refusal(pool.map(square, [])), PoolError::Closed));
    assert!(matches!(refusal(pool.map_async(square, 0..9)), PoolError::Closed));
    assert!(matches!(refusal(pool.imap(square, 0..9)), PoolError::Closed));
    pool.close().unwrap();
    pool.terminate().unwrap();
    pool.join().unwrap();

    let pool = manager.pool(2).unwrap();
    let begun = Event::new().unwrap();
    let parked = pool.apply_async(park, (begun.clone(),)).unwrap();
    let behind = pool.map_async(square, 0..10_000).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let mut imap = pool.imap(square, 0..).unwrap();
    assert_eq!(imap.next().unwrap().unwrap(), 0);
    let pids = pool.worker_pids().unwrap();
    pool.terminate().unwrap();
    pool.join().unwrap();
    end_in_time(&pids);
    assert!(matches!(refusal(parked.get()), PoolError::Terminated));
    assert!(behind.ready().unwrap());
    let rest: Vec<_> = imap.take(10_000).collect();
    assert!(rest.len() < 10_000, "it ends");
    let is_over = |error| matches!(error, PoolError::Terminated | PoolError::Closed);
    assert!(rest.into_iter().filter(Result::is_err).all(|one| is_over(refusal(one))));
}

#[test]
fn the_last_proxy_takes_the_workers_along() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let begun = Event::new().unwrap();
    let parked = pool.apply_async(park, (begun.clone(),)).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let pids = pool.worker_pids().unwrap();
    let other = pool.clone();
    drop(pool);
    is_as_new(&other);
    drop(other);
    end_in_time(&pids);
    assert!(matches!(refusal(parked.get()), PoolError::Terminated));
    drop(parked);
    assert!(objects(&manager).is_empty());
}

#[test]
fn workers_outlive_the_thread_that_has_made_their_pool() {
    let manager = manager();
    let pool = std::thread::scope(|scope| scope.spawn(|| manager.pool(2).unwrap()).join()).unwrap();
    let pids = pool.worker_pids().unwrap();
    std::thread::scope(|scope| scope.spawn(|| is_as_new(&pool)).join()).unwrap();
    // The server's threads for those are gone by now, or will be soon.
    std::thread::sleep(SHORT);
    is_as_new(&pool);
    assert_eq!(pool.worker_pids().unwrap(), pids);
}

#[test]
fn pl_28_a_worker_that_dies_costs_one_task() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let begun = Event::new().unwrap();
    let parked = pool.apply_async(park, (begun.clone(),)).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let dies = |n: u64| {
        if n == 7 {
            raise(Signal::KILL);
        }
        Ok(n)
    };
    let error = refusal(pool.apply(dies, (7,)));
    let PoolError::WorkerDied { pid, exitcode: Some(-9), started: true } = error else {
        panic!("{error:?}");
    };
    end_in_time(&[pid]);
    let died = |outcome| matches!(refusal(outcome), PoolError::WorkerDied { started: true, .. });
    assert!(died(pool.map(dies, 0..20)));
    let outcomes: Vec<_> = pool.imap(dies, 0..20).unwrap().collect();
    assert_eq!(outcomes.len(), 20);
    for (n, outcome) in (0..).zip(outcomes) {
        match n {
            7 => assert!(died(outcome.map(|n| vec![n]))),
            n => assert_eq!(outcome.unwrap(), n),
        }
    }
    assert!(!parked.ready().unwrap(), "the other one is not touched");
    let victims = pool.worker_pids().unwrap();
    for pid in victims {
        signal(pid, Signal::KILL);
    }
    assert!(matches!(refusal(parked.get()), PoolError::WorkerDied { exitcode: Some(-9), .. }));
    is_as_new(&pool);
}

#[test]
fn a_server_that_is_killed_is_gone_for_all_who_wait_and_its_workers_with_it() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let pids = pool.worker_pids().unwrap();
    let begun = [(); 2].map(|()| Event::new().unwrap());
    let parked = begun.clone().map(|begun| pool.apply_async(park, (begun,)).unwrap());
    assert!(begun.iter().all(|begun| begun.wait_timeout(LONG).unwrap()));
    let [read, joins] = [(); 2].map(|()| Event::new().unwrap());
    let imap = pool.imap(square, 0..100).unwrap();
    std::thread::scope(|scope| {
        let items = (0..100).inspect(|_| read.set());
        let map = scope.spawn(|| pool.map(square, items));
        let apply = scope.spawn(|| pool.apply(add, (1, 2)));
        let join = scope.spawn(|| {
            let closed = manager.pool(1).unwrap();
            let begun = Event::new().unwrap();
            let parked = closed.apply_async(park, (begun.clone(),)).unwrap();
            begun.wait().unwrap();
            closed.close().unwrap();
            joins.set();
            let outcome = closed.join();
            assert!(is_gone(&parked.get()));
            outcome
        });
        let imap = scope.spawn(|| imap.collect::<Vec<_>>());
        let get = scope.spawn(|| is_gone(&parked[0].get()));
        assert!(read.wait_timeout(LONG).unwrap() && joins.wait_timeout(LONG).unwrap());
        std::thread::sleep(SHORT);
        assert!(!map.is_finished() && !apply.is_finished() && !join.is_finished());
        signal(manager.pid(), Signal::KILL);
        assert!(is_gone(&map.join().unwrap()));
        assert!(is_gone(&apply.join().unwrap()));
        assert!(is_gone(&join.join().unwrap()));
        let all = imap.join().unwrap();
        assert!(!all.is_empty() && all.iter().all(is_gone), "{all:?}");
        assert!(get.join().unwrap());
    });
    assert!(is_gone(&pool.apply(add, (1, 2))) && is_gone(&pool.worker_pids()));
    end_in_time(&pids);
}

/// What a client does before it is killed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Doing {
    Apply,
    Map,
    ApplyAsync,
    Get,
    Wait,
    Imap,
    ImapUnordered,
    Progress,
    Join,
}

const DOINGS: [Doing; 9] = [
    Doing::Apply,
    Doing::Map,
    Doing::ApplyAsync,
    Doing::Get,
    Doing::Wait,
    Doing::Imap,
    Doing::ImapUnordered,
    Doing::Progress,
    Doing::Join,
];

/// A client in the middle of something, whose tasks wait for an event and count themselves.
fn in_the_middle(doing: Doing, pool: PoolProxy, tally: TallyProxy, go: Event) -> mp::Result<()> {
    let task = |(tally, go): (TallyProxy, Event)| {
        tally.add(1)?;
        go.wait()?;
        Ok(())
    };
    let item = || (tally.clone(), go.clone());
    let endless = || std::iter::repeat_with(item);
    let one_by_one = pool.with_options(TaskOptions::new().chunksize(1));
    match doing {
        Doing::Apply => pool.apply(task, (item(),))?,
        Doing::Map => drop(one_by_one.map(task, endless().take(100))?),
        Doing::ApplyAsync => {
            let _results: Vec<_> =
                (0..100).map(|_| pool.apply_async(task, (item(),))).collect::<Result<_, _>>()?;
            loop {
                std::thread::park();
            }
        }
        Doing::Get => drop(one_by_one.map_async(task, endless().take(100))?.get()?),
        Doing::Wait => one_by_one.map_async(task, endless().take(100))?.wait()?,
        Doing::Imap => pool.imap(task, endless())?.for_each(drop),
        Doing::ImapUnordered => pool.imap_unordered(task, endless())?.for_each(drop),
        Doing::Progress => {
            let calls = pool.with_options(TaskOptions::new().chunksize(1).progress(|_| ()));
            calls.map_async(task, endless().take(100))?.get()?;
        }
        Doing::Join => {
            let result = pool.apply_async(task, (item(),))?;
            pool.close()?;
            pool.join()?;
            result.get()?;
        }
    }
    Ok(())
}

#[test]
fn a_client_that_is_killed_leaves_the_pool_as_it_was() {
    let manager = manager();
    for doing in DOINGS {
        let pool = manager.pool(2).unwrap();
        let tally = manager.create(Tally::args(0)).unwrap();
        let go = Event::new().unwrap();
        let before = objects(&manager);
        let args = (doing, pool.clone(), tally.clone(), go.clone());
        let client = Process::start(in_the_middle, args).unwrap();
        assert!(comes_true(|| tally.add(0).unwrap() >= 1), "{doing:?} does not begin");
        match doing {
            Doing::Apply => {}
            Doing::Join => assert!(comes_true(|| pool.to_string().ends_with("closing>"))),
            _ => assert!(comes_true(|| tally.add(0).unwrap() == 2), "both workers are busy"),
        }
        client.kill();
        assert!(client.join().is_err());
        // What waits in the server waits no longer; what runs does, and nothing else of it is begun.
        let but_for_the_tally = |mut all: Vec<(u64, String, usize)>| {
            all.retain(|(id, ..)| *id != tally.as_proxy().object_id());
            all
        };
        let left = but_for_the_tally(before.clone());
        assert!(comes_true(|| but_for_the_tally(objects(&manager)) == left), "{doing:?}");
        go.set();
        if matches!(doing, Doing::Join) {
            pool.join().unwrap();
        } else {
            is_as_new(&pool);
        }
        assert!(tally.add(0).unwrap() <= 2, "{doing:?}: {:?}", tally.add(0));
        let is_as_before = || objects(&manager) == before;
        assert!(comes_true(is_as_before), "{doing:?}: {:?}", manager.debug_info());
    }
}

/// Its tasks went on when it died while the server was about to answer it.
#[test]
fn a_client_that_is_killed_while_it_submits_has_no_more_tasks_begun() {
    const ITEMS: usize = 20_000;

    fn note(file: String, until: Option<Event>) -> mp::Result<()> {
        let mut file = std::fs::File::options().append(true).open(file)?;
        std::io::Write::write_all(&mut file, b".")?;
        if let Some(until) = until {
            until.wait()?;
        }
        Ok(())
    }

    fn submit(pool: PoolProxy, file: String, go: Event) -> mp::Result<()> {
        let one_by_one = pool.with_options(TaskOptions::new().chunksize(1));
        let events = std::iter::repeat_n(Some(go), 2).chain(std::iter::repeat(None));
        let items = events.take(ITEMS).map(|until| (file.clone(), until));
        one_by_one.starmap_async(note, items)?.wait()?;
        Ok(())
    }

    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let before = objects(&manager);
    for _ in 0..mp_testing::storm::kills(10) {
        let noted = tempfile::NamedTempFile::new().unwrap();
        let has_noted = || noted.as_file().metadata().unwrap().len();
        let go = Event::new().unwrap();
        let file = noted.path().to_str().unwrap().to_owned();
        let client = Process::start(submit, (pool.clone(), file, go.clone())).unwrap();
        assert!(comes_true(|| has_noted() == 2));
        client.kill();
        assert!(client.join().is_err());
        assert!(comes_true(|| objects(&manager) == before), "{:?}", manager.debug_info());
        go.set();
        is_as_new(&pool);
        assert_eq!(has_noted(), 2);
    }
}

#[test]
fn a_client_that_is_killed_takes_a_pool_along_that_nobody_else_has() {
    let manager = manager();
    for doing in DOINGS {
        let tally = manager.create(Tally::args(0)).unwrap();
        let never = Event::new().unwrap();
        let pids: Queue<Vec<u32>> = Queue::new().unwrap();
        let makes = |doing: Doing,
                     manager: Manager,
                     tally: TallyProxy,
                     never: Event,
                     pids: Queue<Vec<u32>>| {
            let pool = manager.pool(2)?;
            pids.put(&pool.worker_pids()?)?;
            in_the_middle(doing, pool, tally, never)
        };
        let key = mp::current_process().authkey();
        let handle = Manager::connect(manager.address(), key.as_bytes()).unwrap();
        let args = (doing, handle, tally.clone(), never, pids.clone());
        let client = Process::start(makes, args).unwrap();
        assert!(comes_true(|| tally.add(0).unwrap() >= 1), "{doing:?} does not begin");
        client.kill();
        assert!(client.join().is_err());
        end_in_time(&pids.get().unwrap());
        let is_alone = || objects(&manager).len() == 1;
        assert!(comes_true(is_alone), "{doing:?}: {:?}", manager.debug_info());
    }
}
