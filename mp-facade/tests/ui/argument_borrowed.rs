//! An argument is borrowed: the child has no such memory.

fn run(name: &str) -> mp::Result<usize> {
    Ok(name.len())
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(run, ("mine",))?.join()?;
    Ok(())
}
