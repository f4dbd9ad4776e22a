//! x
mp::enable_test_support!();
#[test]
fn a() {
    let l = mp::Lock::new().unwrap();
    mp::Process::start(|l: mp::Lock| Ok(drop(l.acquire()?)), (l,)).unwrap().join().unwrap();
}
