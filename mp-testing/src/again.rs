//! Tests that are run once more, under other circumstances.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Runs an ignored test of this program as a user to whom nothing here belongs, with a variable set; skipped, with a word
/// about it, where no such process can be started.
///
/// # Panics
///
/// If the test does not pass.
pub fn passes_as_another_user(test: &str, variable: &str, value: &str) {
    let output = Command::new("/proc/self/exe")
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(variable, value)
        .current_dir("/")
        .uid(65534)
        .output();
    match output {
        Ok(output) => {
            let text =
                String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            assert!(text.contains("1 passed"), "{text}");
        }
        Err(error) => eprintln!("skipped: cannot start a process of another user: {error}"),
    }
}
