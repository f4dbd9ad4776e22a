//! A method with an ABI.

struct Counter;

#[mp::managed]
impl Counter {
    pub extern "C" fn show(&self) -> u8 {
        1
    }
}

fn main() {}
