//! An argument has another type than the function takes.

fn length(text: String) -> mp::Result<usize> {
    Ok(text.len())
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(length, (12,))?.join()?;
    Ok(())
}
