//! A method with a lifetime.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn show<'a>(&self, text: &'a str) -> usize {
        text.len()
    }
}

fn main() {}
