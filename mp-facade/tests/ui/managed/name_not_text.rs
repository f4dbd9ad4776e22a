//! A name that is no text.

struct Counter;

#[mp::managed(name = Counter)]
impl Counter {
    pub fn count(&self) -> u8 {
        1
    }
}

fn main() {}
