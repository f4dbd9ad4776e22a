//! A target returns a `Result` with an error of its own.

fn parse(text: String) -> Result<u32, std::num::ParseIntError> {
    text.parse()
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(parse, ("12".to_owned(),))?.join()?;
    Ok(())
}
