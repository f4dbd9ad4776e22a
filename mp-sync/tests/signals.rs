//! A signal ends no wait, and its handler may set an event whatever it has interrupted.
#![expect(unsafe_code, reason = "a handler is installed and a timer set")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mp::{Barrier, Condition, Event, Lock, RLock, Semaphore};
use mp_testing::limits::{LONG, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS, disturb};
use mp_testing::roles;
use rustix::process::Signal;

mp::enable_test_support!();

roles!(
    waits_for_a_lock,
    waits_for_an_rlock,
    waits_for_a_permit,
    waits_at_a_condition,
    waits_for_an_event,
    waits_at_a_barrier,
    sets_in_a_handler,
);

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Has a function called for a signal, without restarting the call of the system that it interrupts.
fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    let handler = handler as *const () as libc::sighandler_t;
    // SAFETY: all zero is an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the handlers of this file only touch atomics.
    let rc = unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
    assert_eq!(rc, 0);
}

/// Says that it waits, waits, and says how many signals it got meanwhile.
fn wait_among_signals(link: &mut Link, wait: impl FnOnce() -> mp::Result<bool>) -> mp::Result<()> {
    handle(libc::SIGUSR1, count);
    link.say_waiting();
    mp::ensure!(wait()?, "it ended without what it waited for");
    link.say(HANDLED.load(Ordering::Relaxed));
    Ok(())
}

fn waits_for_a_lock(lock: Lock, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(lock.acquire_timeout(LONG)?.is_some()))
}

fn waits_for_an_rlock(lock: RLock, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(lock.acquire_timeout(LONG)?.is_some()))
}

fn waits_for_a_permit(s: Semaphore, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(s.acquire_timeout(LONG)?.is_some()))
}

fn waits_at_a_condition(c: Condition, link: &mut Link) -> mp::Result<()> {
    let mut guard = c.acquire()?;
    wait_among_signals(link, || Ok(guard.wait_timeout(LONG)?))
}

fn waits_for_an_event(e: Event, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(e.wait_timeout(LONG)?))
}

fn waits_at_a_barrier(b: Barrier, link: &mut Link) -> mp::Result<()> {
    wait_among_signals(link, || Ok(b.wait_timeout(LONG).is_ok()))
}

#[test]
fn c_14_signals_end_no_wait_for_a_lock() {
    for way in WAYS {
        let lock = Lock::new().unwrap();
        let guard = lock.acquire().unwrap();
        disturb(Peer::start(way, waits_for_a_lock, &lock), || drop(guard));
        let lock = RLock::new().unwrap();
        let guard = lock.acquire().unwrap();
        disturb(Peer::start(way, waits_for_an_rlock, &lock), || drop(guard));
    }
}

#[test]
fn c_14_signals_end_no_wait_for_a_permit() {
    for way in WAYS {
        let s = Semaphore::new(0).unwrap();
        disturb(Peer::start(way, waits_for_a_permit, &s), || s.release().unwrap());
    }
}

#[test]
fn c_14_signals_end_no_wait_at_a_condition_and_are_no_notification() {
    for way in WAYS {
        let c = Condition::new().unwrap();
        disturb(Peer::start(way, waits_at_a_condition, &c), || c.acquire().unwrap().notify(1));
        assert_eq!(c.waiting(), 0);
    }
}

#[test]
fn c_14_signals_end_no_wait_for_an_event_or_at_a_barrier() {
    for way in WAYS {
        let e = Event::new().unwrap();
        disturb(Peer::start(way, waits_for_an_event, &e), || e.set());
        let b = Barrier::new(2).unwrap();
        disturb(Peer::start(way, waits_at_a_barrier, &b), || {
            b.wait_timeout(LONG).unwrap();
        });
    }
}

#[test]
fn c_14_signals_do_not_stretch_a_timed_wait() {
    let child = |e: Event, ready: Event| -> mp::Result<bool> {
        handle(libc::SIGUSR1, count);
        ready.set();
        let limit = Duration::from_millis(300);
        Ok(takes_at_least(limit, || e.wait_timeout(limit))?)
    };
    let (e, ready) = (Event::new().unwrap(), Event::new().unwrap());
    let p = mp::Process::start(child, (e, ready.clone())).unwrap();
    ready.wait().unwrap();
    // Each comes sooner than the wait would end if it began again.
    while p.is_alive() {
        mp_testing::system::signal(p.pid(), Signal::USR1);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!p.into_result().unwrap());
}

static EVENT: OnceLock<Event> = OnceLock::new();

extern "C" fn set_event(_: libc::c_int) {
    if let Some(event) = EVENT.get() {
        event.set();
        HANDLED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Calls everything of an event while a timer interrupts it, whose handler sets the event.
fn sets_in_a_handler(e: Event, _: &mut Link) -> mp::Result<()> {
    mp::ensure!(EVENT.set(e.clone()).is_ok());
    handle(libc::SIGALRM, set_event);
    let period = libc::timeval { tv_sec: 0, tv_usec: 50 };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: reads one `itimerval`.
    let rc = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    mp::ensure!(rc == 0);
    while HANDLED.load(Ordering::Relaxed) < 5000 {
        e.clear();
        // Only the handler sets it now.
        mp::ensure!(e.wait_timeout(LONG)?, "the handler did not set it");
        e.set();
        let _either = e.is_set();
    }
    // What comes from now on is ignored: no handler runs when the harness has ended.
    // SAFETY: "ignore" installs no code.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_IGN) };
    Ok(())
}

#[test]
fn e_09_a_handler_may_set_an_event_whose_calls_it_interrupted() {
    for way in WAYS {
        let e = Event::new().unwrap();
        Peer::start(way, sets_in_a_handler, &e).end();
    }
}
