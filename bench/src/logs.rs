//! Log records of a child: how many the parent handles in a second, and what one costs the child.

use std::fmt::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use log::{LevelFilter, Log, Metadata, Record};

use crate::pair::{Measured, Pairs, median, time};
use crate::python::{self, Peer};

/// So many that the start of a child, which is timed with them, hardly counts on either side.
const RECORDS: u32 = 50_000;
const BURSTS: u32 = 50;
const BURST: u32 = 100;
const ROUNDS: usize = 5;
const COST_ROUNDS: usize = 15;

static COUNTER: Counter = Counter(Mutex::new(Handled { count: 0, last: String::new() }));

/// Formats each record and counts it, as the handlers of the peers do.
struct Counter(Mutex<Handled>);

struct Handled {
    count: u32,
    last: String,
}

impl Log for Counter {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if let Ok(mut handled) = self.0.lock() {
            handled.last.clear();
            let (level, target) = (record.level(), record.target());
            // Writing to a string never fails.
            let _written = write!(handled.last, "{level} {target} {}", record.args());
            handled.count += 1;
        }
    }

    fn flush(&self) {}
}

impl Counter {
    /// Checks that all records have been handled and forgets them.
    fn check(&self, expected: u32, last_number: u32) -> mp::Result<()> {
        let Ok(mut handled) = self.0.lock() else { mp::bail!("the logger panicked") };
        let count = std::mem::take(&mut handled.count);
        mp::ensure!(count == expected, "{count} of {expected} log records were handled");
        let last = format!("INFO bench record number {last_number} of a child");
        mp::ensure!(handled.last == last, "the last log record is '{}'", handled.last);
        Ok(())
    }
}

/// Sets the logger of the parent; a child never comes here.
pub(crate) fn install() {
    if log::set_logger(&COUNTER).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

fn log_all(records: u32) -> mp::Result<()> {
    for i in 0..records {
        log::info!(target: "bench", "record number {i} of a child");
    }
    Ok(())
}

fn log_bursts(bursts: u32) -> mp::Result<Duration> {
    let mut costs = Vec::new();
    for _ in 0..bursts {
        std::thread::sleep(Duration::from_millis(2));
        let begin = Instant::now();
        log_all(BURST)?;
        costs.push(begin.elapsed() / BURST);
    }
    median(costs).ok_or_else(|| mp::Error::msg("no bursts to measure"))
}

/// From the start of a child until its records are handled and it is joined, per record.
fn throughput() -> mp::Result<Duration> {
    let elapsed = time(|| Ok(mp::Process::start(log_all, (RECORDS,))?.join()?))?;
    COUNTER.check(RECORDS, RECORDS - 1)?;
    Ok(elapsed / RECORDS)
}

fn throughput_of(peer: &mut Peer) -> mp::Result<Measured> {
    let request = format!("throughput {RECORDS}");
    Pairs::measure(1, ROUNDS, throughput, || Ok(peer.ask(&request)? / RECORDS))
}

pub(crate) fn against_queue_handler() -> mp::Result<Measured> {
    let Some(python) = python::plain() else {
        return Ok(Measured::Skipped("python3 not installed".to_owned()));
    };
    throughput_of(&mut Peer::start(&python, "queue_logs.py")?)
}

pub(crate) fn against_mpservice() -> mp::Result<Measured> {
    let Some(python) = python::with_package("mpservice") else {
        return Ok(Measured::Skipped("mpservice not installed".to_owned()));
    };
    throughput_of(&mut Peer::start(&python, "mpservice_logs.py")?)
}

pub(crate) fn child_cost() -> mp::Result<Measured> {
    let Some(python) = python::plain() else {
        return Ok(Measured::Skipped("python3 not installed".to_owned()));
    };
    let mut peer = Peer::start(&python, "queue_logs.py")?;
    let ours = || {
        let cost = *mp::Process::start(log_bursts, (BURSTS,))?.result()?;
        COUNTER.check(BURSTS * BURST, BURST - 1)?;
        Ok(cost)
    };
    let request = format!("child_cost {BURSTS}");
    Pairs::measure(1, COST_ROUNDS, ours, || peer.ask(&request))
}
