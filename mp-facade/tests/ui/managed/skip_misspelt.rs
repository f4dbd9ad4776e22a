//! A word that the attribute on a method does not know.

struct Counter;

#[mp::managed]
impl Counter {
    #[managed(skipped)]
    pub fn count(&self) -> u8 {
        1
    }
}

fn main() {}
