//! An argument with a lifetime inside.

use std::borrow::Cow;

struct Counter;

#[mp::managed]
impl Counter {
    pub fn show(&self, text: Cow<'_, str>) -> usize {
        text.len()
    }
}

fn main() {}
