//! More arguments than the function takes.

fn length(text: String) -> mp::Result<usize> {
    Ok(text.len())
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(length, ("four".to_owned(), 4))?.join()?;
    Ok(())
}
