//! An argument that is not always there.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn count(&self, #[cfg(unix)] step: u8) -> u8 {
        step
    }
}

fn main() {}
