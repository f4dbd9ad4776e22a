//! An object that belongs to one thread.

use std::rc::Rc;

struct Counter {
    count: Rc<u8>,
}

#[mp::managed]
impl Counter {
    pub fn count(&self) -> u8 {
        *self.count
    }
}

fn main() {}
