//! Pairs: two things measured alternately in one run, so that what disturbs the machine disturbs both.

use std::time::{Duration, Instant};

/// What came of a case.
pub(crate) enum Measured {
    Pairs(Pairs),
    /// Why nothing was measured.
    Skipped(String),
}

/// The times of the two sides, round by round; never empty.
pub(crate) struct Pairs(Vec<(Duration, Duration)>);

/// The median, and the range that the middle half of the values lies in.
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Pairs {
    /// Measures ours, other, ours, other, …; the first `warm_up` rounds are not kept.
    pub(crate) fn measure(
        warm_up: usize,
        rounds: usize,
        mut ours: impl FnMut() -> mp::Result<Duration>,
        mut other: impl FnMut() -> mp::Result<Duration>,
    ) -> mp::Result<Measured> {
        mp::ensure!(rounds > 0, "no rounds to measure");
        let mut pairs = Vec::with_capacity(rounds);
        for round in 0..warm_up + rounds {
            let pair = (ours()?, other()?);
            if round >= warm_up {
                pairs.push(pair);
            }
        }
        Ok(Measured::Pairs(Pairs(pairs)))
    }

    /// The median of our times, in seconds.
    pub(crate) fn ours(&self) -> f64 {
        Spread::of(self.0.iter().map(|(ours, _)| ours.as_secs_f64())).median
    }

    /// The median of the other's times, in seconds.
    pub(crate) fn other(&self) -> f64 {
        Spread::of(self.0.iter().map(|(_, other)| other.as_secs_f64())).median
    }

    /// How many times what the other takes we take, pair by pair.
    pub(crate) fn ours_to_other(&self) -> Spread {
        Spread::of(self.0.iter().map(|(ours, other)| ours.as_secs_f64() / other.as_secs_f64()))
    }

    /// How many times what we take the other takes, pair by pair.
    pub(crate) fn other_to_ours(&self) -> Spread {
        Spread::of(self.0.iter().map(|(ours, other)| other.as_secs_f64() / ours.as_secs_f64()))
    }
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_by(f64::total_cmp);
        let quartile = |n: usize| sorted[(sorted.len() - 1) * n / 4];
        Spread { low: quartile(1), median: quartile(2), high: quartile(3) }
    }
}

/// How long a call takes.
pub(crate) fn time(call: impl FnOnce() -> mp::Result<()>) -> mp::Result<Duration> {
    let begin = Instant::now();
    call()?;
    Ok(begin.elapsed())
}

/// The median of several calls, after one that does not count: it finds the caches full of what the
/// other side left there.
pub(crate) fn turn(
    calls: usize,
    mut measure: impl FnMut() -> mp::Result<Duration>,
) -> mp::Result<Duration> {
    measure()?;
    let times = (0..calls).map(|_| measure()).collect::<mp::Result<_>>()?;
    median(times).ok_or_else(|| mp::Error::msg("a turn of no calls"))
}

/// The middle one of some times, of which there must be one.
pub(crate) fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort();
    times.get(times.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_the_middle_half() {
        let Spread { median, low, high } = Spread::of([9.0, 1.0, 5.0, 3.0, 7.0].into_iter());
        assert_eq!([low, median, high], [3.0, 5.0, 7.0]);
    }

    #[test]
    fn the_sides_alternate_and_the_warm_up_is_not_kept() {
        let order = std::cell::RefCell::new(Vec::new());
        let side = |name| {
            order.borrow_mut().push(name);
            Ok(Duration::from_millis(order.borrow().len() as u64))
        };
        let Ok(Measured::Pairs(pairs)) = Pairs::measure(1, 1, || side('a'), || side('b')) else {
            panic!("nothing was measured");
        };
        assert_eq!(*order.borrow(), ['a', 'b', 'a', 'b']);
        assert_eq!(pairs.0, [(Duration::from_millis(3), Duration::from_millis(4))]);
    }
}
