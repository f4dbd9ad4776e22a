//! `mp-top` as an operator runs it: from outside, on a session that does not know of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

mp::enable_test_support!();

const LONG: Duration = Duration::from_secs(60);

fn mp_top(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mp-top")).args(words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A session whose root says when it is there, and ends when its standard input does.
struct Session(Child);

impl Session {
    fn start(scenario: &str) -> Session {
        let mut root = Command::new("/proc/self/exe")
            .args(["--exact", scenario, "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(root.stdout.take().unwrap()).lines();
        assert!(lines.map(Result::unwrap).any(|line| line.ends_with("ready")), "it ended");
        Session(root)
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn say_ready_and_wait() {
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

fn crosswise(first: mp::Lock, second: mp::Lock, both: mp::Barrier) -> mp::Result<()> {
    let _first = first.acquire()?;
    both.wait()?;
    let _second = second.acquire()?;
    Ok(())
}

#[test]
#[ignore = "run by a test as the root of a session"]
fn two_that_dead_lock() {
    let (a, b) = (mp::Lock::new().unwrap(), mp::Lock::new().unwrap());
    let both = mp::Barrier::new(2).unwrap();
    let start =
        |name, args| mp::Process::builder(crosswise, args).name(name).daemon(true).start().unwrap();
    let _there = start("there", (a.clone(), b.clone(), both.clone()));
    let _back = start("back", (b, a, both));
    say_ready_and_wait();
}

#[test]
fn it_shows_who_holds_the_lock_in_a_dead_lock() {
    let session = Session::start("two_that_dead_lock");
    let begun = Instant::now();
    let shown = loop {
        let output = mp_top(&[&session.pid(), "--once"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let shown = text(&output.stdout);
        if shown.contains("DEAD LOCK") {
            break shown;
        }
        assert!(begun.elapsed() < LONG, "{shown}");
    };
    for (waiter, holder) in [("there", "back"), ("back", "there")] {
        let says_so = |line: &&str| {
            line.trim_start().starts_with(&format!("process '{waiter}'"))
                && line.contains("for Lock ")
                && line.contains("tests/mp_top.rs:")
                && line.contains(&format!("held by '{holder}'"))
        };
        assert!(shown.lines().any(|line| says_so(&line)), "{waiter}:\n{shown}");
    }
    session.end();
}

#[test]
fn it_refreshes_until_the_session_ends() {
    let session = Session::start("two_that_dead_lock");
    let mut top = Command::new(env!("CARGO_BIN_EXE_mp-top"))
        .args([&session.pid(), "--interval", "0.01"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut shown = BufReader::new(top.stdout.take().unwrap());
    // Each time it begins with the time of day.
    let mut line = String::new();
    let mut times = 0;
    while times < 3 {
        line.clear();
        assert!(shown.read_line(&mut line).unwrap() > 0, "it ended");
        times += u32::from(line.contains(" UTC  session of process 'MainProcess'"));
    }
    session.end();
    shown.read_to_end(&mut Vec::new()).unwrap();
    assert!(top.wait().unwrap().success(), "the end of a session is no failure");
}

#[test]
fn what_it_cannot_do_it_says() {
    for (words, said) in [
        (&["0", "--once"][..], "there is no process with pid 0"),
        (&["-1"], "`-1` is no option"),
        (&["many"], "`many` is no pid"),
        (&["1", "--interval"], "--interval needs a number of seconds"),
    ] {
        let output = mp_top(words);
        assert!(!output.status.success());
        let error = text(&output.stderr);
        assert!(error.starts_with("mp-top: ") && error.contains(said), "{words:?}: {error}");
    }
    assert!(text(&mp_top(&["--help"]).stdout).starts_with("usage: mp-top"));
}
