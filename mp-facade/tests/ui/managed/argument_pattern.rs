//! An argument that is taken apart.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn sum(&self, (a, b): (u8, u8)) -> u8 {
        a + b
    }
}

fn main() {}
