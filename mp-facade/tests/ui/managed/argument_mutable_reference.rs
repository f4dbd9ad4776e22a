//! An argument for what is to come back.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn fill(&self, buffer: &mut Vec<u8>) {
        buffer.push(1);
    }
}

fn main() {}
