//! One instance of a type with a parameter.

struct Counter<T>(Vec<T>);

#[mp::managed]
impl Counter<u8> {
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn main() {}
