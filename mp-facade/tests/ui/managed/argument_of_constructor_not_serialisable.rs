//! An argument of the constructor has no serde implementation.

struct Counter;

struct Job {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn new(job: Job) -> Self {
        let _name = job.name;
        Counter
    }
}

fn main() {}
