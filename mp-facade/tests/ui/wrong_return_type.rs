//! A target returns something else than `mp::Result`.

fn square(n: u32) -> u32 {
    n * n
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(square, (12,))?.join()?;
    Ok(())
}
