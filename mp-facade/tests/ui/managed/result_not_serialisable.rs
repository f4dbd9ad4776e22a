//! A result that has no serde implementation.

struct Counter;

struct Job {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn job(&self) -> Job {
        Job { name: String::new() }
    }
}

fn main() {}
