//! An argument that has no serde implementation.

struct Counter;

struct Job {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn run(&self, job: Job) -> usize {
        job.name.len()
    }
}

fn main() {}
