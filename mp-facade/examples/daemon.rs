//! The end of `main`: it waits for ordinary processes and terminates daemonic ones.

use std::time::Duration;

fn tick() -> mp::Result<()> {
    for n in 1.. {
        println!("daemon: tick {n}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn work() -> mp::Result<()> {
    std::thread::sleep(Duration::from_millis(500));
    println!("worker: done, {} waited for me", mp::parent_process().map_or("nobody", |p| p.name()));
    Ok(())
}

fn nanny() -> mp::Result<()> {
    // Its own end would orphan the child, so a daemon cannot have one.
    if let Err(error) = mp::Process::start(work, ()) {
        println!("nanny: {error}");
    }
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::builder(nanny, ()).name("nanny").daemon(true).start()?.join()?;
    mp::Process::builder(tick, ()).daemon(true).start()?;
    mp::Process::start(work, ())?; // dropping the handle only lets go of it
    std::thread::sleep(Duration::from_millis(300));
    println!("main: returns with {} children alive", mp::active_children().len());
    Ok(())
}
