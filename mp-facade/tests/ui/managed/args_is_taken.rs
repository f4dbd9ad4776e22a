//! A function with the name of one that is made.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn new() -> Self {
        Counter
    }

    pub fn args() -> Vec<String> {
        std::env::args().collect()
    }
}

fn main() {}
