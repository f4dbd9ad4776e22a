//! Pools under cancels, limits, ends and short lives of workers, all at once and for long.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mp::{AsyncResult, Event, Pool, PoolError, TaskOptions};
use mp_testing::limits::{LONG, SHORT, alone, alone_for, at_once, comes_true};
use mp_testing::storm::{Dice, kills, limit_of, take_turn};
use mp_testing::system::{children_of, signal};
use rustix::process::Signal;

mp::enable_test_support!();

fn result_of(id: usize) -> u64 {
    id as u64 * 3 + 1
}

/// Computes and sleeps for some microseconds.
fn works(id: usize, computes: u64, sleeps: u64) -> mp::Result<(u64, u32)> {
    let end = Instant::now() + Duration::from_micros(computes);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    if sleeps > 0 {
        std::thread::sleep(Duration::from_micros(sleeps));
    }
    Ok((result_of(id), std::process::id()))
}

fn park() -> mp::Result<()> {
    loop {
        std::thread::park();
    }
}

type Told = Result<(u64, u32), PoolError>;

/// What was done to a task, and what was told of it.
#[derive(Default)]
struct Case {
    has_limit: bool,
    /// Whether it does not end by itself.
    is_endless: bool,
    /// What `cancel` has said.
    cancelled: Vec<bool>,
    is_terminated: bool,
    told: Arc<Mutex<Vec<Told>>>,
}

/// How often what came of tasks.
#[derive(Debug, Default)]
struct Ends {
    returned: usize,
    cancelled: usize,
    timed_out: usize,
    died: usize,
}

struct Riot {
    pool: Pool,
    dice: Dice,
    cases: Vec<Case>,
    open: VecDeque<(usize, AsyncResult<(u64, u32)>)>,
    killed: HashSet<u32>,
}

impl Riot {
    /// Workers that have run a task and were not killed.
    fn born(&self) -> Vec<u32> {
        let cases = self.cases.iter().rev().take(600);
        let told: HashSet<u32> = cases
            .flat_map(|case| case.told.lock().unwrap().first().cloned())
            .filter_map(|told| Some(told.ok()?.1))
            .collect();
        let pids = self.pool.worker_pids();
        pids.into_iter().filter(|pid| told.contains(pid) && !self.killed.contains(pid)).collect()
    }

    fn submit(&mut self) {
        let (id, mut case) = (self.cases.len(), Case::default());
        let (computes, sleeps) = match self.dice.below(10) {
            0..5 => (self.dice.below(50), 0),
            5..8 => (0, self.dice.below(2000)),
            8 => (self.dice.below(2000), 0),
            _ => {
                case.is_endless = true;
                (0, u64::MAX)
            }
        };
        let mut options = TaskOptions::new();
        if case.is_endless || self.dice.below(10) == 0 {
            case.has_limit = true;
            options = options.timeout(Duration::from_micros(1000 + self.dice.below(7000)));
        }
        let calls = self.pool.with_options(options);
        let handle = calls.apply_async(works, (id, computes, sleeps)).unwrap();
        let told = Arc::clone(&case.told);
        handle.on_done(move |outcome: &Told| told.lock().unwrap().push(outcome.clone()));
        self.cases.push(case);
        self.open.push_back((id, handle));
    }

    fn act(&mut self) {
        let at = self.dice.index(self.open.len());
        match self.dice.below(100) {
            0..20 => {
                let (id, handle) = &self.open[at];
                self.cases[*id].cancelled.push(handle.cancel());
            }
            20..30 => {
                let (id, handle) = &self.open[at];
                handle.terminate();
                self.cases[*id].is_terminated = true;
            }
            30..45 => drop(self.open.remove(at)),
            45..50 => {
                let born = self.born();
                if born.len() >= 2 {
                    let victim = born[self.dice.index(born.len())];
                    self.killed.insert(victim);
                    signal(victim, Signal::KILL);
                }
            }
            50..70 => self.dice.pass_less_than(Duration::from_micros(300)),
            _ => {}
        }
    }

