//! The documentation of all crates, with warnings denied. Its examples are run by `doc-tests`.

use crate::parts::Part;
use crate::run::{cargo, run};

pub(crate) const PART: Part<'_> = Part {
    name: "docs",
    run: &|| run(cargo("doc --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings")),
};
