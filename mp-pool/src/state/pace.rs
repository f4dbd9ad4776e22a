//! Whether to let reports gather: worth its while when they come many at a time, and a waste of wake-ups when tasks are long.

/// So many that have gathered make it worth while.
const WORTH: usize = 4;
/// After failures in a row, at most so many doublings of the waits without a trial.
const MOST_DOUBLINGS: u32 = 7;

/// What trials have brought lately.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    failures: u32,
    /// Before the next trial.
    skips: u32,
}

impl Pace {
    /// Whether to let reports gather now.
    pub(crate) fn may_gather(&mut self) -> bool {
        let is_trial = self.skips == 0;
        self.skips = self.skips.saturating_sub(1);
        is_trial
    }

    /// How many had gathered.
    pub(crate) fn gathered(&mut self, reports: usize) {
        if reports >= WORTH {
            self.failures = 0;
        } else {
            self.failures = (self.failures + 1).min(MOST_DOUBLINGS);
            self.skips = 1 << self.failures;
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;

    #[test]
    fn reports_gather_as_long_as_that_pays_and_rarely_where_it_does_not() {
        let mut pace = Pace::default();
        for _ in 0..10 {
            assert!(pace.may_gather());
            pace.gathered(WORTH);
        }
        let mut trials = 0;
        for _ in 0..10_000 {
            if pace.may_gather() {
                trials += 1;
                pace.gathered(1);
            }
        }
        assert!((50..150).contains(&trials), "{trials}");
    }
}
