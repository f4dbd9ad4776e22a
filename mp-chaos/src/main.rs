//! Storms over the whole of mp: processes that use everything at once are killed, stopped and starved as a plan says, and
//! after each round what must hold is looked at. See docs/chaos.md.
#![forbid(unsafe_code)]

mod company;
mod holdings;
mod options;
mod plan;
mod report;
mod round;
mod sabotage;
mod scenes;
mod stage;
mod strike;
mod watchdog;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use crate::options::{Options, Rounds};
use crate::report::Tally;
use crate::round::Outcome;

fn main() -> ExitCode {
    mp::init();
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| word == "--help") {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    match Options::parse(&words) {
        Ok(options) => run(&options),
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Plays rounds until the time is over or one fails.
fn run(options: &Options) -> ExitCode {
    // Known also when this is ended from outside.
    eprintln!("seed {}", options.seed);
    // Those whose parents are killed become children of this process, which sees that they end.
    if let Err(error) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
        eprintln!("cannot adopt orphans: {error}");
        return ExitCode::FAILURE;
    }
    if log::set_logger(&scenes::tree::Keeper).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    if let Err(error) = warm_up() {
        eprintln!("not even one process can be started: {error:?}");
        return ExitCode::FAILURE;
    }
    let base = holdings::Holdings::now();
    let (begun, mut tally) = (Instant::now(), Tally::default());
    let rounds: Box<dyn Iterator<Item = u64>> = match options.rounds {
        Rounds::One { round, times } => Box::new((0..times).map(move |_| round)),
        Rounds::For(length) => Box::new((0..).take_while(move |_| begun.elapsed() < length)),
    };
    for round in rounds {
        let plan = plan::plan(options.seed, round, options.only);
        if options.shows_plan {
            println!("{plan:#?}");
        }
        let played = catch_unwind(AssertUnwindSafe(|| round::play(&plan, options, &base)));
        let outcome = played.unwrap_or_else(|_| Outcome::of_problem("the director panicked"));
        tally.add(&outcome);
        if !outcome.problems.is_empty() {
            report::failure(&plan, &outcome, &report::again(&plan, options));
            watchdog::end_descendants();
            println!("{}", tally.line(options.seed, begun.elapsed()));
            return ExitCode::FAILURE;
        }
    }
    println!("{}", tally.line(options.seed, begun.elapsed()));
    ExitCode::SUCCESS
}

/// Uses what a process keeps from its first use on.
fn warm_up() -> mp::Result<()> {
    let queue = mp::Queue::<()>::new()?;
    queue.token()?;
    mp::Process::start(|queue: mp::Queue<()>| Ok(queue.put(&())?), (queue,))?.join()?;
    Ok(())
}
