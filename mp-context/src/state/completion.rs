//! The end of one worker, and the threads that wait for it or for the first of many.
//!
//! A [`Completion`] happens once. Whoever waits for one worker sleeps on it; whoever waits for
//! several registers a [`Watcher`] with each and sleeps on that. Registering tells whether the end
//! came before, under the lock under which the end is announced, so none is lost between.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use mp_sync::parts::has_passed;

use crate::prim::{Condvar, Mutex, lock, wait};

/// The end of one worker.
#[derive(Debug)]
pub struct Completion {
    state: Mutex<State>,
    ended: Condvar,
}

struct State {
    end: Option<End>,
    watchers: Vec<(usize, Arc<Watcher>)>,
    /// Called with the end.
    hooks: Vec<Hook>,
}

type Hook = Box<dyn FnOnce(End) + Send>;

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { end, watchers, hooks } = self;
        write!(f, "{end:?}, {} watchers, {} hooks", watchers.len(), hooks.len())
    }
}

/// How a worker ended, as far as waiting is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Whether it ended other than by returning a value.
    pub failed: bool,
}

/// Collects the ends of several workers for one waiting thread.
#[derive(Debug)]
pub struct Watcher {
    ended: Mutex<Vec<(usize, End)>>,
    changed: Condvar,
}

impl Default for Completion {
    fn default() -> Completion {
        Completion::new()
    }
}

impl Completion {
    /// Of a worker that runs.
    pub fn new() -> Completion {
        let state = State { end: None, watchers: Vec::new(), hooks: Vec::new() };
        Completion { state: Mutex::new(state), ended: Condvar::new() }
    }

    /// Announces the end; only the first call counts.
    pub fn complete(&self, end: End) {
        let mut state = lock(&self.state);
        if state.end.is_some() {
            return;
        }
        state.end = Some(end);
        let watchers = std::mem::take(&mut state.watchers);
        let hooks = std::mem::take(&mut state.hooks);
        drop(state);
        self.ended.notify_all();
        for hook in hooks {
            hook(end);
        }
        for (key, watcher) in watchers {
            watcher.push(key, end);
        }
    }

    /// How the worker ended, if it has.
    pub fn end(&self) -> Option<End> {
        lock(&self.state).end
    }

    /// Sleeps until the end, at most until `deadline`.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<End> {
        let mut state = lock(&self.state);
        while state.end.is_none() && !has_passed(deadline) {
            state = wait(&self.ended, state, deadline);
        }
        state.end
    }

    /// Has `watcher` told of the end under `key`, unless that has come: then it is returned.
    pub fn watch(&self, key: usize, watcher: &Arc<Watcher>) -> Option<End> {
        let mut state = lock(&self.state);
        if state.end.is_none() {
            state.watchers.push((key, Arc::clone(watcher)));
        }
        state.end
    }

    /// Has `hook` called with the end, by the thread that announces it, which it must not keep; at once if the end has
    /// come.
    pub fn on_end(&self, hook: impl FnOnce(End) + Send + 'static) {
        let mut state = lock(&self.state);
        match state.end {
            None => state.hooks.push(Box::new(hook)),
            Some(end) => {
                drop(state);
                hook(end);
            }
        }
    }

    /// Forgets `watcher`.
    pub fn unwatch(&self, watcher: &Arc<Watcher>) {
        lock(&self.state).watchers.retain(|(_, other)| !Arc::ptr_eq(other, watcher));
    }
}

impl Watcher {
    pub(crate) fn new() -> Arc<Watcher> {
        Arc::new(Watcher { ended: Mutex::new(Vec::new()), changed: Condvar::new() })
    }

    fn push(&self, key: usize, end: End) {
        lock(&self.ended).push((key, end));
        self.changed.notify_all();
    }

    /// The ends that came since the last call, in their order; sleeps while there are none, at most
    /// until `deadline`.
    pub(crate) fn take(&self, deadline: Option<Instant>) -> Vec<(usize, End)> {
        let mut ended = lock(&self.ended);
        while ended.is_empty() && !has_passed(deadline) {
            ended = wait(&self.changed, ended, deadline);
        }
        std::mem::take(&mut *ended)
    }
}

#[cfg(all(test, mp_loom))]
mod loom_tests {
    use loom::thread;

    use super::*;

    const OK: End = End { failed: false };

    #[test]
    fn w_16_no_end_is_lost_while_a_watcher_is_installed() {
        loom::model(|| {
            let workers = [(); 2].map(|()| Arc::new(Completion::new()));
            let enders = workers.clone().map(|w| thread::spawn(move || w.complete(OK)));
            let watcher = Watcher::new();
            let mut seen = workers
                .iter()
                .enumerate()
                .filter_map(|(key, worker)| worker.watch(key, &watcher).map(|end| (key, end)))
                .collect::<Vec<_>>();
            while seen.len() < workers.len() {
                seen.extend(watcher.take(None));
            }
            seen.sort_by_key(|(key, _)| *key);
            assert_eq!(seen, [(0, OK), (1, OK)]);
            for ender in enders {
                ender.join().expect("the model's thread ends");
            }
        });
    }

    #[test]
    fn every_sleeper_wakes_and_the_first_end_stays() {
        loom::model(|| {
            let worker = Arc::new(Completion::new());
            let sleeper = thread::spawn({
                let worker = Arc::clone(&worker);
                move || worker.wait(None)
            });
            worker.complete(OK);
            worker.complete(End { failed: true });
            assert_eq!(worker.wait(None), Some(OK));
            assert_eq!(sleeper.join().expect("the model's thread ends"), Some(OK));
        });
    }
}

#[cfg(all(test, not(mp_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_called_once_whether_it_comes_before_the_end_or_after() {
        let (worker, (told, ends)) = (Completion::new(), std::sync::mpsc::channel());
        let hook = || {
            let told = told.clone();
            move |end| told.send(end).expect("the test listens")
        };
        worker.on_end(hook());
        assert!(ends.try_recv().is_err());
        worker.complete(End { failed: true });
        worker.complete(End { failed: false });
        worker.on_end(hook());
        drop(told);
        assert_eq!(ends.iter().collect::<Vec<_>>(), [End { failed: true }; 2]);
    }

    #[test]
    fn an_end_before_the_watch_is_told_at_once_and_unwatching_forgets() {
        let (early, late) = (Completion::new(), Completion::new());
        let watcher = Watcher::new();
        early.complete(End { failed: true });
        assert_eq!(early.watch(0, &watcher), Some(End { failed: true }));
        assert_eq!(late.watch(1, &watcher), None);
        late.unwatch(&watcher);
        late.complete(End { failed: false });
        assert_eq!(watcher.take(Some(Instant::now())), []);
    }
}
