//! Mistakes get a compile error that names the problem and the way out.

/// The texts are those of one compiler version; another one words its part of them otherwise.
#[rustversion::attr(
    not(all(stable, since(1.95), before(1.96))),
    ignore = "recorded with Rust 1.95"
)]
#[test]
fn mistakes_are_explained_by_the_compiler() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/right.rs");
    cases.compile_fail("tests/ui/*.rs");
}
