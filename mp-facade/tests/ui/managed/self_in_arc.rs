//! A method that takes the pointer to the object which a server does not have.

use std::sync::Arc;

struct Counter;

#[mp::managed]
impl Counter {
    pub fn count(self: Arc<Self>) -> u8 {
        1
    }
}

fn main() {}
