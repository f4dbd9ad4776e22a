//! A word that the attribute does not know.

struct Counter;

#[mp::managed(nam = "shop.Counter")]
impl Counter {
    pub fn count(&self) -> u8 {
        1
    }
}

fn main() {}
