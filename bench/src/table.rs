//! The table `case | ours | other | ratio | spread | wanted`: what is shown, and whether it holds.

use std::fmt::Display;
use std::time::Duration;

use crate::pair::{Measured, Pairs};

/// What is promised for a case.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    /// Ours takes at most so many times what the other takes.
    TimesAtMost(f64),
    /// Ours is at least so many times as fast as the other.
    FasterTimes(f64),
    /// Ours takes at most so long, whatever the other takes.
    AtMost(Duration),
}

/// How a measured time is shown.
#[derive(Clone, Copy)]
pub(crate) enum Shown {
    Time,
    /// How often it fits into a second.
    Rate,
    /// What was measured are so many, and the time of one is shown.
    OneOf(u32),
    /// What part of this time it is.
    ShareOf(Duration),
}

pub(crate) fn print_head() {
    println!();
    print_line("case", "ours", "other", "ratio", "spread", "wanted");
    print_line("---", "---", "---", "---", "---", "---");
}

pub(crate) fn print_legend() {
    println!();
    println!(
        "ours, other: medians of pairs measured alternately in this run; of starts a side of a pair"
    );
    println!("is the median of a turn of some starts, after one that does not count");
    println!("ratio, spread: median and interquartile range of the ratios of the pairs");
    println!("'of other': our time / the other's; 'x faster': the other's time / ours");
}

pub(crate) fn print_row(case: &str, shown: Shown, wanted: Wanted, measured: &Measured) {
    let pairs = match measured {
        Measured::Pairs(pairs) => pairs,
        Measured::Skipped(reason) => {
            return print_line(
                case,
                "-",
                "-",
                "-",
                "-",
                format!("{}: {reason}", wanted.text(shown)),
            );
        }
    };
    let (ratio, word) = match wanted {
        Wanted::TimesAtMost(_) => (pairs.ours_to_other(), "of other"),
        Wanted::FasterTimes(_) | Wanted::AtMost(_) => (pairs.other_to_ours(), "x faster"),
    };
    let verdict = if wanted.holds(pairs) { "holds" } else { "MISSED" };
    print_line(
        case,
        shown.text(pairs.ours()),
        shown.text(pairs.other()),
        format!("{:.2} {word}", ratio.median),
        format!("{:.2} to {:.2}", ratio.low, ratio.high),
        format!("{}: {verdict}", wanted.text(shown)),
    );
}

fn print_line(
    case: &str,
    ours: impl Display,
    other: impl Display,
    ratio: impl Display,
    spread: impl Display,
    wanted: impl Display,
) {
    println!("{case:<33} | {ours:>9} | {other:>9} | {ratio:>14} | {spread:>14} | {wanted}");
}

impl Wanted {
    fn holds(self, pairs: &Pairs) -> bool {
        match self {
            Wanted::TimesAtMost(times) => pairs.ours_to_other().median <= times,
            Wanted::FasterTimes(times) => pairs.other_to_ours().median >= times,
            Wanted::AtMost(limit) => pairs.ours() <= limit.as_secs_f64(),
        }
    }

    fn text(self, shown: Shown) -> String {
        match self {
            Wanted::TimesAtMost(times) => format!("<= {times} of other"),
            Wanted::FasterTimes(times) => format!(">= {times} x faster"),
            Wanted::AtMost(limit) => format!("ours <= {}", shown.text(limit.as_secs_f64())),
        }
    }
}

impl Shown {
    fn text(self, time: f64) -> String {
        match self {
            Shown::Time => seconds(time),
            Shown::OneOf(calls) => seconds(time / f64::from(calls)),
            Shown::Rate => format!("{} k/s", three_digits(1e-3 / time)),
            Shown::ShareOf(whole) => format!("{:.4} %", 100.0 * time / whole.as_secs_f64()),
        }
    }
}

fn seconds(time: f64) -> String {
    match time {
        ..1e-6 => format!("{} ns", three_digits(time * 1e9)),
        ..1e-3 => format!("{} µs", three_digits(time * 1e6)),
        _ => format!("{} ms", three_digits(time * 1e3)),
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_and_a_rate_keep_three_digits_and_their_unit() {
        let times = [6.4e-7, 1.5e-6, 13.04e-6, 8.12e-4, 1.354e-3, 71.46e-3].map(seconds);
        assert_eq!(times, ["640 ns", "1.50 µs", "13.0 µs", "812 µs", "1.35 ms", "71.5 ms"]);
        assert_eq!(Shown::Rate.text(2e-6), "500 k/s");
        assert_eq!(Shown::ShareOf(Duration::from_secs(2)).text(2e-3), "0.1000 %");
    }

    #[test]
    fn what_is_wanted_is_judged_in_its_own_direction() {
        let millis = Duration::from_millis;
        let pairs = |ours, other| {
            let measured = Pairs::measure(1, 3, || Ok(millis(ours)), || Ok(millis(other)));
            let Ok(Measured::Pairs(pairs)) = measured else { panic!("nothing was measured") };
            pairs
        };
        assert!(Wanted::TimesAtMost(1.5).holds(&pairs(3, 2)));
        assert!(!Wanted::TimesAtMost(1.4).holds(&pairs(3, 2)));
        assert!(Wanted::FasterTimes(35.0).holds(&pairs(2, 70)));
        assert!(!Wanted::FasterTimes(35.0).holds(&pairs(70, 2)));
        assert!(Wanted::AtMost(millis(3)).holds(&pairs(3, 2)));
        assert!(!Wanted::AtMost(millis(2)).holds(&pairs(3, 2)));
    }
}
