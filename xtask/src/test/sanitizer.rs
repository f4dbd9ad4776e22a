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

/// Tests that are left out, for what they promise does not hold beside a sanitizer.
struct Exception {
    under: &'static [Sanitizer],
    /// Parts of their names.
    tests: &'static [&'static str],
    reason: &'static str,
}

const BOTH: &[Sanitizer] = &[Sanitizer::Address, Sanitizer::Thread];

/// All of them; whatever else fails is a bug.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        under: BOTH,
        tests: &["_within_"],
        reason: "a limit on time or memory, which holds for code without checks",
    },
    Exception {
        under: BOTH,
        tests: &["forked_copy"],
        reason: "a forked copy has lost the threads whose memory the sanitizer keeps",
    },
    Exception {
        under: &[Sanitizer::Address],
        tests: &["too_little_address_space_is_an_error_and_leaves_the_queue_usable"],
        reason: "the sanitizer ends a process in which it cannot map memory of its own",
    },
    Exception {
        under: &[Sanitizer::Thread],
        tests: &["too_little_address_space_is_an_error_and_leaves_the_queue_usable"],
        reason: "making its items takes longer than the watchdog waits",
    },
    Exception {
        under: &[Sanitizer::Thread],
        tests: &["nesting_far_beyond_the_stack_of_a_thread_comes_back"],
        reason: "the sanitizer does not follow a thread to the stack on the heap on which that goes on",
    },
    Exception {
        under: &[Sanitizer::Thread],
        tests: &["a_thousand_children_with_a_lock_leave_"],
        reason: "a thousand starts take longer than the watchdog waits",
    },
    Exception {
        under: &[Sanitizer::Address],
        tests: &[
            "ten_thousand_queues_leave_",
            "ten_thousand_of_each_leave_",
            "a_thousand_children_with_a_lock_leave_",
        ],
        reason: "memory that was freed stays resident: it is in quarantine, and has a shadow",
    },
    Exception {
        under: &[Sanitizer::Thread],
        tests: &[
            "a_burst_from_many_threads_leaves_everything_as_before",
            "no_descriptors_left_is_an_error_at_start_and_leaks_nothing",
            "no_memory_left_is_an_error_at_start",
            "p_37_a_missing_program_is_an_error_at_start_that_names_it",
            "p_70_arguments_that_cannot_cross_leave_nothing_behind",
            "rt_09_a_thousand_crashes_leave_everything_as_before",
            "rt_09_a_thousand_starts_leave_everything_as_before",
            "sg_15_p_26_a_dropped_handle_is_still_reaped",
            "two_hundred_children_live_at_once_with_three_descriptors_each",
        ],
        reason: "threads are counted, and the sanitizer has one of its own",
    },
];

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
            Ok(Some(mut command)) => {
                for left_out in self.exceptions() {
                    eprintln!("left out: {}", left_out.reason);
                    left_out.tests.iter().for_each(|test| eprintln!("    {test}"));
                }
                run(&mut command)
            }
            Ok(None) => Outcome::Skipped(
                "nightly lacks the sources of std (rustup +nightly component add rust-src)",
            ),
            Err(error) => {
                eprintln!("{error}");
                Outcome::Failed
            }
        }
    }

    fn exceptions(self) -> impl Iterator<Item = &'static Exception> {
        EXCEPTIONS.iter().filter(move |exception| exception.under.contains(&self))
    }

    /// `None` if the sources of std are needed and missing.
    fn command(self) -> Result<Option<Command>, String> {
        let sysroot = output(&mut nightly("rustc --print sysroot"))?;
        let host = output(&mut nightly("rustc --print host-tuple"))?;
        let test = format!("--target {} --lib --tests --no-fail-fast", host.trim());
        // More than there can be is refused, as without a sanitizer.
        let common = "use_sigaltstack=0:allocator_may_return_null=1";
        let mut command = match self {
            Sanitizer::Address => {
                let mut command = nightly(&format!("cargo test {test}"));
                // Signals are left to the tests, some of which end a process by one.
                let signals = ["segv", "sigbus", "abort", "sigill", "sigfpe"];
                let signals = signals.map(|signal| format!("handle_{signal}=0"));
                command.env("ASAN_OPTIONS", format!("{}:{common}", signals.join(":")));
                command.env("RUSTFLAGS", "-Zsanitizer=address");
                command
            }
            Sanitizer::Thread => {
                // It takes a lock inside of a std that was not built for it for a data race.
                if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").exists() {
                    return Ok(None);
                }
                let mut command = nightly(&format!("cargo test -Zbuild-std {test}"));
                command.env("TSAN_OPTIONS", format!("handle_segv=0:{common}"));
                command.env("RUSTFLAGS", "-Zsanitizer=thread");
                // As many as take a few seconds with each access looked at.
                command.env("MP_ITEMS", "50000");
                command
            }
        };
        for member in crates_with_unsafe_code(&workspace::crates()?) {
            command.args(["-p", &member.name]);
        }
        command.arg("--");
        for test in self.exceptions().flat_map(|exception| exception.tests) {
            command.args(["--skip", test]);
        }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::enter_root;

    #[test]
    fn every_exception_is_the_name_of_a_test() {
        enter_root().unwrap();
        let mut text = String::new();
        for member in crates_with_unsafe_code(&workspace::crates().unwrap()) {
            for path in workspace::files_below(&member.dir, "rs") {
                text += &fs::read_to_string(path).unwrap();
            }
        }
        let names: Vec<&str> = text
            .split("#[test]")
            .skip(1)
            .filter_map(|rest| rest.split_once("fn ")?.1.split('(').next())
            .collect();
        for part in EXCEPTIONS.iter().flat_map(|exception| exception.tests) {
            assert!(
                names.iter().any(|name| name.contains(part)),
                "no test has `{part}` in its name"
            );
        }
    }
}
