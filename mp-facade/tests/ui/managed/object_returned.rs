//! An object is returned as it is, instead of one that stays in the server.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn child(&self) -> Counter {
        Counter
    }
}

fn main() {}
