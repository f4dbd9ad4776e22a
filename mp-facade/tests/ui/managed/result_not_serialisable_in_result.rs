//! A result that has no serde implementation, or an error.

struct Counter;

struct Job {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn job(&self) -> mp::Result<Job> {
        Ok(Job { name: String::new() })
    }
}

fn main() {}
