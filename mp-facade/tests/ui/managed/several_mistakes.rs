//! All mistakes in a block are told at once, and what is right in it can be used.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn new() -> Self {
        Counter
    }

    pub fn right(&self) -> u8 {
        1
    }

    pub async fn waits(&self, (a, b): (u8, u8)) -> u8 {
        a + b
    }

    pub fn taken(self, buffer: &mut Vec<u8>) -> &str {
        buffer.clear();
        "taken"
    }
}

fn use_it(counter: &CounterProxy) -> mp::Result<u8> {
    let _args = Counter::args();
    Ok(counter.right()?)
}

fn main() {}
