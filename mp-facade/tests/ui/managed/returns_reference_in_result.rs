//! A method that lends something of the object, or fails.

struct Counter {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn name(&self) -> mp::Result<&str> {
        Ok(&self.name)
    }
}

fn main() {}
