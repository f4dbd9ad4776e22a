//! A constructor fails with what is no error.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn new() -> Result<Self, String> {
        Err("failed".to_owned())
    }
}

fn main() {}
