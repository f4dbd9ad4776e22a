//! A method that takes the object away from its server.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn into_count(self) -> u8 {
        1
    }
}

fn main() {}
