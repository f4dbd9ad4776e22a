//! No name outlives its maker, however that ends; memory outlives it for those who have it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use common::{daemon, hold_still, kill_9, passes_with_mounts, start_and_wait};
use mp_reduction::DupFd;
use mp_shared_memory::{SharedMemory, SharedMemoryError as Error, session};
use mp_testing::limits::comes_true;

mp::enable_test_support!();

const PRIVATE: &str = "mount -t tmpfs none /dev/shm";

struct Keeper(Mutex<Vec<String>>);

static KEEPER: Keeper = Keeper(Mutex::new(Vec::new()));

impl log::Log for Keeper {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// What this process has logged, from the first call on.
fn logged() -> Vec<String> {
    if log::set_logger(&KEEPER).is_ok() {
        log::set_max_level(log::LevelFilter::Warn);
    }
    KEEPER.0.lock().unwrap().clone()
}

/// The session of this process, for children.
fn session() -> String {
    session::to_inherit()
}

fn names() -> Vec<PathBuf> {
    std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn is_found(name: &str) -> bool {
    match SharedMemory::open(name) {
        Ok(_) => true,
        Err(Error::NotFound { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

fn makes_and_holds(session: String, names: Vec<String>, ready: DupFd) -> mp::Result<()> {
    session::inherit(&session);
    let mut blocks = Vec::new();
    for name in &names {
        let block = SharedMemory::create_named(name, 4096)?;
        block.write_at(0, name.as_bytes())?;
        blocks.push(block);
    }
    hold_still(ready)
}

fn opens_and_holds(name: String, ready: DupFd) -> mp::Result<()> {
    let _block = SharedMemory::open(&name)?;
    hold_still(ready)
}

#[test]
fn sh_13_rt_01_a_killed_maker_leaves_no_name_and_a_warning() {
    passes_with_mounts(PRIVATE, "in_private_a_killed_maker_leaves_no_name");
}

#[test]
#[ignore = "run where no other program's names are by sh_13"]
fn in_private_a_killed_maker_leaves_no_name() {
    assert!(logged().is_empty());
    for round in 1..=30 {
        let name = format!("mp-test-sh13-{round}");
        let made = vec![name.clone()];
        let maker = start_and_wait(|ready| daemon(makes_and_holds, (session(), made, ready)));
        let block = SharedMemory::open(&name).unwrap();
        kill_9(&maker);
        assert!(comes_true(|| !is_found(&name)), "round {round}");
        let mut text = vec![0; name.len()];
        block.read_at(0, &mut text).unwrap();
        assert_eq!(text, name.as_bytes(), "the memory stays");
        assert!(comes_true(|| logged().len() == round), "{:?}", logged());
        let warning = logged().pop().unwrap();
        assert!(warning.contains("1 leaked shared_memory") && warning.contains(&name), "{warning}");
    }
    let made: Vec<String> = (0..5).map(|n| format!("mp-test-five-{n}")).collect();
    let maker = start_and_wait(|ready| daemon(makes_and_holds, (session(), made, ready)));
    std::fs::remove_file("/dev/shm/mp-test-five-0").unwrap();
    kill_9(&maker);
    assert!(comes_true(|| names().is_empty()));
    assert!(comes_true(|| logged().last().unwrap().contains("4 leaked")), "RT-01");
}

#[test]
fn sh_14_who_only_opened_a_name_destroys_nothing() {
    let name = format!("mp-test-sh14-{}", std::process::id());
    let block = SharedMemory::create_named(&name, 10).unwrap();
    for is_killed in [true, false, true, false] {
        if is_killed {
            let holder = start_and_wait(|r| daemon(opens_and_holds, (name.clone(), r)));
            kill_9(&holder);
        } else {
            let child = |name: String| Ok(SharedMemory::open(&name).map(drop)?);
            mp::Process::start(child, (name.clone(),)).unwrap().join().unwrap();
        }
        SharedMemory::create_with_new_name(10).unwrap().unlink().unwrap(); // looks for abandoned names
        assert!(SharedMemory::open(&name).unwrap().is_same(&block));
    }
    block.unlink().unwrap();
}

#[test]
fn rt_08_a_killed_root_leaves_names_only_until_the_next_process_looks() {
    for round in 0..10 {
        let name = format!("mp-test-rt08-{}-{round}", std::process::id());
        let (made, none) = (vec![name.clone()], "no session".to_owned());
        let root = start_and_wait(|ready| daemon(makes_and_holds, (none, made, ready)));
        kill_9(&root);
        // The name can be used at once.
        let block = SharedMemory::create_named(&name, 10).unwrap();
        block.unlink().unwrap();
    }
}

#[test]
fn a_stopped_maker_is_alive() {
    let name = format!("mp-test-stopped-{}", std::process::id());
    let made = vec![name.clone()];
    let maker = start_and_wait(|ready| daemon(makes_and_holds, (session(), made, ready)));
    let pid = rustix::process::Pid::from_raw(maker.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    SharedMemory::create_with_new_name(10).unwrap().unlink().unwrap();
    assert!(is_found(&name));
    kill_9(&maker);
    assert!(comes_true(|| !is_found(&name)));
}

#[test]
fn rt_06_rt_07_sh_17_a_maker_that_ends_by_itself_leaves_no_name_and_warns() {
    passes_with_mounts(PRIVATE, "in_private_ends_by_itself");
}

#[test]
#[ignore = "run where no other program's names are by rt_06"]
fn in_private_ends_by_itself() {
    let run = |test: &str| {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--exact", test, "--ignored", "--nocapture"]);
        let output = command.stderr(Stdio::piped()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = run("role_makes_two_and_exits");
    assert_eq!(code, Some(3));
    assert!(err.contains("1 leaked shared_memory") && err.contains("'mp-test-left'"), "{err}");
    assert!(names().is_empty(), "{:?}", names());
    // SH-17, RT-06: nothing is said of a program that unlinks.
    let (code, err) = run("role_makes_and_unlinks");
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

struct ToStderr;

impl log::Log for ToStderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}", record.args());
    }

    fn flush(&self) {}
}

fn log_to_stderr() {
    log::set_logger(&ToStderr).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

#[test]
#[ignore = "a role of in_private_ends_by_itself"]
fn role_makes_two_and_exits() {
    log_to_stderr();
    let _left = SharedMemory::create_named("mp-test-left", 10).unwrap();
    SharedMemory::create_named("mp-test-unlinked", 10).unwrap().unlink().unwrap();
    let removed = SharedMemory::create_named("mp-test-removed-by-hand", 10).unwrap();
    std::fs::remove_file("/dev/shm/mp-test-removed-by-hand").unwrap();
    drop(removed);
    std::process::exit(3);
}

#[test]
#[ignore = "a role of in_private_ends_by_itself"]
fn role_makes_and_unlinks() {
    log_to_stderr();
    let block = SharedMemory::create_named("mp-test-clean", 10).unwrap();
    let child = |block: SharedMemory| Ok(block.write_at(0, b"x")?);
    mp::Process::start(child, (block.clone(),)).unwrap().join().unwrap();
    block.unlink().unwrap();
}

/// Many processes make, open and unlink the same few names, and some are killed at it: a name is
/// always that of one whole block, and nothing stays.
#[test]
fn names_survive_any_mixture_of_makers_openers_and_kills() {
    fn churn(session: String, prefix: String, ready: DupFd) -> mp::Result<()> {
        session::inherit(&session);
        let mut ready = Some(ready);
        for round in 0_usize.. {
            let name = format!("{prefix}-{}", round % 3);
            match SharedMemory::create_or_open(&name, 4096) {
                Ok(block) => {
                    block.write_at(0, &[1; 8])?;
                    mp::ensure!(block.size() == 4096);
                    match block.unlink() {
                        Ok(()) | Err(Error::NotFound { .. }) => {}
                        Err(error) => mp::bail!("{error}"),
                    }
                }
                Err(Error::Exists { .. } | Error::NotFound { .. }) => {}
                Err(error) => mp::bail!("{error}"),
            }
            if let Some(ready) = ready.take() {
                std::io::Write::write_all(&mut ready.into::<std::io::PipeWriter>(), b"r")?;
            }
        }
        Ok(())
    }
    let prefix = format!("mp-test-churn-{}", std::process::id());
    for _round in 0..10 {
        let workers = [(); 4]
            .map(|()| start_and_wait(|ready| daemon(churn, (session(), prefix.clone(), ready))));
        workers.iter().for_each(kill_9);
    }
    assert!(comes_true(|| {
        !names().iter().any(|path| path.to_string_lossy().contains(&prefix))
    }));
}

/// The lines that a process has written are all that is known of it.
#[test]
fn a_maker_killed_while_it_makes_leaves_nothing() {
    fn makes_for_ever(session: String, prefix: String, lines: DupFd) -> mp::Result<()> {
        session::inherit(&session);
        let mut lines = lines.into::<std::io::PipeWriter>();
        for n in 0.. {
            let _block = SharedMemory::create_named(&format!("{prefix}-{n}"), 100_000)?;
            std::io::Write::write_all(&mut lines, b"one\n")?;
        }
        Ok(())
    }
    let prefix = format!("mp-test-while-{}", std::process::id());
    for round in 0..10 {
        let (reader, writer) = std::io::pipe().unwrap();
        let target = (session(), format!("{prefix}-{round}"), writer.into());
        let maker = daemon(makes_for_ever, target).unwrap();
        BufReader::new(reader).lines().take(1 + round * 2).for_each(|line| drop(line.unwrap()));
        kill_9(&maker);
    }
    assert!(comes_true(|| {
        !names().iter().any(|path| path.to_string_lossy().contains(&prefix))
    }));
}

#[test]
fn sh_13_the_name_of_a_killed_child_is_gone_though_its_parent_uses_no_shared_memory() {
    fn makes(name: String, ready: DupFd) -> mp::Result<()> {
        let _block = SharedMemory::create_named(&name, 4096)?;
        hold_still(ready)
    }
    fn parent(name: String) -> mp::Result<()> {
        let maker = start_and_wait(|ready| daemon(makes, (name.clone(), ready)));
        let file = PathBuf::from("/dev/shm").join(&name);
        mp::ensure!(file.exists());
        kill_9(&maker); // whose end is announced once its name is gone
        mp::ensure!(!file.exists());
        Ok(())
    }
    for round in 0..20 {
        let name = format!("mp-test-orphan-{}-{round}", std::process::id());
        mp::Process::start(parent, (name,)).unwrap().into_result().unwrap();
    }
}
