//! An argument without a name.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn ignore(&self, _: u8) {}
}

fn main() {}
