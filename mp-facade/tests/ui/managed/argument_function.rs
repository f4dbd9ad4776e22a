//! An argument that is to be called.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn apply(&self, function: fn(u8) -> u8) -> u8 {
        function(1)
    }
}

fn main() {}
