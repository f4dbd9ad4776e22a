//! The attribute on the methods of a trait.

struct Counter;

#[mp::managed]
impl Clone for Counter {
    fn clone(&self) -> Self {
        Counter
    }
}

fn main() {}
