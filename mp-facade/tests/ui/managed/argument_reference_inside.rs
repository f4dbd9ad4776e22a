//! A reference that is not the whole argument.

struct Counter;

#[mp::managed]
impl Counter {
    pub fn show(&self, text: Option<&str>) -> usize {
        text.map_or(0, str::len)
    }
}

fn main() {}
