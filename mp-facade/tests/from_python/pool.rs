use std::time::Duration;

fn square(n: u64) -> mp::Result<u64> {
    Ok(n * n)
}

fn power(base: u64, exponent: u32) -> mp::Result<u64> {
    Ok(base.pow(exponent))
}

fn invert(n: u32) -> mp::Result<u32> {
    mp::ensure!(n != 0, "{n} has no inverse");
    Ok(1 / n)
}

fn sleep(seconds: u64) -> mp::Result<()> {
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let pool = mp::Pool::new(2)?;
    println!("{:?}", pool.map(square, 0..5)?);
    println!("{:?}", pool.starmap(power, [(2, 3), (3, 2)])?);
    let chunks = pool.with_options(mp::TaskOptions::new().chunksize(50));
    let squares: Vec<u64> = chunks.imap(square, 0..1000)?.collect::<Result<_, _>>()?;
    println!("{}", squares[999]);

    let later = pool.apply_async(power, (2, 10))?;
    println!("{}", later.get_timeout(Duration::from_secs(60))?);

    if let Err(mp::PoolError::Exception(error)) = pool.apply(invert, (0,)) {
        println!("{}", error.message());
    }

    let limit = mp::TaskOptions::new().timeout(Duration::from_millis(100));
    if let Err(mp::PoolError::TimedOut) = pool.with_options(limit).apply(sleep, (1000,)) {
        println!("too slow"); // its worker was ended, and another one is there
    }
    Ok(())
}
