//! A method that does not return.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn park(&self) -> ! {
        loop {
            std::thread::park();
        }
    }
}

fn main() {}
