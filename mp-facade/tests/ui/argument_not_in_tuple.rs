//! A single argument without the comma that makes it a tuple.

fn square(n: u32) -> mp::Result<u32> {
    Ok(n * n)
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(square, (12))?.join()?;
    Ok(())
}
