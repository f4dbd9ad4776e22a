//! After a SIGKILL of a whole process tree at any instant the system holds nothing of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::time::{Duration, Instant};

use mp_testing::system::{ends_within, holdings, settle_at};

mp::enable_test_support!();

const ROUNDS: u32 = 200;
const LIMIT: Duration = Duration::from_secs(5);

/// Uses everything that lies in shared memory, again and again.
fn use_everything(lock: mp::Lock, counter: mp::Value<u64>, pids: mp::DupFd) -> mp::Result<()> {
    // In one piece, for several write.
    pids.into::<PipeWriter>().write_all(format!("pid {}\n", std::process::id()).as_bytes())?;
    loop {
        let _guard = lock.acquire()?;
        counter.update(|n| *n += 1)?;
        let image = mp::SharedMemory::create(1 << 20)?;
        image.write_at(0, b"image")?;
        let own = (mp::Event::new()?, mp::Barrier::new(1)?, mp::Array::<u64>::zeroed(10_000)?);
        own.1.wait()?;
        own.2.token()?; // which leaves a descriptor with the root of the session
    }
}

/// The root of a tree: has children, then works with them.
fn root(told: mp::DupFd) -> mp::Result<()> {
    let (lock, counter) = (mp::Lock::new()?, mp::Value::new(0_u64)?);
    let children = (0..2)
        .map(|_| {
            let arguments = (lock.clone(), counter.clone(), told.try_clone()?);
            Ok(mp::Process::start(use_everything, arguments)?)
        })
        .collect::<mp::Result<Vec<_>>>()?;
    use_everything(lock, counter, told)?;
    drop(children);
    Ok(())
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Other tests, and storms, have names of their own.
    let is_chosen = |name: &str| name.starts_with("mp-test") || name.starts_with("mp-chaos");
    let is_ours = |name: &str| name.starts_with("mp-") || name.contains("session");
    names.filter(|name| is_ours(name) && !is_chosen(name)).collect()
}

#[test]
fn rt_08_a_killed_tree_leaves_no_names_descriptors_or_memory() {
    let before = ["/dev/shm", "/tmp"].map(names_in);
    mp::Process::start(|| Ok(()), ()).unwrap().join().unwrap();
    let holdings_before = holdings();
    // A fixed sequence of instants between 0 and 8 ms after all have come.
    let mut instants =
        (0_u64..).map(|n| Duration::from_micros(n.wrapping_mul(2_654_435_761) % 8000));
    for round in 0..ROUNDS {
        let (reader, writer) = std::io::pipe().unwrap();
        let tree = mp::Process::start(root, (writer.into(),)).unwrap();
        let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
        // Every other tree is killed while its children start.
        let expected = if round % 2 == 0 { 3 } else { 1 };
        let pids: Vec<u32> = lines
            .by_ref()
            .take(expected)
            .map(|line| line.split_once(' ').unwrap().1.parse().unwrap())
            .collect();
        let instant = Instant::now() + instants.next().unwrap();
        while Instant::now() < instant {
            std::thread::yield_now();
        }
        tree.kill();
        tree.join().unwrap_err();
        for pid in pids {
            assert!(ends_within(pid, LIMIT).unwrap(), "round {round}: process {pid} lives");
        }
        assert_eq!(lines.filter(|line| !line.starts_with("pid ")).count(), 0);
    }
    // This process is the root of their session, and has kept descriptors for their tokens.
    let held = settle_at(holdings_before, LIMIT);
    assert!(held <= holdings_before, "{held:?}, not {holdings_before:?}");
    assert_eq!(["/dev/shm", "/tmp"].map(names_in), before);
    let mapped = memory_of_ours();
    assert!(mapped <= OWN_ARENAS, "memory of a dead tree is mapped or open: {mapped}");
}

/// In this it shows its children, and its threads what they wait for.
const OWN_ARENAS: usize = 1;

/// How many arenas and blocks of memory this process has mapped, which has made no object.
fn memory_of_ours() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.contains("memfd:mp-")).count()
}
