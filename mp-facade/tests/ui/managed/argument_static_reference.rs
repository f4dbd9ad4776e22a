//! An argument that is to live forever.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn show(&self, text: &'static str) -> usize {
        text.len()
    }
}

fn main() {}
