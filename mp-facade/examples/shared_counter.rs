//! One counter that several processes count up: the object lives in a server, everybody else has a proxy.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
struct Counter {
    count: AtomicU64,
    history: Vec<String>,
}

#[mp::managed]
impl Counter {
    /// Runs in the server.
    pub fn new(start: u64) -> Self {
        Counter { count: AtomicU64::new(start), history: Vec::new() }
    }

    /// With `&self`: calls of several processes run at the same time.
    pub fn add(&self, n: u64) -> u64 {
        self.count.fetch_add(n, Ordering::Relaxed) + n
    }

    /// With `&mut self`: one call at a time.
    pub fn note(&mut self, who: &str) -> usize {
        self.history.push(who.to_owned());
        self.history.len()
    }

    /// What goes wrong here is raised at the caller.
    pub fn entry(&self, index: usize) -> mp::Result<String> {
        match self.history.get(index) {
            Some(entry) => Ok(entry.clone()),
            None => mp::bail!("nobody has made note {index}"),
        }
    }
}

fn count(counter: CounterProxy) -> mp::Result<()> {
    for _ in 0..1000 {
        counter.add(1)?;
    }
    counter.note(mp::current_process().name())?;
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let server = mp::ServerProcess::start()?;
    let counter = server.create(Counter::args(0))?;
    let processes = (0..4)
        .map(|_| mp::Process::start(count, (counter.clone(),)))
        .collect::<Result<Vec<_>, _>>()?;
    for process in processes {
        process.into_result()?;
    }
    println!("4 processes have counted to {}", counter.add(0)?);
    println!("the first to be ready was {}", counter.entry(0)?);
    match counter.entry(9) {
        Err(mp::ManagerError::Exception(error)) => println!("{}", error.message()),
        other => println!("unexpected: {other:?}"),
    }
    for object in server.debug_info()? {
        println!("in the server: {object}");
    }
    Ok(())
}
