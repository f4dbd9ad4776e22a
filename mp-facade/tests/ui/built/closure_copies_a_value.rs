//! A target takes a number with it, which a copy of the target would have as well.

#[mp::main]
fn main() -> mp::Result<()> {
    let factor: u64 = std::env::args().len().try_into()?;
    let p = mp::Process::start(move |n: u64| Ok(n * factor), (12,))?;
    println!("{}", p.into_result()?);
    Ok(())
}
