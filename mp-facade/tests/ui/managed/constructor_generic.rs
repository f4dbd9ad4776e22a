//! A constructor with an argument of a type of its caller's choice.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn new(start: impl Into<u64>) -> Self {
        let _start = start.into();
        Counter
    }
}

fn main() {}
