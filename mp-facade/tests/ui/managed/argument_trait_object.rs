//! An argument of a type that only its caller knows.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn apply(&self, function: Box<dyn Fn(u8) -> u8>) -> u8 {
        function(1)
    }
}

fn main() {}
