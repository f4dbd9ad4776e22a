//! A method that is `async`.

struct Counter;

#[mp::managed]
impl Counter {
    pub async fn show(&self) -> u8 {
        1
    }
}

fn main() {}
