//! A method that is `unsafe`.

struct Counter;

#[mp::managed]
impl Counter {
    pub unsafe fn show(&self) -> u8 {
        1
    }
}

fn main() {}
