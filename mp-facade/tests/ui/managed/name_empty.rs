//! A type without a name.

struct Counter;

#[mp::managed(name = "")]
impl Counter {
    pub fn count(&self) -> u8 {
        1
    }
}

fn main() {}
