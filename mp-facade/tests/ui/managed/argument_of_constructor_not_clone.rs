//! The constructor takes a reference to what cannot be kept until the object is made.

use serde::{Deserialize, Serialize};

struct Counter;

#[derive(Serialize, Deserialize)]
struct Config {
    name: String,
}

#[mp::managed]
impl Counter {
    pub fn new(config: &Config) -> Self {
        let _len = config.name.len();
        Counter
    }
}

fn main() {}
