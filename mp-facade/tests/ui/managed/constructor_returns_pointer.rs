//! A constructor that gives a pointer to the object.

use std::sync::Arc;

struct Counter;

#[mp::managed]
impl Counter {
    pub fn new() -> Arc<Self> {
        Arc::new(Counter)
    }
}

fn main() {}
