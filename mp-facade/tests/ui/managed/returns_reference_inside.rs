//! A method that may lend something of the object.

struct Counter {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn name(&self) -> Option<&String> {
        Some(&self.name)
    }
}

fn main() {}
