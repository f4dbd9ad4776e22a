//! A result of a type that only the server knows.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn numbers(&self) -> Box<dyn Iterator<Item = u8>> {
        Box::new(0..9)
    }
}

fn main() {}
