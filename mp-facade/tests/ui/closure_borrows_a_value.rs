//! A target borrows a value. Told to `move` it, the user comes to `closure_owns_a_value.rs`.

#[mp::main]
fn main() -> mp::Result<()> {
    let name = String::from("four");
    let p = mp::Process::start(|| Ok(name.len()), ())?;
    println!("{}", p.into_result()?);
    Ok(())
}
