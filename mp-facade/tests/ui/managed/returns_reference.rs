//! A method that lends something of the object.

struct Counter {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn main() {}
