//! What crosses between a client and a worker, and what does not: from another build, or over the network.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use log::LevelFilter;
use mp::{Event, Manager, ManagerError, PoolProxy, Process, Queue, ServerProcess};
use mp_testing::keeper;
use mp_testing::limits::{LONG, alone, comes_true};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{SERVER, Tally, TallyProxy, add, is_as_new, manager, objects, square};

/// A value that the server must not look at.
#[derive(Debug, Clone, PartialEq)]
struct Sealed(u64);

impl Serialize for Sealed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(mp::current_process().name(), SERVER, "encoded in the server");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sealed, D::Error> {
        assert_ne!(mp::current_process().name(), SERVER, "decoded in the server");
        u64::deserialize(deserializer).map(Sealed)
    }
}

#[test]
fn arguments_and_results_go_through_the_server_unopened() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let next = |n: Sealed| Ok(Sealed(n.0 + 1));
    assert_eq!(pool.apply(next, (Sealed(1),)).unwrap(), Sealed(2));
    assert_eq!(pool.map(next, [Sealed(1), Sealed(5)]).unwrap(), [Sealed(2), Sealed(6)]);
    assert_eq!(*pool.apply_async(next, (Sealed(1),)).unwrap().get().unwrap(), Sealed(2));
    let imap: Vec<_> = pool.imap(next, [Sealed(1)]).unwrap().map(Result::unwrap).collect();
    assert_eq!(imap, [Sealed(2)]);
    let long = "long".repeat(1 << 20);
    let longer = pool.apply(|text: String| Ok(text + "!"), (long.clone(),)).unwrap();
    assert_eq!(longer, long + "!");
}

#[test]
fn handles_and_proxies_go_both_ways() {
    let manager = manager();
    let pool = manager.pool(2).unwrap();
    let queue: Queue<i64> = Queue::new().unwrap();
    let event = Event::new().unwrap();
    let tally = manager.create(Tally::args(0)).unwrap();
    let before = objects(&manager);
    let uses = |queue: Queue<i64>, event: Event, tally: TallyProxy, n: i64| {
        queue.put(&tally.add(n)?)?;
        event.set();
        Ok((queue, event, tally))
    };
    let args = || (queue.clone(), event.clone(), tally.clone());
    // One after the other, so that the sums are known.
    for (n, sum) in [(1, 1), (2, 3)] {
        let (same_queue, same_event, same_tally) =
            pool.apply(uses, (queue.clone(), event.clone(), tally.clone(), n)).unwrap();
        assert_eq!(same_queue.get().unwrap(), sum);
        assert!(same_event.is_set() && event.is_set());
        assert_eq!((same_tally.add(0).unwrap(), same_tally == tally), (sum, true));
    }
    let items = || {
        let (queue, event, tally) = args();
        [(queue.clone(), event.clone(), tally.clone(), 10), (queue, event, tally, 10)]
    };
    let results = pool.starmap(uses, items()).unwrap();
    assert_eq!(results.len(), 2);
    let mut sums = [queue.get().unwrap(), queue.get().unwrap()];
    sums.sort_unstable();
    assert_eq!(sums, [13, 23]);
    drop(results);
    let later = pool.starmap_async(uses, items()).unwrap();
    assert_eq!(later.get().unwrap()[1].2.add(0).unwrap(), 43);
    drop(later);
    let mut imap =
        pool.imap(|tally: TallyProxy| Ok(tally), [tally.clone(), tally.clone()]).unwrap();
    assert!(imap.next().unwrap().unwrap() == tally && imap.next().unwrap().unwrap() == tally);
    drop(imap);
    // What nobody has but messages, when its maker has returned.
    let makes = |pool: PoolProxy| {
        let queue: Queue<i64> = Queue::new()?;
        queue.put(&41)?;
        Ok((queue, pool))
    };
    let (made, same_pool) = pool.apply(makes, (pool.clone(),)).unwrap();
    assert_eq!((made.get().unwrap(), same_pool == pool), (41, true));
    let kept = pool.apply_async(makes, (pool.clone(),)).unwrap();
    kept.wait().unwrap();
    assert_eq!(kept.get().unwrap().0.get().unwrap(), 41);
    drop((kept, same_pool));
    assert!(comes_true(|| objects(&manager) == before), "{:?}", manager.debug_info());
}

#[test]
fn an_object_that_only_a_task_refers_to_lives_until_that_is_done() {
    let manager = manager();
    let pool = manager.pool(1).unwrap();
    let (begun, go) = (Event::new().unwrap(), Event::new().unwrap());
    let waits = |begun: Event, go: Event| {
        begun.set();
        Ok(go.wait()?)
    };
    let first = pool.apply_async(waits, (begun.clone(), go.clone())).unwrap();
    assert!(begun.wait_timeout(LONG).unwrap());
    let tally = manager.create(Tally::args(5)).unwrap();
    let second = pool.apply_async(|tally: TallyProxy| Ok(tally.add(1)?), (tally,)).unwrap();
    assert_eq!(manager.debug_info().unwrap().len(), 4);
    go.set();
    first.get().unwrap();
    assert_eq!(*second.get().unwrap(), 6);
    assert!(comes_true(|| manager.debug_info().unwrap().len() == 3), "the tally is gone");
}

