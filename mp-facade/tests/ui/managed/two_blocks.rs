//! Two blocks of a type.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn count(&self) -> u8 {
        1
    }
}

#[mp::managed]
impl Counter {
    pub fn more(&self) -> u8 {
        2
    }
}

fn main() {}
