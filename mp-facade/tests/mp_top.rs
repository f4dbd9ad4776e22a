//! `mp-top` as an operator runs it: from outside, on a session that does not know of it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use mp_testing::limits::{LONG, comes_true};

mp::enable_test_support!();

const EVIL: &str = "evil\x1b[31m\nPROCESSES";

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

    /// Ends it from outside; it stays a zombie until the session is dropped.
    fn kill_9(&mut self) {
        self.0.kill().unwrap();
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _no_zombie_is_left = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A program that shows a session again and again, and what it has shown. It must not outlive a test.
struct Shows(Child, BufReader<std::process::ChildStdout>);

impl Shows {
    fn start(pid: &str) -> Shows {
        let mut top = Command::new(env!("CARGO_BIN_EXE_mp-top"))
            .args([pid, "--interval", "0.01"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let shown = BufReader::new(top.stdout.take().unwrap());
        Shows(top, shown)
    }

    /// What it shows until it has shown the beginning of so many tables.
    fn tables(&mut self, count: usize) -> String {
        let mut text = String::new();
        // Each begins with the time of day.
        let begins = |line: &&str| line.contains(" UTC  ");
        while text.lines().filter(begins).count() < count {
            assert!(self.1.read_line(&mut text).unwrap() > 0, "it ended: {text}");
        }
        text
    }

    /// How it ends, by itself.
    fn ends(mut self) -> ExitStatus {
        self.1.read_to_end(&mut Vec::new()).unwrap();
        self.0.wait().unwrap()
    }
}

impl Drop for Shows {
    fn drop(&mut self) {
        let _it_is_gone = self.0.kill().and_then(|()| self.0.wait());
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
        let shown = text(&output.stdout);
        let has_seen_one = shown.contains("DEAD LOCK");
        let expected = if has_seen_one { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected), "{shown}{}", text(&output.stderr));
        if has_seen_one {
            break shown;
        }
        assert!(begun.elapsed() < LONG, "{shown}");
    };
    let begins = "dead locks: 1, session of process 'MainProcess' (pid ";
    assert!(shown.starts_with(begins), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
    for (waiter, holder) in [("there", "back"), ("back", "there")] {
        let said = shown.split_once(&format!("\n  process '{waiter}' (pid ")).unwrap().1;
        let lines: Vec<&str> = said.lines().take(3).collect();
        assert!(lines[0].ends_with(", thread main"), "{waiter}:\n{shown}");
        assert!(
            lines[1].contains(" for Lock ") && lines[1].contains("tests/mp_top.rs:"),
            "{shown}"
        );
        assert!(
            lines[2].starts_with(&format!("    held by '{holder}' (pid ")),
            "{waiter}:\n{shown}"
        );
    }
    session.end();
}

#[test]
fn it_refreshes_until_the_session_ends_and_sends_no_escapes_down_a_pipe() {
    let session = Session::start("two_that_dead_lock");
    let mut shows = Shows::start(&session.pid());
    let shown = shows.tables(3);
    assert!(!shown.contains('\x1b'), "{shown}");
    let begins = |line: &str| {
        line.contains(" UTC  ") && line.contains("session of process 'MainProcess' (pid ")
    };
    let lines: Vec<&str> = shown.lines().collect();
    assert!(begins(lines[0]), "{shown}");
    let later = (1..lines.len()).filter(|&line| begins(lines[line]));
    assert!(later.map(|line| lines[line - 1]).eq(["", ""]), "an empty line between: {shown}");
    session.end();
    assert!(shows.ends().success(), "the end of a session is no failure");
}

#[test]
fn a_root_that_nobody_has_waited_for_has_ended_too() {
    let mut session = Session::start("two_that_dead_lock");
    let mut shows = Shows::start(&session.pid());
    shows.tables(1);
    session.kill_9();
    assert!(shows.ends().success(), "a zombie is no session");
    let state = std::fs::read_to_string(format!("/proc/{}/stat", session.pid())).unwrap();
    assert!(state.contains(") Z "), "it was one all the time: {state}");
}

#[test]
fn of_a_process_that_is_not_the_root_it_shows_the_session_until_the_root_ends() {
    let session = Session::start("one_that_ends_early");
    let table = text(&mp_top(&[&session.pid(), "--once"]).stdout);
    let row = table.lines().find(|line| line.contains("early (daemon)")).unwrap();
    let early = row.split_whitespace().next().unwrap();
    let mut shows = Shows::start(early);
    shows.tables(1);
    let killed = Command::new("kill").args(["-9", early]).status().unwrap();
    assert!(killed.success());
    let is_gone = || {
        let table = text(&mp_top(&[&session.pid(), "--once"]).stdout);
        !table.contains("early")
    };
    assert!(comes_true(is_gone));
    shows.tables(3);
    session.end();
    assert!(shows.ends().success());
}

#[test]
#[ignore = "run by a test as the root of a session"]
fn one_that_ends_early() {
    let gate = mp::Event::new().unwrap();
    let early = mp::Process::builder(waits, (gate,)).name("early").daemon(true).start().unwrap();
    let _reaped = std::thread::spawn(move || early.join());
    say_ready_and_wait();
}

fn waits(gate: mp::Event) -> mp::Result<()> {
    Ok(gate.wait()?)
}

#[test]
fn a_name_cannot_forge_lines_or_command_the_terminal() {
    let session = Session::start("one_with_an_evil_name");
    let shown = text(&mp_top(&[&session.pid(), "--once"]).stdout);
    assert!(shown.contains("evil\\u{1b}[31m\\nPROCESSES"), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown}");
    let titles = shown.lines().filter(|line| line.starts_with("PROCESSES"));
    assert_eq!(titles.count(), 1, "{shown}");
    session.end();
}

#[test]
#[ignore = "run by a test as the root of a session"]
fn one_with_an_evil_name() {
    let gate = mp::Event::new().unwrap();
    let _evil = mp::Process::builder(waits, (gate,)).name(EVIL).daemon(true).start().unwrap();
    say_ready_and_wait();
}

#[test]
#[ignore = "run by a test as the root of a session"]
fn one_that_has_many_locks() {
    let _locks: Vec<mp::Lock> = (0..70).map(|_| mp::Lock::new().unwrap()).collect();
    say_ready_and_wait();
}

#[test]
fn once_and_down_a_pipe_it_leaves_out_nothing() {
    let session = Session::start("one_that_has_many_locks");
    let count = |table: &str| table.lines().filter(|line| line.contains("  Lock  ")).count();
    let once = text(&mp_top(&[&session.pid(), "--once"]).stdout);
    assert_eq!(count(&once), 70, "{once}");
    let piped = Shows::start(&session.pid()).tables(2);
    assert_eq!(count(&piped), 70, "{piped}");
    session.end();
}

#[test]
fn of_several_sessions_it_shows_none_but_says_which_there_are() {
    let sessions = [(); 2].map(|()| Session::start("two_that_dead_lock"));
    for (words, status) in [(&["--once"][..], 1), (&[], 0)] {
        let output = mp_top(words);
        let shown = text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{shown}");
        assert!(!shown.contains("DEAD LOCK"), "{shown}");
        for session in &sessions {
            let begin = format!("  {}  ", session.pid());
            let line = shown.lines().find(|line| line.starts_with(&begin));
            let name = "session of process 'MainProcess'";
            assert!(line.is_some_and(|line| line.contains(name)), "{shown}");
        }
    }
    sessions.into_iter().for_each(Session::end);
}

#[test]
fn what_it_cannot_do_it_says() {
    for (words, said) in [
        (&["0", "--once"][..], "there is no process with pid 0"),
        (&["-1"], "`-1` is no option"),
        (&["many"], "`many` is no pid"),
        (&["1", "--interval"], "--interval needs a number of seconds"),
        (&["1", "--interval", "soon"], "--interval needs a number of seconds, not `soon`"),
        (&["1", "--interval", "1e19"], "--interval 1e19 is too long"),
        (&["1", "--interval", "1e300"], "--interval 1e300 is too long"),
        (&["1", "2"], "`2` is too much: the pid of one process is enough"),
    ] {
        let output = mp_top(words);
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(error.starts_with("mp-top: ") && error.contains(said), "{words:?}: {error}");
    }
    let no_unicode = OsStr::from_bytes(b"\xff\x1b");
    let output = Command::new(env!("CARGO_BIN_EXE_mp-top")).arg(no_unicode).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "mp-top: `\u{fffd}\\u{1b}` is no pid\n");
    let help = text(&mp_top(&["--help"]).stdout);
    assert!(help.starts_with("usage: mp-top") && help.contains("\nExit status: "), "{help}");
}
