//! The attribute on the type instead of its methods.

#[mp::managed]
#[derive(Debug)]
struct Counter;

fn main() {}
