//! Tasks with a time limit. A hard one ends the work, whatever it does, with all programs that it has started; a soft one asks
//! the task to come to an end with what it has.

use std::process::Command;
use std::time::{Duration, Instant};

/// Never ends by itself, and has started something that does not either.
fn hang(_job: u32) -> mp::Result<()> {
    Command::new("sleep").arg("1000").status()?;
    Ok(())
}

/// Approximates π with as many terms as there is time for.
fn approximate() -> mp::Result<(u64, f64)> {
    let (mut terms, mut sum) = (0_u64, 0.0);
    while !mp::current_task().is_some_and(|task| task.should_stop()) {
        for _ in 0..1000 {
            let sign = if terms.is_multiple_of(2) { 4.0 } else { -4.0 };
            sum += sign / (2 * terms + 1) as f64;
            terms += 1;
        }
    }
    Ok((terms, sum))
}

#[mp::main]
fn main() -> mp::Result<()> {
    let pool = mp::Pool::new(2)?;

    let begun = Instant::now();
    let options = mp::TaskOptions::new().timeout(Duration::from_millis(200));
    for outcome in pool.with_options(options).imap(hang, 0..2)? {
        mp::ensure!(matches!(outcome, Err(mp::PoolError::TimedOut)), "{outcome:?}");
    }
    println!("two tasks that hang were ended after {:.1?}", begun.elapsed());

    let options = mp::TaskOptions::new().soft_timeout(Duration::from_millis(100));
    let (terms, sum) = pool.with_options(options).apply(approximate, ())?;
    println!("{terms} terms give {sum}");
    mp::ensure!((sum - std::f64::consts::PI).abs() < 0.01, "too few terms: {sum}");
    Ok(())
}
