//! Timeouts as points in time, so that an early wake-up never stretches a wait.

use std::time::{Duration, Instant};

/// The end of `timeout` from now on; `None` if it lies beyond what a clock can show.
pub fn after(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

/// Whether the deadline has come.
pub fn has_passed(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| deadline <= Instant::now())
}

/// When a sleeper looks around by itself: soon at first, then less and less often.
///
/// It is woken for everything that happens; it looks for what nobody can wake it for: that
/// another process was killed.
#[derive(Debug)]
pub struct Looks {
    interval: Duration,
    longest: Duration,
    is_first: bool,
}

impl Looks {
    const SHORTEST: Duration = Duration::from_millis(2);

    fn new(interval: Duration, longest: Duration) -> Looks {
        Looks { interval, longest, is_first: true }
    }

    /// For a sleeper who needs another process to live on, the owner of a lock say.
    pub fn at_others() -> Looks {
        Looks::new(Looks::SHORTEST, Duration::from_millis(64))
    }

    /// For a sleeper who needs nobody in particular: it can miss something only if its waker
    /// is killed between storing and waking.
    pub fn at_word() -> Looks {
        Looks::new(16 * Looks::SHORTEST, Duration::from_millis(128))
    }

    /// For a sleeper who is told, and woken, when a process that could have woken it has died: some looks while what was
    /// used lately may be put away, and hardly any later.
    pub fn when_told() -> Looks {
        Looks::new(16 * Looks::SHORTEST, Duration::from_secs(3600))
    }

    /// The next look, or the deadline if that comes first.
    pub fn next(&mut self, deadline: Option<Instant>) -> Option<Instant> {
        // A model has no clock.
        if cfg!(mp_loom) {
            return None;
        }
        if std::mem::take(&mut self.is_first) {
            crate::waiting::begin(deadline.is_some());
        }
        let look = Instant::now() + self.interval;
        self.interval = (2 * self.interval).min(self.longest);
        Some(deadline.map_or(look, |deadline| deadline.min(look)))
    }
}
