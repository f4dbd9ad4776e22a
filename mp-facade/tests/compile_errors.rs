//! Mistakes get a compile error that names the problem and the way out.

use std::path::Path;
use std::process::Command;

use trybuild::TestCases;

/// The texts are those of one compiler: others word their part of them otherwise. To record them anew,
/// `TRYBUILD=overwrite cargo test -p mp-facade --test compile_errors`.
#[rustversion::attr(not(stable(1.95)), ignore = "recorded with Rust 1.95")]
#[test]
fn mistakes_are_explained_by_the_compiler() {
    let cases = TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.pass("tests/ui/managed/pass/*.rs");
    cases.compile_fail("tests/ui/*.rs");
    cases.compile_fail("tests/ui/managed/*.rs");
    if !sources_of_std_are_installed() {
        cases.compile_fail("tests/ui/built/*.rs");
    }
}

/// With them the compiler quotes a line of `core` in the error of a `const` assertion.
fn sources_of_std_are_installed() -> bool {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let sysroot = String::from_utf8_lossy(&output.stdout);
        Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").exists()
    })
}
