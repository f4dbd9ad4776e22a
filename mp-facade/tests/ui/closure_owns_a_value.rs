//! A target takes a value with it.

#[mp::main]
fn main() -> mp::Result<()> {
    let name = String::from("four");
    let p = mp::Process::start(move || Ok(name.len()), ())?;
    println!("{}", p.into_result()?);
    Ok(())
}
