//! A short storm, with another seed each time. `cargo xtask chaos` plays longer ones.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

const SECONDS: &str = "10";

#[test]
fn a_short_storm_leaves_everything_as_it_was() {
    // What others leave in the folder for temporary files is not of the storm.
    let output = Command::new(env!("CARGO_BIN_EXE_mp-chaos"))
        .arg(SECONDS)
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let (told, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{errors}");
    println!("{told}");
}
