//! A method with a type of its caller's choice.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn show<T: ToString>(&self, value: T) -> String {
        value.to_string()
    }
}

fn main() {}
