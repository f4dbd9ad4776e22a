//! Whole programs: what happens before, in and after a `main`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mp_testing::system::ends_within;

const PROGRAM: &str = env!("CARGO_BIN_EXE_program");

fn run(scenario: &str) -> (String, String, Option<i32>) {
    texts(&Command::new(PROGRAM).arg(scenario).stdin(Stdio::null()).output().unwrap())
}

fn texts(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn p_72_without_init_nothing_is_started_and_the_error_says_what_to_add() {
    let (out, err, code) = run("no-init");
    assert_eq!(out.matches("one generation").count(), 1, "{out}{err}");
    assert!(out.contains("`mp::init();` the first line of `main`"), "{out}{err}");
    assert!(out.contains("#[mp::main]") && out.contains("enable_test_support!"), "{out}");
    assert_eq!(code, Some(0));
}

#[test]
fn p_72_a_child_that_does_not_come_to_init_cannot_start_a_second_generation() {
    let (out, err, code) = run("init-in-parent-only");
    assert!(out.contains("process 'lost'") && out.contains("before it called `mp::init`"), "{out}");
    // The child ran through the same lines and was refused.
    assert!(err.contains("before the library is initialised"), "{err}");
    assert_eq!(code, Some(0));
}

#[test]
fn cp_09_cp_10_p_50_the_end_of_main_joins_children_and_threads_and_terminates_daemons() {
    for (scenario, expected) in [("end-of-main", 0), ("end-of-main-with-error", 1), ("exit-3", 3)] {
        let begun = Instant::now();
        let (out, err, code) = run(scenario);
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert_eq!(code, Some(expected), "{scenario}: {out}{err}");
        assert!(out.contains("ordinary child done"), "{scenario}: {out}{err}");
        assert!(out.contains("ordinary thread done"), "{scenario}: {out}{err}");
        assert_eq!(err.contains("main failed"), expected == 1, "{err}"); // CP-10
        assert!(ends_within(daemon_pid(&out), Duration::ZERO).unwrap(), "the daemon lives");
    }
}

fn daemon_pid(out: &str) -> u32 {
    out.lines().find_map(|line| line.strip_prefix("daemon ")).unwrap().parse().unwrap()
}

#[test]
fn a_daemon_that_ignores_sigterm_is_killed_at_the_end_of_main() {
    let ignoring = format!("trap '' TERM; exec '{PROGRAM}' stubborn-daemon");
    let begun = Instant::now();
    let output = Command::new("sh").args(["-c", &ignoring]).output().unwrap();
    let (out, err, code) = texts(&output);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(begun.elapsed() >= Duration::from_secs(1), "it had its time");
    assert!(ends_within(daemon_pid(&out), Duration::ZERO).unwrap());
}

#[test]
fn p_73_replacing_or_deleting_the_program_file_changes_nothing() {
    let replace = |path: &Path| {
        let other = path.with_extension("new");
        fs::write(&other, "#!/bin/sh\necho another program\n").unwrap();
        fs::set_permissions(&other, PermissionsExt::from_mode(0o755)).unwrap();
        fs::rename(other, path).unwrap();
    };
    let delete = |path: &Path| fs::remove_file(path).unwrap();
    let changes: [&dyn Fn(&Path); 2] = [&replace, &delete];
    for change in changes {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("program");
        fs::copy(PROGRAM, &copy).unwrap();
        let mut child = Command::new(&copy)
            .arg("start-after-stdin-ends")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        change(&copy);
        child.stdin.take().unwrap().write_all(b"go").unwrap();
        let (out, err, code) = texts(&child.wait_with_output().unwrap());
        assert_eq!((out.as_str(), code), ("three children worked\n", Some(0)), "{err}");
    }
}

#[test]
fn lg_04_a_logger_that_the_child_set_up_itself_switches_forwarding_off() {
    let (out, err, _) = run("own-logger");
    assert!(out.contains("logger of child: from the child"), "{out}{err}");
    assert!(!out.contains("logger of MainProcess: from the child"), "{out}");
    assert!(out.contains("logger of MainProcess: from the parent"), "{out}");
}

#[test]
fn p_51_p_52_a_panic_is_printed_once_headed_by_the_process_name() {
    let (_, err, _) = run("child-panics");
    assert_eq!(err.matches("the only panic").count(), 1, "{err}");
    assert!(err.starts_with("Process worker:\n[worker] Traceback"), "{err}");
    assert!(err.contains("program.rs"), "{err}");
}

#[test]
fn p_51_an_error_is_printed_once_headed_by_the_process_name() {
    let (_, err, _) = run("child-fails");
    assert_eq!(err.matches("the only error").count(), 1, "{err}");
    assert!(err.starts_with("Process worker:\n[worker] Traceback"), "{err}");
}

#[test]
fn a_panic_in_a_thread_of_a_child_names_process_and_thread() {
    let (_, err, _) = run("child-thread-panics");
    assert_eq!(err.matches("in a thread").count(), 1, "{err}");
    assert!(err.starts_with("Process worker, thread 'helper':\n"), "{err}");
}

#[test]
fn a_stack_overflow_in_a_program_is_an_abort() {
    let (out, err, _) = run("overflow");
    assert!(out.contains("SIGABRT") && err.contains("overflowed its stack"), "{out}{err}");
}

#[test]
fn p_53_closed_standard_streams_of_the_parent_do_not_matter() {
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let status = Command::new("sh")
            .args(["-c", &format!("exec '{PROGRAM}' just-start {closed}")])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(0), "{closed}");
    }
}

#[test]
fn p_40_output_appears_once_and_in_order() {
    let (out, err, _) = run("just-start");
    assert_eq!(out, "child output\nparent output\n", "{err}");
}

#[test]
fn a_socket_on_standard_input_that_is_not_ours_is_left_alone() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    (&ours).write_all(b"some request, longer than the header of a frame").unwrap();
    drop(ours);
    let output = Command::new(PROGRAM)
        .arg("start-after-stdin-ends")
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .output()
        .unwrap();
    let (out, err, _) = texts(&output);
    assert_eq!(out, "three children worked\n", "{err}");
}

#[test]
fn p_72_a_child_whose_main_acts_before_init_is_refused_and_told_why() {
    let (out, err, _) = run("read-first");
    assert!(out.contains("'hasty'") && out.contains("read standard input before"), "{out}{err}");
    let (out, err, _) = run("ask-first");
    assert!(out.contains("'hasty'") && out.contains("asked for the current process"), "{out}{err}");
}
