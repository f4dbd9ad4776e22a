//! An argument of a type of its caller's choice.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn show(&self, value: impl ToString) -> String {
        value.to_string()
    }
}

fn main() {}
