fn hold(lock: mp::Lock, held: mp::Event) -> mp::Result<()> {
    let _guard = lock.acquire()?;
    held.set();
    loop {
        std::thread::park();
    }
}

fn exit(code: i32) -> mp::Result<()> {
    std::process::exit(code)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (lock, held) = (mp::Lock::new()?, mp::Event::new()?);
    let arguments = (lock.clone(), held.clone());
    let holder = mp::Process::builder(hold, arguments).name("holder").start()?;
    held.wait()?;
    holder.kill();
    let guard = lock.acquire()?; // at once
    if let Some(dead) = guard.owner_died() {
        println!("the lock is ours, and {} died with it", dead.name);
    }

    let pool = mp::Pool::new(2)?;
    if let Err(mp::PoolError::WorkerDied { exitcode, .. }) = pool.apply(exit, (3,)) {
        println!("the task failed: its worker ended with {exitcode:?}");
    }
    println!("the pool goes on: {}", pool.apply(|| Ok("hello".to_owned()), ())?);
    Ok(())
}
