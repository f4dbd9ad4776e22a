//! A target captures a value that it owns.

#[mp::main]
fn main() -> mp::Result<()> {
    let name = String::from("four");
    let p = mp::Process::start(move || Ok(name.len()), ())?;
    println!("{}", p.into_result()?);
    Ok(())
}
