//! The constructor takes what belongs to one thread.

use std::rc::Rc;

struct Counter;

#[mp::managed]
impl Counter {
    pub fn new(start: Rc<u8>) -> Self {
        let _start = start;
        Counter
    }
}

fn main() {}