#[test]
fn what_a_worker_logs_comes_out_of_the_logger_of_the_root() {
    alone(|| {
        keeper::install(LevelFilter::Info);
        let manager = manager();
        let pool = manager.pool(1)?;
        let name = pool.apply(
            || {
                log::warn!("from a worker");
                Ok(mp::current_process().name().to_owned())
            },
            (),
        )?;
        assert_eq!(name, "Pool-1-worker-1");
        Ok(())
    });
}

/// The variable that has the address of a server for another program.
const ADDRESS: &str = "MP_TEST_SERVER";
const KEY: &[u8] = b"key";

#[test]
#[ignore = "what another program does, which a test starts"]
fn another_program() {
    let manager = Manager::connect(std::env::var(ADDRESS).unwrap().as_str(), KEY).unwrap();
    let pool = manager.pool(1).unwrap();
    let told = |outcome: Result<String, ManagerError>| match outcome {
        Ok(text) => text,
        Err(error) => error.to_string(),
    };
    println!("\n@{}", told(pool.apply(add, (3, 4)).map(|sum| format!("sum {sum}"))));
    println!("\n@{}", told(pool.map(square, 0..9).map(|all| format!("{} squares", all.len()))));
    println!("\n@{}", told(pool.imap(square, 0..9).map(|all| format!("{} squares", all.count()))));
    println!("\n@{}", told(pool.apply_async(add, (3, 4)).map(|_| "submitted".to_owned())));
}

/// What another program says, which runs this executable.
fn said_by(executable: &std::path::Path, server: &str) -> Vec<String> {
    let mut program = Command::new(executable);
    program.args(["--exact", "crossing::another_program", "--ignored", "--nocapture"]);
    let output = program.env(ADDRESS, server).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.strip_prefix('@')).map(str::to_owned).collect()
}

#[test]
fn another_build_of_the_program_is_refused_before_anything_is_run() {
    let temporary = |what| std::env::temp_dir().join(format!("mp-{what}-{}", std::process::id()));
    let socket = temporary("pools").into_os_string().into_string().unwrap();
    let server = ServerProcess::builder().name(SERVER).authkey(KEY).address(&*socket);
    let server = server.start().unwrap();
    let own = std::env::current_exe().unwrap();
    let same = ["sum 7", "9 squares", "9 squares", "submitted"];
    assert_eq!(said_by(&own, &socket), same);
    // The same program, with another name of its build.
    let build = serde_json::to_value(mp_reduction::image().build_id()).unwrap();
    let build: Vec<u8> = serde_json::from_value(build).unwrap();
    let mut program = std::fs::read(&own).unwrap();
    let place = program.windows(build.len()).position(|bytes| bytes == build);
    program[place.expect("the linker names builds")] ^= 1;
    let path = temporary("other-build");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
    let said = said_by(&path, &socket);
    std::fs::remove_file(&path).unwrap();
    let refused = format!(
        "server '{SERVER}' cannot call a function of another program, or of another build of this one"
    );
    assert_eq!(said, [&*refused; 4]);
    assert!(comes_true(|| objects(&server).is_empty()));
}

#[test]
fn over_the_network_bytes_go_and_handles_do_not() {
    let server = ServerProcess::builder().name(SERVER).address(("127.0.0.1", 0)).authkey(KEY);
    let server = server.start().unwrap();
    let manager = Manager::connect(server.address(), KEY).unwrap();
    // The one who started it is a neighbour in any case.
    let pool = manager.pool(2).unwrap();
    is_as_new(&pool);
    assert_eq!(pool.imap(square, 0..50).unwrap().count(), 50);
    let p = Process::start(over_the_network, (server.address(),)).unwrap();
    p.into_result().unwrap();
}

fn over_the_network(address: mp::connection::Address) -> mp::Result<()> {
    let manager = Manager::connect(address, KEY)?;
    let pool = manager.pool(2)?;
    is_as_new(&pool);
    assert_eq!(*pool.apply_async(add, (3, 4))?.get()?, 7);
    assert_eq!(pool.imap(square, 0..50)?.filter_map(Result::ok).count(), 50);
    let refused = |outcome: Result<(), ManagerError>| {
        let Err(ManagerError::Transfer { what, .. }) = &outcome else { panic!("{outcome:?}") };
        assert!(what.contains("handles or descriptors"), "{what}");
    };
    let queue: Queue<u64> = Queue::new()?;
    refused(pool.apply(|_: Queue<u64>| Ok(()), (queue.clone(),)));
    refused(pool.apply(|| Ok(Queue::<u64>::new()?), ()).map(drop));
    refused(pool.apply_async(|_: Queue<u64>| Ok(()), (queue.clone(),)).map(drop));
    refused(pool.imap(|_: Queue<u64>| Ok(()), [queue])?.next().unwrap_or(Ok(())));
    refused(pool.apply(|_: PoolProxy| Ok(()), (pool.clone(),)));
    is_as_new(&pool);
    Ok(())
}
