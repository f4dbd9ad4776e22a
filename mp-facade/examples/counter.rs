//! A counter that several processes count up, one of which is killed in the middle of it.

use std::time::Duration;

fn count(counter: mp::Value<u64>, times: u64) -> mp::Result<()> {
    for _ in 0..times {
        *counter.lock()? += 1;
    }
    Ok(())
}

/// Takes the lock and is killed while it has it.
fn hold(counter: mp::Value<u64>, held: mp::Event) -> mp::Result<()> {
    let _guard = counter.lock()?;
    held.set();
    loop {
        std::thread::park();
    }
}

#[mp::main]
fn main() -> mp::Result<()> {
    let counter = mp::Value::new(0_u64)?;
    let processes = (0..4)
        .map(|_| mp::Process::start(count, (counter.clone(), 25_000)))
        .collect::<Result<Vec<_>, _>>()?;
    for p in processes {
        p.join()?;
    }
    println!("four processes counted to {}", counter.get()?);

    let held = mp::Event::new()?;
    let holder =
        mp::Process::builder(hold, (counter.clone(), held.clone())).name("holder").start()?;
    mp::ensure!(held.wait_timeout(Duration::from_secs(10))?, "the holder did not come");
    println!("{:?}", counter.get_lock());
    holder.kill();

    let mut guard = counter.lock()?; // no one is stuck: the next one takes over, and is told so
    let died = guard.owner_died().map(|dead| dead.name.clone()).unwrap_or_default();
    *guard += 1;
    println!("taken over from '{died}'; the count is {}", *guard);
    Ok(())
}
