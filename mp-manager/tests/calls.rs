//! Calls of objects that live in a server.

use std::sync::atomic::{AtomicI64, Ordering};

mp::enable_test_support!();

#[derive(Debug)]
struct Counter(AtomicI64);

#[mp::managed]
impl Counter {
    pub fn new(start: i64) -> Self {
        Counter(start.into())
    }
    pub fn add(&self, n: i64) -> i64 {
        self.0.fetch_add(n, Ordering::Relaxed) + n
    }
    pub fn pid(&self) -> u32 {
        std::process::id()
    }
    pub fn fail(&self) -> mp::Result<()> {
        mp::bail!("no such luck")
    }
    pub fn child(&self) -> mp::Managed<Counter> {
        mp::managed(Counter(AtomicI64::new(100)))
    }
}

#[test]
fn a_counter_lives_in_another_process() {
    let server = mp::ServerProcess::start().unwrap();
    assert_eq!(server.debug_info().unwrap(), []);
    let counter = server.create(Counter::args(5)).unwrap();
    assert_eq!(counter.add(3).unwrap(), 8);
    assert_eq!(counter.pid().unwrap(), server.pid());
    let error = counter.fail().unwrap_err();
    assert_eq!(error.to_string(), "no such luck");
    println!("{error:?}");
    let child = counter.child().unwrap();
    assert_eq!(child.add(1).unwrap(), 101);
    println!("{:?}", server.debug_info().unwrap());
    let p =
        mp::Process::start(|counter: CounterProxy| Ok(counter.add(1)?), (child.clone(),)).unwrap();
    drop(child);
    assert_eq!(p.into_result().unwrap(), 102);
    assert_eq!(server.debug_info().unwrap().len(), 1);
    drop(counter);
    assert_eq!(server.debug_info().unwrap(), []);
    server.shutdown().unwrap();
    assert_eq!(server.exitcode(), Some(0));
}
