//! A program with a `main` of its own, for tests of what happens before, in and after it.
//!
//! The first argument names the scenario; `tests/programs.rs` runs them.
#![forbid(unsafe_code)]

use std::io::Read;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    let scenario = std::env::args().nth(1).unwrap_or_default();
    if scenario == "own-logger" {
        log::set_logger(&ToStdout).expect("it is the first");
        log::set_max_level(log::LevelFilter::Info);
    }
    if std::env::var_os("MP_TEST_READ_FIRST").is_some() {
        let _read = std::io::stdin().read(&mut [0; 4096]);
    }
    if std::env::var_os("MP_TEST_ASK_FIRST").is_some() {
        println!("asked: {}", mp::current_process().name());
    }
    let is_uninitialised = scenario == "no-init" || std::env::var_os("MP_TEST_NO_INIT").is_some();
    if !is_uninitialised {
        mp::init();
    }
    let outcome = match scenario.as_str() {
        "no-init" => no_init(),
        "init-in-parent-only" => init_in_parent_only(),
        "end-of-main" => end_of_main().map(|()| 0),
        "end-of-main-with-error" => end_of_main().and_then(|()| mp::bail!("main failed")),
        "exit-3" => end_of_main().map(|()| std::process::exit(3)),
        "stubborn-daemon" => stubborn_daemon(),
        "start-after-stdin-ends" => start_after_stdin_ends(),
        "own-logger" => own_logger(),
        "child-panics" => child_fails(|| panic!("the only panic")),
        "child-fails" => child_fails(|| mp::bail!("the only error")),
        "child-thread-panics" => child_fails(child_thread_panics),
        "panic-abort" => panic_abort(),
        "overflow" => overflow(),
        "just-start" => just_start(),
        "read-first" => refused("MP_TEST_READ_FIRST"),
        "ask-first" => refused("MP_TEST_ASK_FIRST"),
        other => {
            eprintln!("unknown scenario '{other}'");
            Ok(2)
        }
    };
    outcome.map_or_else(
        |error| {
            eprintln!("main ends with: {error}");
            ExitCode::from(1)
        },
        ExitCode::from,
    )
}

fn no_init() -> mp::Result<u8> {
    println!("one generation");
    match mp::Process::start(|| Ok(()), ()) {
        Err(error @ mp::ProcessError::NotInitialised) => println!("{error}"),
        other => mp::bail!("{other:?}"),
    }
    Ok(0)
}

/// The child comes to this function too, for its `main` skips `init`.
fn init_in_parent_only() -> mp::Result<u8> {
    let child = mp::Process::builder(|| Ok(()), ()).name("lost").env("MP_TEST_NO_INIT", "1");
    let p = child.start()?;
    println!("{}", p.join().expect_err("it never comes to its target"));
    Ok(0)
}

fn end_of_main() -> mp::Result<()> {
    mp::Process::start(
        || {
            Ok({
                sleep(SHORT);
                println!("ordinary child done")
            })
        },
        (),
    )?;
    let daemon = mp::Process::builder(|| Ok(sleep(LONG)), ()).daemon(true).start()?;
    println!("daemon {}", daemon.pid());
    drop(mp::Thread::start(|| {
        Ok({
            sleep(SHORT);
            println!("ordinary thread done")
        })
    }));
    drop(mp::Thread::builder(|| Ok(sleep(LONG))).daemon(true).start());
    Ok(())
}

fn stubborn_daemon() -> mp::Result<u8> {
    // The disposition "ignore" comes from the wrapper that the test runs this program through.
    let daemon = mp::Process::builder(|| Ok(sleep(LONG)), ()).daemon(true).start()?;
    println!("daemon {}", daemon.pid());
    Ok(0)
}

/// The test deletes or replaces the program file before it closes standard input.
fn start_after_stdin_ends() -> mp::Result<u8> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    for n in 0..3_u32 {
        mp::ensure!(mp::Process::start(|n: u32| Ok(n * 2), (n,))?.into_result()? == n * 2);
    }
    println!("three children worked");
    Ok(0)
}

struct ToStdout;

impl log::Log for ToStdout {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        println!("logger of {}: {}", mp::current_process().name(), record.args());
    }

    fn flush(&self) {}
}

fn own_logger() -> mp::Result<u8> {
    let p = mp::Process::builder(|| Ok(log::info!("from the child")), ()).name("child").start()?;
    p.join()?;
    log::info!("from the parent");
    Ok(0)
}

fn child_fails(target: impl mp::Target<(), Output = ()>) -> mp::Result<u8> {
    let p = mp::Process::builder(target, ()).name("worker").start()?;
    let _failed = p.join();
    Ok(0)
}

fn child_thread_panics() -> mp::Result<()> {
    let panicking = std::thread::Builder::new().name("helper".to_owned());
    let _panicked = panicking.spawn(|| panic!("in a thread"))?.join();
    Ok(())
}

/// Meaningful in a build that aborts on panic.
fn panic_abort() -> mp::Result<u8> {
    mp::ensure!(cfg!(panic = "abort"), "this build unwinds");
    let p = mp::Process::start(|| -> mp::Result<()> { panic!("without unwinding") }, ())?;
    let error = p.exception()?;
    let Some(remote) = error else { mp::bail!("no panic arrived") };
    mp::ensure!(remote.is_panic() && remote.message() == "without unwinding", "{remote:?}");
    mp::ensure!(p.exitcode() == Some(-6), "{:?}", p.exitcode());
    println!("a panic without unwinding arrived");
    Ok(0)
}

fn overflow() -> mp::Result<u8> {
    #[expect(unconditional_recursion, reason = "the point")]
    fn deeper(n: u64) -> u64 {
        std::hint::black_box(deeper(std::hint::black_box(n) + 1)) + 1
    }
    let p = mp::Process::start(|| Ok(deeper(0)), ())?;
    println!("{}", p.join().expect_err("it overflows"));
    Ok(0)
}

/// The child does something before `init` that the variable asks for.
fn refused(variable: &str) -> mp::Result<u8> {
    let p = mp::Process::builder(|| Ok(()), ()).name("hasty").env(variable, "1").start()?;
    println!("{}", p.join().expect_err("it cannot come to its target"));
    Ok(0)
}

fn just_start() -> mp::Result<u8> {
    let p = mp::Process::start(|| Ok(println!("child output")), ())?;
    p.join()?;
    println!("parent output");
    Ok(0)
}
