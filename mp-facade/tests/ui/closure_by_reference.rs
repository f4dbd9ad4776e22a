//! A target captures a reference.

#[mp::main]
fn main() -> mp::Result<()> {
    let name = String::from("four");
    let p = mp::Process::start(|| Ok(name.len()), ())?;
    println!("{}", p.into_result()?);
    Ok(())
}
