//! What is done wrong is an error that says what, at once, and the object stays usable.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mp::{
    Array, Barrier, BarrierError, BoundedSemaphore, Broken, Condition, DeadOwner, Event, Lock,
    RLock, RemoteException, Semaphore, SharedMemoryError, SyncError, Value,
};
use mp_testing::limits::{LONG, comes_true};

mp::enable_test_support!();

#[test]
fn every_error_says_what_is_wrong() {
    let said = |error: SyncError| error.to_string();
    let lock = Lock::new().unwrap();
    assert_eq!(said(lock.release().unwrap_err()), "the lock is not held");
    let guard = lock.acquire().unwrap();
    let guarded = "the lock is held through a guard, which releases it; only a leaked guard leaves \
                   that to others";
    assert_eq!(said(lock.release().unwrap_err()), guarded);
    drop(guard);
    let not_owner = "the lock is not held by this thread: its owner is None";
    assert_eq!(said(RLock::new().unwrap().release().unwrap_err()), not_owner);
    let exceeded = "semaphore released too many times: its value cannot exceed 2";
    assert_eq!(said(BoundedSemaphore::new(2).unwrap().release().unwrap_err()), exceeded);
    let invalid = "a semaphore cannot start with the value 4000000000, the highest is 2147483647";
    assert_eq!(said(Semaphore::new(4_000_000_000).unwrap_err()), invalid);
    let parties = "a barrier cannot have 0 parties, only 1 to 1024";
    assert_eq!(said(Barrier::new(0).unwrap_err()), parties);
    let v = Value::new(1).unwrap();
    let _guard = v.lock().unwrap();
    let borrowed = "this thread has borrowed the value already, through a guard or in `update`";
    assert_eq!(said(v.get().unwrap_err()), borrowed);
    let index = "index 3 is out of range for an array of 2 elements";
    assert_eq!(said(Array::new(&[1, 2]).unwrap().get(3).unwrap_err()), index);
    let acting = Barrier::builder(2).action(|| Ok(())).build().unwrap();
    let foreign = "the action of the barrier belongs to another program, or to another build of this \
                   one";
    assert_eq!(said(acting.token().unwrap_err()), foreign);
    let garbage = said(Lock::from_token("garbage").unwrap_err());
    assert_eq!(garbage, "not a handle of a shared object: it is no token");
    let too_many = SyncError::TooManyHolders { max: 500 };
    assert_eq!(said(too_many), "500 processes hold permits of the semaphore already");
    let system = SyncError::System { source: Arc::new(io::Error::other("no sleep")) };
    assert_eq!(system.source().unwrap().to_string(), "no sleep");
    assert_eq!(said(system), "cannot sleep on shared memory");
}

#[test]
fn every_reason_of_a_broken_barrier_is_told() {
    let limit = Some(Duration::from_millis(5));
    let process = Some(DeadOwner { pid: 12, name: "worker".to_owned() });
    for (reason, text) in [
        (Broken::Aborted, "it was aborted"),
        (Broken::TimedOut { limit: None }, "not all parties came in time"),
        (Broken::TimedOut { limit }, "not all parties came in time (5ms)"),
        (Broken::ActionFailed, "its action failed in another party"),
        (Broken::Reset, "it was reset while parties waited"),
        (Broken::PartyDied { process: None }, "a process that takes part was killed"),
        (Broken::PartyDied { process }, "process 'worker' (pid 12) was killed"),
    ] {
        let error = BarrierError::Broken(reason);
        assert_eq!(error.to_string(), format!("the barrier is broken: {text}"));
    }
    let raised = BarrierError::Action(RemoteException::new(mp::Error::msg("no luck")));
    assert_eq!(raised.to_string(), "the action of the barrier failed");
    assert_eq!(raised.source().unwrap().to_string(), "no luck");
    let refused = BarrierError::from(SyncError::NotHeld);
    assert_eq!(refused.to_string(), "the lock is not held");
}

#[test]
fn a_condition_has_room_for_a_thousand_waiters_and_says_so_to_the_next() {
    let c = Condition::new().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..1000 {
            let waits = || assert!(c.acquire().unwrap().wait_timeout(LONG).unwrap());
            std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, waits).unwrap();
        }
        assert!(comes_true(|| c.waiting() == 1000));
        let mut guard = c.acquire().unwrap();
        let refused = guard.wait_timeout(LONG).unwrap_err();
        assert!(matches!(refused, SyncError::TooManyWaiters { max: 1000 }));
        assert_eq!(refused.to_string(), "1000 threads wait on the condition already");
        guard.notify_all();
    });
    assert_eq!(c.waiting(), 0);
}

#[test]
fn l_09_a_handle_goes_into_no_text_and_the_error_says_why() {
    let texts = [
        serde_json::to_string(&Lock::new().unwrap()),
        serde_json::to_string(&RLock::new().unwrap()),
        serde_json::to_string(&Semaphore::new(1).unwrap()),
        serde_json::to_string(&BoundedSemaphore::new(1).unwrap()),
        serde_json::to_string(&Condition::new().unwrap()),
        serde_json::to_string(&Event::new().unwrap()),
        serde_json::to_string(&Barrier::new(1).unwrap()),
        serde_json::to_string(&Value::new(1).unwrap()),
        serde_json::to_string(&Array::new(&[1_u8]).unwrap()),
        serde_json::to_string(&Array::new(&[0_u8; 100_000]).unwrap()),
    ];
    for text in texts {
        let said = text.unwrap_err().to_string();
        assert!(said.contains("another process"), "{said}");
    }
    let wire = serde_json::to_string(&(0, 0, 0)).unwrap();
    let said = serde_json::from_str::<Lock>(&wire).unwrap_err().to_string();
    assert!(said.contains("did not come with the message"), "{said}");
}

#[test]
fn a_handle_of_another_kind_is_refused_on_arrival() {
    let event = Event::new().unwrap();
    let message = mp_reduction::encode(&event).unwrap();
    let said = message.decode::<Lock>().unwrap_err().to_string();
    assert!(said.contains("another kind"), "{said}");
    let same: Event = message.decode().unwrap();
    assert!(same.is_same(&event));
}

#[test]
fn an_error_of_shared_memory_is_passed_on_as_it_is() {
    let refused = Event::from_token("mp1-").unwrap_err();
    let SyncError::Memory(inner) = &refused else { panic!("{refused:?}") };
    assert!(matches!(inner, SharedMemoryError::Foreign { .. }));
    assert_eq!(refused.to_string(), inner.to_string());
}

#[test]
fn an_action_that_is_no_function_of_the_program_does_not_arrive() {
    // A builder is no handle; the action goes with the barrier, as a place in the program.
    let barrier = Barrier::builder(1).action(|| mp::bail!("it ran")).build().unwrap();
    let child = |barrier: Barrier| Ok(matches!(barrier.wait(), Err(BarrierError::Action(_))));
    assert!(mp::Process::start(child, (barrier,)).unwrap().into_result().unwrap());
}
