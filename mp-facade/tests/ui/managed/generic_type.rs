//! A type with a parameter.

struct Counter<T>(Vec<T>);

#[mp::managed]
impl<T> Counter<T> {
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

fn main() {}
