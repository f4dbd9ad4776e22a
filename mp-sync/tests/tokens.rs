//! Tokens connect programs that know nothing of each other, and none of which calls `mp::init`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{
    Array, Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, RawArray, RawValue, Semaphore,
    SharedMemoryError, SyncError, Value,
};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::peer::{Link, Peer, Way};
use mp_testing::roles;
use mp_testing::system::is_stopped;
use rustix::process::Signal;

roles!(
    makes,
    makes_and_holds,
    makes_and_drops,
    holds,
    waits,
    uses_locks,
    uses_the_others,
    uses_values,
    takes_over,
);

/// Makes a lock, tells its token, and is the root of a session from then on.
fn makes((): (), link: &mut Link) -> mp::Result<()> {
    let lock = Lock::new()?;
    link.say(lock.token()?);
    link.hold_still()
}

fn makes_and_holds((): (), link: &mut Link) -> mp::Result<()> {
    let lock = Lock::new()?;
    let _guard = lock.acquire()?;
    link.say(lock.token()?);
    link.hold_still()
}

/// Makes a lock that is gone, and lives on.
fn makes_and_drops((): (), link: &mut Link) -> mp::Result<()> {
    let lock = Lock::new()?;
    let token = lock.token()?;
    drop(lock);
    link.say(token);
    link.hold_still()
}

fn holds(lock: Lock, link: &mut Link) -> mp::Result<()> {
    let _guard = lock.acquire()?;
    link.hold_still()
}

fn waits(lock: Lock, link: &mut Link) -> mp::Result<()> {
    link.say_waiting();
    let guard = lock.acquire_timeout(LONG)?.ok_or(mp::Error::msg("it stays locked"))?;
    link.say(guard.owner_died().map_or(0, |dead| dead.pid));
    Ok(())
}

fn uses_locks(
    (lock, rlock, condition): (Lock, RLock, Condition),
    link: &mut Link,
) -> mp::Result<()> {
    mp::ensure!(lock.try_acquire()?.is_none() && rlock.try_acquire()?.is_none());
    link.say("they are held");
    let (_lock, _rlock) = (lock.acquire()?, rlock.acquire()?);
    let mut guard = condition.acquire()?;
    link.say("mine");
    mp::ensure!(guard.wait_timeout(LONG)?);
    Ok(())
}

fn uses_the_others(
    (s, b, e, barrier): (Semaphore, BoundedSemaphore, Event, Barrier),
    link: &mut Link,
) -> mp::Result<()> {
    mp::ensure!((s.get_value(), b.get_value(), e.is_set()) == (3, 2, false));
    let permit = b.acquire()?;
    s.release()?;
    link.say("ready");
    mp::ensure!(e.wait_timeout(LONG)?);
    drop(permit);
    barrier.wait_timeout(LONG)?;
    Ok(())
}

fn uses_values(
    (v, a, rv, ra): (Value<i64>, Array<f64>, RawValue<u8>, RawArray<u32>),
    _: &mut Link,
) -> mp::Result<()> {
    v.update(|n| *n *= 2)?;
    a.lock()?.iter_mut().for_each(|x| *x *= 2.0);
    rv.set(rv.get() * 2);
    ra.set(99_999, 7)?;
    Ok(())
}

/// Takes the lock over, holds it, and stays.
fn takes_over(lock: Lock, link: &mut Link) -> mp::Result<()> {
    let guard = lock.acquire_timeout(LONG)?.ok_or(mp::Error::msg("it stays locked"))?;
    link.say(guard.owner_died().map_or(0, |dead| dead.pid));
    link.hold_still()
}

#[test]
fn l_09_locks_and_conditions_are_used_through_tokens() {
    let condition = Condition::new().unwrap();
    let handles = (Lock::new().unwrap(), RLock::new().unwrap(), condition);
    let guards = (handles.0.acquire().unwrap(), handles.1.acquire().unwrap());
    let mut other = Peer::start(Way::Program, uses_locks, &handles);
    other.expect("they are held");
    drop(guards);
    other.expect("mine");
    assert!(comes_true(|| handles.2.waiting() == 1));
    assert!(handles.0.is_locked());
    handles.2.acquire().unwrap().notify(1);
    other.end();
    assert!(!handles.0.is_locked());
}

#[test]
fn semaphores_events_and_barriers_are_used_through_tokens() {
    let semaphores = (Semaphore::new(3).unwrap(), BoundedSemaphore::new(2).unwrap());
    let (s, b) = semaphores;
    let (e, barrier) = (Event::new().unwrap(), Barrier::new(2).unwrap());
    let handles = (s.clone(), b.clone(), e.clone(), barrier.clone());
    let mut other = Peer::start(Way::Program, uses_the_others, &handles);
    other.expect("ready");
    assert_eq!((s.get_value(), b.get_value()), (4, 1));
    e.set();
    barrier.wait_timeout(LONG).unwrap();
    assert_eq!(b.get_value(), 2);
    other.end();
}

#[test]
fn v_01_v_06_values_and_arrays_are_used_through_tokens() {
    let (v, a) = (Value::new(1 << 40).unwrap(), Array::new(&[1.5, 2.5]).unwrap());
    // The last one is too long to lie with others.
    let (rv, ra) = (RawValue::new(100_u8).unwrap(), RawArray::zeroed(100_000).unwrap());
    let handles = (v.clone(), a.clone(), rv.clone(), ra.clone());
    Peer::start(Way::Program, uses_values, &handles).end();
    assert_eq!(v.get().unwrap(), 1 << 41);
    assert_eq!(a.to_vec().unwrap(), [3.0, 5.0]);
    assert_eq!((rv.get(), ra.get(99_999).unwrap()), (200, 7));
}

