//! The unit and behaviour tests of the crates with unsafe code, on nightly, under a sanitizer.

use std::path::Path;
use std::process::Command;

use crate::lint::crates_with_unsafe_code;
use crate::parts::Outcome;
use crate::run::{output, run, works};
use crate::workspace;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Sanitizer {
    Address,
    Thread,
}

impl Sanitizer {
    pub(super) fn named(name: &str) -> Option<Sanitizer> {
        match name {
            "address" => Some(Sanitizer::Address),
            "thread" => Some(Sanitizer::Thread),
            _ => None,
        }
    }

    pub(super) fn part(self) -> &'static str {
        match self {
            Sanitizer::Address => "sanitizer-address",
            Sanitizer::Thread => "sanitizer-thread",
        }
    }

    /// Runs the tests, if nightly is here with all that the sanitizer needs.
    pub(super) fn run(self) -> Outcome {
        if !works(&mut nightly("cargo --version")) {
            return Outcome::Skipped("nightly is not installed (rustup toolchain add nightly)");
        }
        match self.command() {
            Ok(Some(mut command)) => run(&mut command),
            Ok(None) => Outcome::Skipped(
                "nightly lacks the sources of std (rustup +nightly component add rust-src)",
            ),
            Err(error) => {
                eprintln!("{error}");
                Outcome::Failed
            }
        }
    }

    /// `None` if the sources of std are needed and missing.
    fn command(self) -> Result<Option<Command>, String> {
        let sysroot = output(&mut nightly("rustc --print sysroot"))?;
        let host = output(&mut nightly("rustc --print host-tuple"))?;
        // A test with `_within_` in its name promises a time, which holds without a sanitizer only.
        let test = format!("--target {} --lib --tests --no-fail-fast", host.trim());
        let mut command = match self {
            Sanitizer::Address => {
                let mut command = nightly(&format!("cargo test {test}"));
                // Signals are left to the tests, some of which end a process by one.
                let signals = ["segv", "sigbus", "abort", "sigill", "sigfpe"];
                let signals = signals.map(|signal| format!("handle_{signal}=0"));
                command.env("ASAN_OPTIONS", signals.join(":") + ":use_sigaltstack=0");
                command.env("RUSTFLAGS", "-Zsanitizer=address");
                command
            }
            Sanitizer::Thread => {
                // It takes a lock inside of a std that was not built for it for a data race.
                if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").exists() {
                    return Ok(None);
                }
                let mut command = nightly(&format!("cargo test -Zbuild-std {test}"));
                command.env("TSAN_OPTIONS", "handle_segv=0:use_sigaltstack=0");
                command.env("RUSTFLAGS", "-Zsanitizer=thread");
                command
            }
        };
        for member in crates_with_unsafe_code(&workspace::crates()?) {
            command.args(["-p", &member.name]);
        }
        // Limits on time do not hold here, and a forked copy has lost the memory of the threads that it
        // does not have.
        command.args(["--", "--skip", "_within_", "--skip", "forked_copy"]);
        command.env("CARGO_TARGET_DIR", "target/sanitizer");
        Ok(Some(command))
    }
}

/// A command of the nightly toolchain.
fn nightly(words: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).args(words.split_whitespace());
    command
}
