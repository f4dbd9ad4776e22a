type Shared = (mp::Value<i64>, mp::Array<i64>, mp::Lock, mp::RawArray<i64>);

fn count((total, accounts, lock, latest): Shared) -> mp::Result<()> {
    for n in 0..1000 {
        *total.lock()? += 1;
        {
            let mut accounts = accounts.lock()?;
            accounts[0] -= 1;
            accounts[1] += 1;
        }
        let _guard = lock.acquire()?; // until the end of the block
        latest.set(0, n)?;
        latest.set(1, n)?;
    }
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (total, accounts) = (mp::Value::new(0)?, mp::Array::new(&[5000, 0])?);
    let (lock, latest) = (mp::Lock::new()?, mp::RawArray::zeroed(2)?);
    let shared = (total, accounts, lock, latest);
    let processes = [0; 3].map(|_| mp::Process::start(count, (shared.clone(),)));
    for p in processes {
        p?.join()?;
    }
    let (total, accounts, _, latest) = shared;
    println!("{} {:?} {:?}", total.get()?, accounts.to_vec()?, latest.to_vec());
    Ok(())
}
