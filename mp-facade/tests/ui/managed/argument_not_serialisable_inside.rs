//! Something in an argument has no serde implementation.

struct Counter;

struct Job {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn run(&self, jobs: Vec<Job>) -> usize {
        jobs.iter().map(|job| job.name.len()).sum()
    }
}

fn main() {}