    /// Waits until few tasks have no outcome.
    fn keep_few(&mut self) {
        while self.open.len() > 150 {
            let (id, handle) = self.open.pop_front().unwrap();
            assert!(handle.wait_timeout(LONG), "{handle:?} hangs");
            let told = self.cases[id].told.lock().unwrap();
            let told = told.first().expect("it calls back before those who wait go on");
            assert_eq!(handle.successful(), Some(told.is_ok()));
        }
    }

    /// Sees that each task has one outcome, for which there was a reason.
    fn account_for_all(&self) -> Ends {
        let (mut ends, mut hits) = (Ends::default(), HashMap::<u32, usize>::new());
        for (id, case) in self.cases.iter().enumerate() {
            let told = case.told.lock().unwrap();
            let [told] = &told[..] else { panic!("{} outcomes of {id}", told.len()) };
            let was_cancelled = case.cancelled.contains(&true);
            match told {
                Ok((result, _)) => {
                    assert_eq!(*result, result_of(id));
                    assert!(!was_cancelled && !case.is_endless);
                    ends.returned += 1;
                }
                Err(PoolError::Cancelled) => {
                    assert!(was_cancelled || case.is_terminated, "nobody has cancelled {id}");
                    ends.cancelled += 1;
                }
                Err(PoolError::TimedOut) => {
                    assert!(case.has_limit && !was_cancelled);
                    ends.timed_out += 1;
                }
                Err(PoolError::WorkerDied { pid, exitcode: Some(-9), .. }) => {
                    assert!(self.killed.contains(pid) && !was_cancelled, "nobody has killed {pid}");
                    *hits.entry(*pid).or_default() += 1;
                    ends.died += 1;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert!(hits.values().all(|count| *count == 1), "a kill has cost two tasks: {hits:?}");
        ends
    }
}

fn riot() -> mp::Result<()> {
    let dice = Dice::of_this_storm();
    let mut riot = Riot {
        pool: Pool::new(4)?,
        dice,
        cases: Vec::new(),
        open: VecDeque::new(),
        killed: HashSet::new(),
    };
    for _ in 0..10 * kills(100) {
        riot.submit();
        riot.act();
        riot.keep_few();
    }
    riot.pool.close();
    riot.pool.join()?;
    let ends = riot.account_for_all();
    eprintln!("{} tasks, {} kills: {ends:?}", riot.cases.len(), riot.killed.len());
    assert!(ends.returned > riot.cases.len() / 3);
    assert_eq!(children_of(std::process::id()), [0; 0]);
    Ok(())
}

#[test]
fn every_task_has_one_outcome_in_a_riot_of_cancels_limits_ends_kills_and_drops() {
    let _turn = take_turn();
    alone_for(limit_of(kills(100)), riot, ());
}

fn short_lives(storm: usize) -> mp::Result<()> {
    let mut lives = 0;
    for max_tasks in 1..=7 {
        for processes in 1..=8 {
            let is_long = (max_tasks, processes) == (7, 8) || (max_tasks, processes) == (3, 2);
            let tasks = if is_long { 10 * storm } else { storm.min(100) };
            let pool = Pool::builder()
                .processes(processes)
                .max_tasks_per_child(max_tasks)
                .start()
                .unwrap();
            let tell = |n: usize| Ok((n, std::process::id()));
            let handles: Vec<_> =
                (0..tasks).map(|n| pool.apply_async(tell, (n,)).unwrap()).collect();
            if processes % 2 == 0 {
                // The tasks that are there are finished, by as many workers as that takes.
                pool.close();
            }
            let mut runs = HashMap::<u32, u64>::new();
            for (n, handle) in handles.into_iter().enumerate() {
                let told = handle.get_timeout(LONG);
                let told = told.unwrap_or_else(|e| panic!("{max_tasks} {processes} {n}: {e:?}"));
                assert_eq!(told.0, n);
                *runs.entry(told.1).or_default() += 1;
            }
            assert!(runs.values().all(|runs| *runs <= max_tasks), "{max_tasks}: {runs:?}");
            lives += runs.len();
            pool.close();
            at_once(|| pool.join().unwrap());
        }
    }
    eprintln!("{lives} workers");
    assert_eq!(children_of(std::process::id()), [0; 0]);
    Ok(())
}

#[test]
fn pl_43_pools_whose_workers_have_short_lives_finish_all_their_tasks() {
    let _turn = take_turn();
    let storm = kills(40);
    alone_for(limit_of(storm), short_lives, (storm,));
}

/// Keeps the only worker of a pool busy until the event.
fn close_gate(pool: &Pool) -> (Event, AsyncResult<()>) {
    let gate = Event::new().unwrap();
    let is_here = Event::new().unwrap();
    let wait = |gate: Event, is_here: Event| {
        is_here.set();
        Ok(gate.wait()?)
    };
    let handle = pool.apply_async(wait, (gate.clone(), is_here.clone())).unwrap();
    assert!(is_here.wait_timeout(LONG).unwrap());
    (gate, handle)
}

/// The messages of cancelled tasks stay where they are until a worker throws them away, of which it tells nobody.
#[test]
fn a_task_behind_many_cancelled_ones_comes_to_its_turn() {
    let pool = Pool::new(1).unwrap();
    for _ in 0..20 {
        let (gate, busy) = close_gate(&pool);
        for n in 0..400 {
            let cancelled = pool.apply_async(|n: u32| Ok(n), (n,)).unwrap();
            assert!(cancelled.cancel());
        }
        let last = pool.apply_async(|| Ok(77), ()).unwrap();
        gate.set();
        busy.get_timeout(LONG).unwrap();
        assert_eq!(*last.get_timeout(LONG).unwrap(), 77);
    }
}

/// The same, with a worker that is killed.
#[test]
fn a_task_behind_many_cancelled_ones_comes_to_its_turn_when_the_worker_dies() {
    let pool = Pool::new(1).unwrap();
    for _ in 0..10 {
        let (_gate, busy) = close_gate(&pool);
        for n in 0..400 {
            let cancelled = pool.apply_async(|n: u32| Ok(n), (n,)).unwrap();
            assert!(cancelled.cancel());
        }
        let last = pool.apply_async(|| Ok(77), ()).unwrap();
        busy.terminate();
        assert_eq!(*last.get_timeout(LONG).unwrap(), 77);
        assert!(matches!(busy.get(), Err(PoolError::Cancelled)));
    }
}

/// It is called in the middle of it all.
fn hooks_end_what_they_watch() -> mp::Result<()> {
    type Slot = Arc<OnceLock<AsyncResult<Vec<u32>>>>;
    let slow = |n: u32| {
        std::thread::sleep(Duration::from_millis(2));
        Ok(n)
    };
    let actions: [fn(&AsyncResult<Vec<u32>>); 2] = [
        |map| {
            map.cancel();
        },
        AsyncResult::terminate,
    ];
    for action in actions {
        let pool = Pool::new(2)?;
        let map = Slot::default();
        let (seen, is_acted) = (Arc::clone(&map), Arc::new(AtomicUsize::new(0)));
        let options = TaskOptions::new().chunksize(1).progress(move |progress| {
            if progress.done >= 5
                && let Some(map) = seen.get()
                && is_acted.fetch_add(1, SeqCst) == 0
            {
                action(map);
            }
        });
        let handle = pool.with_options(options).map_async(slow, 0..500)?;
        let map = map.get_or_init(|| handle);
        assert!(matches!(map.get_timeout(LONG), Err(PoolError::Cancelled)));
        assert_eq!(pool.apply(|| Ok(1), ())?, 1);
    }
    Ok(())
}

#[test]
fn a_progress_hook_may_cancel_or_end_the_call_that_it_watches() {
    alone(hooks_end_what_they_watch);
}

fn hooks_end_their_pool() -> mp::Result<()> {
    let pool = Arc::new(Pool::new(2)?);
    let (seen, done) = (Arc::clone(&pool), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&done);
    let options = TaskOptions::new().chunksize(1).progress(move |progress| {
        count.store(progress.done, SeqCst);
        if progress.done == 5 {
            seen.terminate();
        }
    });
    let slow = |n: u32| {
        std::thread::sleep(Duration::from_millis(2));
        Ok(n)
    };
    let map = pool.with_options(options.clone()).map_async(slow, 0..500)?;
    assert!(matches!(map.get_timeout(LONG), Err(PoolError::Terminated)));
    assert!(comes_true(|| done.load(SeqCst) == 500), "a hook is told of all");
    pool.join()?;
    Ok(())
}

#[test]
fn a_progress_hook_may_terminate_the_pool() {
    alone(hooks_end_their_pool);
}

fn imap_hooks_end_their_pool() -> mp::Result<()> {
    let pool = Arc::new(Pool::new(2)?);
    let seen = Arc::clone(&pool);
    let options = TaskOptions::new().progress(move |progress| {
        if progress.done == 5 {
            seen.terminate();
        }
    });
    let mut results = pool.with_options(options).imap(|n: u32| Ok(n), 0..)?;
    // Those that were under way, and then those that are read now.
    let is_over = |result| matches!(result, Err(PoolError::Terminated | PoolError::Closed));
    mp::ensure!(results.by_ref().take(100).any(is_over));
    mp::ensure!(results.by_ref().skip(100).take(100).all(is_over));
    pool.join()?;
    Ok(())
}

#[test]
fn a_progress_hook_of_an_imap_may_terminate_the_pool() {
    alone(imap_hooks_end_their_pool);
}

/// A result whose decoding does what it is told.
struct Acts;

static ON_DECODE: Mutex<Option<Box<dyn FnOnce() + Send>>> = Mutex::new(None);

impl serde::Serialize for Acts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> serde::Deserialize<'de> for Acts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Acts, D::Error> {
        <()>::deserialize(deserializer)?;
        let action = ON_DECODE.lock().unwrap().take();
        if let Some(action) = action {
            action();
        }
        Ok(Acts)
    }
}

fn results_use_their_pool() -> mp::Result<()> {
    let pool = Arc::new(Pool::new(2)?);
    let done = Arc::new(AtomicU32::new(0));
    for by_caller in [false, true] {
        // Another call, which has to be worked on while nobody else tends to the pool.
        let (seen, count) = (Arc::clone(&pool), Arc::clone(&done));
        *ON_DECODE.lock().unwrap() = Some(Box::new(move || {
            let other = seen.apply_async(|| Ok(7), ()).unwrap();
            seen.worker_pids();
            other.cancel();
            drop(other);
            count.fetch_add(1, SeqCst);
        }));
        if by_caller {
            pool.apply(|| Ok(Acts), ())?;
        } else {
            pool.apply_async(|| Ok(Acts), ())?.get()?;
        }
    }
    assert_eq!(done.load(SeqCst), 2);
    for by_caller in [false, true] {
        let pool = Arc::new(Pool::new(2)?);
        let pending: Vec<_> =
            (0..50).map(|_| pool.apply_async(park, ())).collect::<Result<_, _>>()?;
        // Before a worker that takes the place of another can have begun with them.
        assert!(pending[2..].iter().all(AsyncResult::cancel));
        pending[0].terminate();
        let seen = Arc::clone(&pool);
        *ON_DECODE.lock().unwrap() = Some(Box::new(move || seen.terminate()));
        pending[1].terminate();
        if by_caller {
            pool.apply(|| Ok(Acts), ())?;
        } else {
            pool.apply_async(|| Ok(Acts), ())?.get()?;
        }
        assert!(matches!(pool.apply(|| Ok(()), ()), Err(PoolError::Closed)));
        pool.join()?;
    }
    Ok(())
}

#[test]
fn the_decoding_of_a_result_may_use_and_terminate_the_pool() {
    alone(results_use_their_pool);
}

static IS_INITIALIZED: OnceLock<()> = OnceLock::new();

/// No arguments are arguments: nothing, and none, look the same in many encodings.
#[test]
fn pl_33_an_initializer_without_arguments_is_called() {
    let initialize = || {
        IS_INITIALIZED.get_or_init(|| ());
        Ok(())
    };
    let pool = Pool::builder().processes(2).initializer(initialize, ()).start().unwrap();
    assert!(pool.apply(|| Ok(IS_INITIALIZED.get().is_some()), ()).unwrap());
    let fail = || -> mp::Result<()> { mp::bail!("not today") };
    let pool = Pool::builder().processes(2).initializer(fail, ()).start().unwrap();
    assert!(matches!(pool.apply(|| Ok(1), ()), Err(PoolError::Initializer(_))));
}

/// How much memory a process has in use, in bytes.
fn memory_of(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// Takes `count` results of an endless input of items of 10 KiB.
fn takes_from_an_endless_input() -> mp::Result<()> {
    const LEN: usize = 10 << 10;
    const MOST: u64 = 4 << 20;
    for is_ordered in [true, false] {
        let pool = Pool::new(2)?;
        let read = Arc::new(AtomicUsize::new(0));
        let reader = Arc::clone(&read);
        let input = (0_u64..).map(move |n| {
            reader.fetch_add(1, SeqCst);
            let mut text = n.to_string();
            text.extend(std::iter::repeat_n("x", LEN - text.len()));
            text
        });
        let give_back = |text: String| {
            mp::ensure!(text.len() == LEN);
            Ok(text)
        };
        let mut results = if is_ordered {
            pool.imap(give_back, input)?
        } else {
            pool.imap_unordered(give_back, input)?
        };
        let mut before = Vec::<(u32, u64)>::new();
        let (warm_up, count) = (2000, if is_ordered { 22_000 } else { 7000 });
        for n in 0..count {
            let text = results.next().expect("it is endless")?;
            assert_eq!(text.len(), LEN);
            if is_ordered {
                assert!(text.starts_with(&format!("{n}x")));
            }
            // Two workers, 16 items ahead for each.
            assert!(read.load(SeqCst) <= n + 32);
            if n == warm_up {
                let pids = [vec![std::process::id()], pool.worker_pids()].concat();
                before = pids.into_iter().map(|pid| (pid, memory_of(pid))).collect();
            }
        }
        for (pid, first) in before {
            let last = memory_of(pid);
            eprintln!("{pid}: {} KiB, then {} KiB", first >> 10, last >> 10);
            mp::ensure!(last <= first + MOST, "{pid} has grown from {first} to {last} bytes");
        }
    }
    Ok(())
}

#[test]
fn imap_of_an_endless_input_takes_no_more_and_more_memory() {
    let _turn = take_turn();
    alone(takes_from_an_endless_input);
}

/// One who does not take results does not let them pile up.
#[test]
fn an_imap_that_nobody_reads_stops_reading() {
    let pool = Pool::new(2).unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let reader = Arc::clone(&read);
    let input = (0_u32..).inspect(move |_| {
        reader.fetch_add(1, SeqCst);
    });
    let mut results = pool.imap(|n: u32| Ok(n), input).unwrap();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    std::thread::sleep(SHORT);
    assert!(read.load(SeqCst) <= 33);
    drop(pool);
    assert!(results.any(|result| matches!(result, Err(PoolError::Closed))));
}
