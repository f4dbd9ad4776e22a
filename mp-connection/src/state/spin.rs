//! Whether to look for a message a little longer before going to sleep.
//!
//! A message to a process that looks for it on another processor takes a few microseconds, one to a process that
//! sleeps ten times that, because an idle processor has to wake up; where both share a processor, looking only
//! keeps the other from running. So each end remembers whether looking has paid off lately, and an attempt now and
//! then finds out whether that has changed. The locks of `mp-sync` do likewise, in shared memory.

/// What a success adds to the credit, of which a failure takes one: one in three must succeed.
const SUCCESS: u8 = 2;
/// The highest credit: after so many failures in a row nobody looks.
const MAX_CREDIT: u8 = 16;

/// What an end remembers of its waits.
#[derive(Debug, Default)]
pub(crate) struct Spin {
    credit: u8,
    waits: u32,
}

impl Spin {
    /// Whether this wait is one to look for a while, which is one in `attempt` if that has not paid off.
    pub(crate) fn begin(&mut self, attempt: u32) -> bool {
        let is_attempt = self.waits.is_multiple_of(attempt);
        self.waits = self.waits.wrapping_add(1);
        self.credit > 0 || is_attempt
    }

    /// Takes note of how that ended.
    pub(crate) fn end(&mut self, has_paid_off: bool) {
        self.credit = if has_paid_off {
            (self.credit + SUCCESS).min(MAX_CREDIT)
        } else {
            self.credit.saturating_sub(1)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTEMPT: u32 = 256;

    /// How many of so many waits look.
    fn looks(spin: &mut Spin, waits: u32, mut pays_off: impl FnMut() -> bool) -> u32 {
        let mut looks = 0;
        for _ in 0..waits {
            if spin.begin(ATTEMPT) {
                looks += 1;
                spin.end(pays_off());
            }
        }
        looks
    }

    #[test]
    fn what_never_pays_off_is_tried_now_and_then() {
        assert_eq!(looks(&mut Spin::default(), 3 * ATTEMPT, || false), 3);
    }

    #[test]
    fn what_pays_off_goes_on_and_stops_soon_when_it_does_not() {
        let mut spin = Spin::default();
        assert_eq!(looks(&mut spin, 3 * ATTEMPT, || true), 3 * ATTEMPT);
        let vain = looks(&mut spin, ATTEMPT - 1, || false);
        assert!(vain <= u32::from(MAX_CREDIT) + 1, "{vain}");
    }

    #[test]
    fn one_success_in_three_is_enough() {
        let mut spin = Spin::default();
        assert_eq!(looks(&mut spin, 2, || true), 2);
        let mut number = 0;
        let one_in_three = || {
            number += 1;
            number % 3 == 0
        };
        assert_eq!(looks(&mut spin, 3 * ATTEMPT, one_in_three), 3 * ATTEMPT);
    }
}
