//! An argument that is an address.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn read(&self, at: *const u8) -> bool {
        at.is_null()
    }
}

fn main() {}
