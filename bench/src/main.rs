use std::time::Instant;
use std::process::{Command, Stdio};

fn floor() {
    let mut c = Command::new("/proc/self/exe");
    c.arg("--exit").stdin(Stdio::null());
    assert!(c.spawn().unwrap().wait().unwrap().success());
}
fn ours() {
    let p = mp::Process::start(|| Ok(7u32), ()).unwrap();
    assert_eq!(*p.result().unwrap(), 7);
}
fn peer() {
    let h = procspawn::spawn((), |()| 7u32);
    assert_eq!(h.join().unwrap(), 7);
}
fn time(f: fn()) -> f64 { let t = Instant::now(); f(); t.elapsed().as_secs_f64()*1e6 }
fn med(v: &mut Vec<f64>) -> f64 { v.sort_by(f64::total_cmp); v[v.len()/2] }
struct Null(std::sync::atomic::AtomicU64);
impl log::Log for Null { fn enabled(&self,_:&log::Metadata)->bool{true} fn log(&self,r:&log::Record){ let s=r.args().to_string(); std::hint::black_box(s); self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);} fn flush(&self){} }
static NULL: Null = Null(std::sync::atomic::AtomicU64::new(0));
fn logs(n: u32) -> mp::Result<f64> {
    let t = Instant::now();
    for i in 0..n { log::info!("record number {i} of a child"); }
    Ok(t.elapsed().as_secs_f64()*1e9/f64::from(n))
}
fn bursts(n: u32) -> mp::Result<f64> {
    let mut v = vec![];
    for _ in 0..n { 
        std::thread::sleep(std::time::Duration::from_millis(2));
        let t = Instant::now();
        for i in 0..100 { log::info!("record number {i} of a child"); }
        v.push(t.elapsed().as_secs_f64()*1e9/100.0);
    }
    Ok(med(&mut v))
}
fn main() {
    if std::env::args().nth(1).as_deref() == Some("--exit") { return; }
    mp::init();
    procspawn::init();
    log::set_logger(&NULL).unwrap(); log::set_max_level(log::LevelFilter::Info);
    let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
    for _ in 0..20 { floor(); ours(); peer(); }
    for _ in 0..std::env::args().nth(1).map_or(300, |n| n.parse().unwrap()) { a.push(time(floor)); b.push(time(ours)); c.push(time(peer)); }
    let (a,b,c)=(med(&mut a),med(&mut b),med(&mut c));
    println!("floor {a:.0} ours {b:.0} ({:.2}) procspawn {c:.0} ({:.2})", b/a, c/a);
    for _ in 0..5 {
    let t = Instant::now();
    let n = 200_000;
    let p = mp::Process::start(logs, (n,)).unwrap();
    let child = *p.result().unwrap();
    println!("log: handled {:.2} us/record, child {:.2} us", t.elapsed().as_secs_f64()*1e6/f64::from(n), child/1e3);
    }
    println!("bursts of 100: {:.0} ns", mp::Process::start(bursts, (500,)).unwrap().into_result().unwrap());
    println!("{}", NULL.0.load(std::sync::atomic::Ordering::Relaxed));
}
