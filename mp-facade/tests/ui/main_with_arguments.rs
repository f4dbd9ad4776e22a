//! `#[mp::main]` with an argument.

#[mp::main(x)]
fn main() -> mp::Result<()> {
    Ok(())
}
