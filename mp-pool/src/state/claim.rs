//! The claim on a task that is on its way: one word, which the pool and the workers see.
//!
//! | word | meaning | who makes it so |
//! |---|---|---|
//! | free | nothing is here | the pool |
//! | queued, ticket | the message with this ticket may be claimed | the pool |
//! | claimed, worker | the worker has it in hand and has run nothing of it | the worker, from queued |
//! | started, worker | the worker runs it | the worker, from claimed |
//! | finished, worker | it ran, and its outcome is put next | the worker, from started |
//! | condemned, worker | the worker is killed for it, and touches nothing else any more | the pool, from claimed or started |
//!
//! A message is claimed before it is taken off its queue. Whoever finds one that it cannot claim, for it was
//! cancelled, or claimed by a worker that was killed before it had taken it off, throws it away.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

const STATE_BITS: u32 = 3;
/// Tickets and numbers of workers are taken modulo this.
pub(crate) const NUMBERS: u32 = 1 << (u32::BITS - STATE_BITS);

/// What is known of a task that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Free,
    /// By ticket.
    Queued(u32),
    /// By number of the worker, as all others.
    Claimed(u32),
    Started(u32),
    Finished(u32),
    Condemned(u32),
}

impl Claim {
    fn to_word(self) -> u32 {
        let (state, number) = match self {
            Claim::Free => (0, 0),
            Claim::Queued(ticket) => (1, ticket),
            Claim::Claimed(worker) => (2, worker),
            Claim::Started(worker) => (3, worker),
            Claim::Finished(worker) => (4, worker),
            Claim::Condemned(worker) => (5, worker),
        };
        number << STATE_BITS | state
    }

    /// Of a word that others store to; what is none of these says that nothing is here.
    fn from_word(word: u32) -> Claim {
        let number = word >> STATE_BITS;
        match word & ((1 << STATE_BITS) - 1) {
            1 => Claim::Queued(number),
            2 => Claim::Claimed(number),
            3 => Claim::Started(number),
            4 => Claim::Finished(number),
            5 => Claim::Condemned(number),
            _ => Claim::Free,
        }
    }

    /// The worker that has the task.
    pub(crate) fn worker(self) -> Option<u32> {
        match self {
            Claim::Free | Claim::Queued(_) => None,
            Claim::Claimed(worker)
            | Claim::Started(worker)
            | Claim::Finished(worker)
            | Claim::Condemned(worker) => Some(worker),
        }
    }
}

/// The atomic in shared memory, or that of a model.
pub(crate) trait Word: Copy {
    fn load(self) -> u32;
    fn store(self, value: u32);
    fn change(self, from: u32, to: u32) -> bool;
}

macro_rules! words {
    ($($atomic:ty),*) => {
        $(impl Word for &$atomic {
            fn load(self) -> u32 {
                <$atomic>::load(self, Acquire)
            }

            fn store(self, value: u32) {
                <$atomic>::store(self, value, Release);
            }

            fn change(self, from: u32, to: u32) -> bool {
                self.compare_exchange(from, to, AcqRel, Relaxed).is_ok()
            }
        })*
    };
}

words!(AtomicU32);
#[cfg(all(test, mp_loom))]
words!(loom::sync::atomic::AtomicU32);

/// The word of one task.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimWord<W>(pub(crate) W);

impl<W: Word> ClaimWord<W> {
    pub(crate) fn get(self) -> Claim {
        Claim::from_word(self.0.load())
    }

    fn change(self, from: Claim, to: Claim) -> bool {
        self.0.change(from.to_word(), to.to_word())
    }

    /// The pool offers a message, before it puts it.
    pub(crate) fn offer(self, ticket: u32) {
        self.0.store(Claim::Queued(ticket).to_word());
    }

    /// The pool takes the message back; fails if it was claimed.
    pub(crate) fn withdraw(self, ticket: u32) -> bool {
        self.change(Claim::Queued(ticket), Claim::Free)
    }

    /// A worker takes the message; fails if it was withdrawn, or claimed by another.
    pub(crate) fn claim(self, ticket: u32, worker: u32) -> bool {
        self.change(Claim::Queued(ticket), Claim::Claimed(worker))
    }

    /// The worker is about to run the task; fails if it is condemned.
    pub(crate) fn start(self, worker: u32) -> bool {
        self.change(Claim::Claimed(worker), Claim::Started(worker))
    }

    /// The worker has run the task; fails if it is condemned.
    pub(crate) fn finish(self, worker: u32) -> bool {
        self.change(Claim::Started(worker), Claim::Finished(worker))
    }

    /// The pool kills whoever has the task, and nobody who has done with it: the worker to kill.
    pub(crate) fn condemn(self) -> Option<u32> {
        loop {
            let now = self.get();
            let (Claim::Claimed(worker) | Claim::Started(worker)) = now else { return None };
            if self.change(now, Claim::Condemned(worker)) {
                return Some(worker);
            }
        }
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_claim_comes_out_as_it_went_in() {
        for number in [0, 1, 7, NUMBERS - 1] {
            for claim in [
                Claim::Queued(number),
                Claim::Claimed(number),
                Claim::Started(number),
                Claim::Finished(number),
                Claim::Condemned(number),
            ] {
                assert_eq!(Claim::from_word(claim.to_word()), claim);
            }
        }
        assert_eq!(Claim::from_word(0), Claim::Free);
        assert_eq!(Claim::from_word(6), Claim::Free);
    }

    #[test]
    fn each_move_is_made_from_one_state_only() {
        let word = AtomicU32::new(0);
        let word = ClaimWord(&word);
        assert!(!word.claim(5, 1));
        word.offer(5);
        assert!(!word.claim(4, 1), "another ticket");
        assert!(word.claim(5, 1));
        assert!(!word.claim(5, 2) && !word.withdraw(5) && !word.finish(1) && !word.start(2));
        assert!(word.start(1));
        assert_eq!(word.condemn(), Some(1));
        assert_eq!((word.condemn(), word.finish(1)), (None, false));
        assert_eq!((word.get(), word.get().worker()), (Claim::Condemned(1), Some(1)));
        word.offer(6);
        assert!(word.withdraw(6));
        assert!(!word.claim(6, 1));
        assert_eq!(word.condemn(), None);
    }
}

#[cfg(all(test, mp_loom))]
mod loom_tests {
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;

    use super::*;

    /// One message, two workers that see it, and a pool that withdraws or condemns it meanwhile.
    #[test]
    fn a_task_is_run_by_one_worker_at_most_and_delivered_or_condemned_but_not_both() {
        loom::model(|| {
            let word = Arc::new(AtomicU32::new(0));
            ClaimWord(&*word).offer(3);
            let workers = [1, 2].map(|me| {
                let word = Arc::clone(&word);
                thread::spawn(move || {
                    let word = ClaimWord(&*word);
                    let runs = word.claim(3, me) && word.start(me);
                    (runs, runs && word.finish(me))
                })
            });
            let withdrawn = ClaimWord(&*word).withdraw(3);
            let condemned = ClaimWord(&*word).condemn();
            let ends = workers.map(|worker| worker.join().expect("the model's thread ends"));
            let runs = ends.iter().filter(|(runs, _)| *runs).count();
            let delivered = ends.iter().filter(|(_, delivered)| *delivered).count();
            assert!(runs <= 1);
            assert!(!withdrawn || runs == 0);
            assert_eq!(usize::from(withdrawn) + usize::from(condemned.is_some()) + delivered, 1);
        });
    }
}
