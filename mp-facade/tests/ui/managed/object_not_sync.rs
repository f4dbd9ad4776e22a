//! An object that one thread can use at a time.

use std::cell::Cell;

struct Counter {
    count: Cell<u8>,
}

#[mp::managed]
impl Counter {
    pub fn count(&self) -> u8 {
        self.count.replace(1)
    }
}

fn main() {}
