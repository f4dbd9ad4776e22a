//! Two processes that take two locks in different orders, and what is seen of it from outside.
//!
//! `mp-top PID` shows the same; the pid is printed.

use std::time::Duration;

fn transfer(from: mp::Lock, to: mp::Lock, both_have_one: mp::Barrier) -> mp::Result<()> {
    let _from = from.acquire()?;
    both_have_one.wait()?;
    let _to = to.acquire()?; // never
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (a, b, barrier) = (mp::Lock::new()?, mp::Lock::new()?, mp::Barrier::new(2)?);
    let there = (a.clone(), b.clone(), barrier.clone());
    let there = mp::Process::builder(transfer, there).name("there").daemon(true).start()?;
    let back = mp::Process::builder(transfer, (b, a, barrier)).name("back").daemon(true).start()?;

    println!("looking into the session of pid {}", std::process::id());
    let session = loop {
        let session = mp::inspect()?;
        if !session.dead_locks.is_empty() {
            break session;
        }
        mp::ensure!(!there.join_timeout(Duration::from_millis(20))?, "they did not dead-lock");
    };
    print!("{session}");
    if std::env::args().any(|word| word == "--wait") {
        back.join()?; // for mp-top
    }
    there.kill(); // the next one who wants its lock has it
    back.join()?;
    println!("one was killed, the other went on");
    Ok(())
}
