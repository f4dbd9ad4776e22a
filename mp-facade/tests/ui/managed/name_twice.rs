//! A type with two names.

struct Counter;

#[mp::managed(name = "shop.Counter", name = "Counter")]
impl Counter {
    pub fn count(&self) -> u8 {
        1
    }
}

fn main() {}
