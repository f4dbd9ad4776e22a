//! A result with a lifetime inside.

use std::borrow::Cow;

struct Counter {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }
}

fn main() {}
