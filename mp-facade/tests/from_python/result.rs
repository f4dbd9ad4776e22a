fn count_primes(start: u32, stop: u32) -> mp::Result<usize> {
    Ok((start..stop).filter(|n| (2..*n).all(|d| n % d != 0)).count())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let p = mp::Process::builder(count_primes, (2, 1000)).name("primes").start()?;
    println!("{} found {}", p.name(), p.result()?);
    Ok(())
}
