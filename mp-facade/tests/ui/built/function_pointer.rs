//! A target is a `fn` pointer: an address of this process, known only at run time.

fn square(n: u32) -> mp::Result<u32> {
    Ok(n * n)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let target: fn(u32) -> mp::Result<u32> = square;
    mp::Process::start(target, (12,))?.join()?;
    Ok(())
}
