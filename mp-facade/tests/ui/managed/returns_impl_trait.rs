//! A result of a type that only the method knows.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn numbers(&self) -> impl Iterator<Item = u8> {
        0..9
    }
}

fn main() {}
