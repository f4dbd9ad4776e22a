//! Waiting for processes and threads together: the first, each as it ends, the first failure.

use std::time::Duration;

fn nap(ms: u64) -> mp::Result<u64> {
    std::thread::sleep(Duration::from_millis(ms));
    Ok(ms)
}

fn fail(ms: u64) -> mp::Result<u64> {
    mp::bail!("woken after {} ms by a bad dream", nap(ms)?)
}

fn names<W: mp::Worker>(workers: &[W]) -> String {
    workers.iter().map(|worker| worker.name()).collect::<Vec<_>>().join(", ")
}

#[mp::main]
fn main() -> mp::Result<()> {
    let long = mp::Process::builder(nap, (300,)).name("long process").start()?;
    let short = mp::Process::builder(nap, (100,)).name("short process").start()?;
    let thread = mp::Thread::builder(|| nap(200)).name("thread").start();
    let all: [&dyn mp::Worker; 3] = [&long, &short, &thread];

    let (done, not_done) = mp::wait(all, None, mp::FIRST_COMPLETED);
    println!("first: {}; still running: {}", names(&done), names(&not_done));
    for worker in mp::as_completed(all, None) {
        println!("ended: {}", worker?.name());
    }
    println!("slept {} ms in all", long.result()? + short.result()? + thread.result()?);

    let bad = mp::Process::builder(fail, (50,)).name("bad").on_failure(|_| {}).start()?;
    let good = mp::Process::builder(nap, (60_000,)).name("good").start()?;
    let (done, not_done) = mp::wait([&good, &bad], None, mp::FIRST_EXCEPTION);
    println!("failed: {}; still running: {}", names(&done), names(&not_done));
    println!("because: {}", done[0].join().err().map_or(String::new(), |e| e.to_string()));

    // Time limits are no errors of the worker: it goes on.
    for worker in mp::as_completed([&good], Some(Duration::from_millis(50))) {
        println!("{}", worker.err().map_or(String::new(), |timeout| timeout.to_string()));
    }
    good.terminate();
    println!("{}", good.join().err().map_or(String::new(), |e| e.to_string()));
    Ok(())
}
