//! A method fails with what is no error.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn fail(&self) -> Result<u8, String> {
        Err("failed".to_owned())
    }
}

fn main() {}