#[test]
fn a_handle_from_a_token_is_one_to_the_same_object() {
    let lock = Lock::new().unwrap();
    let same = Lock::from_token(&lock.token().unwrap()).unwrap();
    assert!(same.is_same(&lock) && !same.is_same(&Lock::new().unwrap()));
    let _guard = lock.acquire().unwrap();
    assert!(same.try_acquire().unwrap().is_none());
}

/// Three programs: one made the lock, one holds it, one waits for it.
fn with_three_programs(end_of_maker: impl FnOnce(Peer) -> Option<Peer>) {
    let mut maker = Peer::start_program(makes, "");
    let token = maker.hear();
    maker.expect("still");
    let mut holder = Peer::start_program(holds, &token);
    holder.expect("still");
    let mut third = Peer::start_program(waits, &token);
    third.hear_that_it_sleeps();
    let maker = end_of_maker(maker);
    let pid = holder.kill_9();
    third.expect(&pid.to_string());
    third.end();
    drop(maker);
}

#[test]
fn l_07_the_death_of_a_holder_is_noticed_when_the_maker_of_the_lock_was_killed() {
    with_three_programs(|maker| {
        maker.kill_9();
        None
    });
}

#[test]
fn l_07_the_death_of_a_holder_is_noticed_while_the_maker_of_the_lock_is_stopped() {
    with_three_programs(|maker| {
        maker.signal(Signal::STOP);
        assert!(comes_true(|| is_stopped(maker.pid())));
        Some(maker)
    });
}

#[test]
fn l_07_the_death_of_a_holder_is_noticed_while_a_waiter_is_stopped() {
    let mut maker = Peer::start_program(makes, "");
    let token = maker.hear();
    let mut holder = Peer::start_program(holds, &token);
    holder.expect("still");
    let mut stopped = Peer::start_program(waits, &token);
    stopped.hear_that_it_sleeps();
    stopped.signal(Signal::STOP);
    assert!(comes_true(|| is_stopped(stopped.pid())));
    let mut third = Peer::start_program(takes_over, &token);
    let pid = holder.kill_9();
    third.expect(&pid.to_string());
    // And once more, from the one who took it over to the one who was stopped.
    let pid = third.kill_9();
    stopped.signal(Signal::CONT);
    stopped.expect(&pid.to_string());
    stopped.end();
}

#[test]
fn l_07_the_maker_of_the_lock_dies_as_its_holder() {
    let mut maker = Peer::start_program(makes_and_holds, "");
    let token = maker.hear();
    let mut waiting = Peer::start_program(waits, &token);
    waiting.hear_that_it_sleeps();
    let pid = maker.kill_9();
    waiting.expect(&pid.to_string());
    waiting.end();
}

#[test]
fn without_its_root_a_session_resolves_no_token_and_handles_go_on() {
    let mut maker = Peer::start_program(makes, "");
    let token = maker.hear();
    let lock = Lock::from_token(&token).unwrap();
    let _pid = maker.kill_9();
    let refused = Lock::from_token(&token).unwrap_err();
    let SyncError::Memory(SharedMemoryError::SessionUnreachable { .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(refused.to_string().starts_with("cannot reach the session"), "{refused}");
    let guard = lock.acquire().unwrap();
    assert!(guard.owner_died().is_none());
    assert!(lock.acquire_timeout(Duration::from_millis(10)).unwrap().is_none());
}

#[test]
fn a_token_does_not_keep_its_object() {
    let mut maker = Peer::start_program(makes_and_drops, "");
    let token = maker.hear();
    let refused = Lock::from_token(&token).unwrap_err();
    assert!(matches!(refused, SyncError::Memory(SharedMemoryError::Gone)), "{refused:?}");
    let _pid = maker.kill_9();
}

#[test]
fn texts_that_are_no_tokens_are_errors() {
    let token = Lock::new().unwrap().token().unwrap();
    let kind = RLock::new().unwrap().token().unwrap();
    let composed = Value::new(1_u8).unwrap().token().unwrap();
    let garbage =
        ["", " ", "mp1", "mp1-", "-----", "mp1-0-0-0-0-0", "\u{1f980}", &"x".repeat(100_000)]
            .map(str::to_owned);
    let damaged = (0..token.len()).map(|at| token[..at].to_owned());
    let others = [kind, composed, token.clone() + "-0", token.replace("mp1", "mp2")];
    for text in garbage.into_iter().chain(damaged).chain(others) {
        let refused = Lock::from_token(&text).unwrap_err();
        let SyncError::Memory(error) = refused else { panic!("{refused:?}") };
        // Half of a number is another number.
        let is_expected = matches!(
            error,
            SharedMemoryError::Foreign { .. }
                | SharedMemoryError::Gone
                | SharedMemoryError::SessionUnreachable { .. }
        );
        assert!(is_expected, "{text}: {error:?}");
        Semaphore::from_token(&text).unwrap_err();
        Condition::from_token(&text).unwrap_err();
        Array::<u16>::from_token(&text).unwrap_err();
    }
}

#[test]
fn v_05_a_token_of_a_value_of_another_size_is_an_error() {
    let v = Value::new(1_u32).unwrap();
    let refused = Value::<u64>::from_token(&v.token().unwrap()).unwrap_err();
    assert!(refused.to_string().starts_with("not a handle of a shared object"), "{refused}");
    let a = Array::new(&[1_u8, 2, 3]).unwrap();
    let refused = Array::<u16>::from_token(&a.token().unwrap()).unwrap_err();
    assert!(refused.to_string().starts_with("not a handle of a shared object"), "{refused}");
}
