//! An object of a type that is not managed is returned to stay in the server.

struct Counter;

struct Job {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn job(&self) -> mp::Managed<Job> {
        mp::managed(Job { name: String::new() })
    }
}

fn main() {}
