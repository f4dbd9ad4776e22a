//! `#[mp::main]` on something that is no function.

#[mp::main]
struct Program;

fn main() {}
