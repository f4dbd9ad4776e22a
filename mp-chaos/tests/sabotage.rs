//! A storm notices what is broken on purpose, and says with which seed and round, at which step, and how to repeat it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::{Command, Output};

const SEED: &str = "3";

fn storm(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mp-chaos"))
        .args(words)
        .args(["--seed", SEED])
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap()
}

/// Breaks one thing, in rounds until that shows, and looks at what is said of it.
fn is_noticed(sabotage: &str, expected: &str) {
    let output = storm(&["20", "--sabotage", sabotage]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{sabotage} is not noticed");
    let (_, violations) = said.split_once("violated: ").unwrap();
    assert!(violations.contains(expected), "{violations}");
    assert!(said.starts_with(&format!("seed {SEED}\n")), "{said}");
    assert!(said.contains(&format!("FAILED: seed {SEED} round ")), "{said}");
    assert!(said.contains(&format!("again: cargo xtask chaos --seed {SEED} --round ")), "{said}");
    assert!(said.contains("strikes: ["), "the plan is shown: {said}");
    assert!(said.contains("steps begun:\n"), "{said}");
}

#[test]
fn a_lost_item_is_noticed() {
    is_noticed("lose-item", "was put and never got");
}

#[test]
fn an_item_that_comes_twice_is_noticed() {
    is_noticed("repeat-item", "was got 2 times");
}

#[test]
fn a_lock_that_is_kept_at_the_end_is_noticed() {
    // The system takes it from the process, when that has ended.
    is_noticed("leak-lock", "died with it, which did not");
}

#[test]
fn a_count_that_is_not_what_was_acknowledged_is_noticed() {
    is_noticed("miscount", "acknowledged were");
}

#[test]
fn a_permit_that_does_not_come_back_is_noticed() {
    is_noticed("keep-permit", "permits are free, not");
}

#[test]
fn a_wrong_result_of_a_task_is_noticed() {
    is_noticed("wrong-result", "task 1 gave 2");
}

#[test]
fn an_object_that_stays_in_a_server_is_noticed() {
    is_noticed("keep-object", "objects are in a server, at the start");
}

#[test]
fn a_record_that_does_not_come_is_noticed() {
    is_noticed("swallow-record", "records of");
}

#[test]
fn a_child_that_is_left_is_noticed() {
    is_noticed("forget-child", "is left: sleep 600");
}

#[test]
fn a_descriptor_that_is_left_is_noticed() {
    is_noticed("keep-descriptor", "the director holds");
}

#[test]
fn an_object_that_is_left_is_noticed() {
    is_noticed("keep-memory", "mp-chaos/src/round.rs");
}

#[test]
fn a_panic_is_noticed() {
    is_noticed("panic", "on purpose");
}

#[test]
fn a_crash_is_noticed() {
    is_noticed("abort", "ended badly");
}

#[test]
fn a_process_that_hangs_is_noticed_and_said_where_it_sleeps() {
    let output = storm(&["--sabotage", "hang", "--limit", "3"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("violated: the round hangs"), "{said}");
    assert!(said.contains("wchan="), "{said}");
    assert!(said.contains("locker-0: 1 steps"), "{said}");
}

#[test]
fn a_storm_in_which_nothing_is_broken_says_what_it_has_done() {
    let output = storm(&["--round", "0"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8(output.stderr).unwrap());
    assert!(said.starts_with("1 rounds, "), "{said}");
    assert!(said.contains(&format!("seed {SEED}, ")), "{said}");
}
