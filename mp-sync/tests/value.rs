//! Values and arrays are the same in all processes, under a lock of their own or one that was given.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::panic::AssertUnwindSafe;

use bytemuck::{Pod, Zeroable};
use mp::{AnyLock, Array, Lock, RLock, RawArray, RawValue, SyncError, Value};
use mp_testing::limits::at_once;
use mp_testing::peer::{Link, Peer, WAYS};
use mp_testing::roles;

mp::enable_test_support!();

roles!(
    changes_four_kinds,
    changes_four_raw_kinds,
    changes_a_byte,
    adds,
    adds_in_an_array,
    sums_up,
    sums_up_raw,
    doubles,
    doubles_raw,
    spells,
    holds,
    holds_an_array,
);

type FourKinds = (Value<i32>, Value<f64>, Value<i16>, Value<i64>);
type FourRawKinds = (RawValue<i32>, RawValue<f64>, RawValue<i16>, RawValue<i64>);

const BIG: i64 = 1 << 34;

fn changes_four_kinds((a, b, c, d): FourKinds, _: &mut Link) -> mp::Result<()> {
    let seen = (a.get()?, b.get()?, c.get()?, d.get()?);
    mp::ensure!(seen == (7, 1.5, -3, BIG), "{seen:?}");
    a.set(-8)?;
    b.set(2.25)?;
    c.update(|n| *n *= 2)?;
    *d.lock()? += 1;
    Ok(())
}

fn changes_four_raw_kinds((a, b, c, d): FourRawKinds, _: &mut Link) -> mp::Result<()> {
    let seen = (a.get(), b.get(), c.get(), d.get());
    mp::ensure!(seen == (7, 1.5, -3, BIG), "{seen:?}");
    a.set(-8);
    b.set(2.25);
    c.set(-6);
    d.set(BIG + 1);
    Ok(())
}

fn changes_a_byte((v, raw): (Value<u8>, RawValue<u8>), _: &mut Link) -> mp::Result<()> {
    mp::ensure!((v.get()?, raw.get()) == (b'x', b'y'));
    v.set(b'a')?;
    raw.set(b'b');
    Ok(())
}

fn adds(v: Value<i64>, link: &mut Link) -> mp::Result<()> {
    let times: u64 = link.hear()?.parse()?;
    for n in 0..times {
        match n % 3 {
            0 => *v.lock()? += 1,
            1 => v.update(|n| *n += 1)?,
            _ => {
                let _held = v.get_lock().acquire()?;
                v.set(v.get()? + 1)?;
            }
        }
    }
    Ok(())
}

fn adds_in_an_array(a: Array<u64>, link: &mut Link) -> mp::Result<()> {
    let times: u64 = link.hear()?.parse()?;
    for _ in 0..times {
        a.lock()?.iter_mut().for_each(|n| *n += 1);
    }
    Ok(())
}

fn sums_up(a: Array<i32>, _: &mut Link) -> mp::Result<()> {
    let mut a = a.lock()?;
    for n in 1..a.len() {
        a[n] += a[n - 1];
    }
    Ok(())
}

fn sums_up_raw(a: RawArray<i32>, _: &mut Link) -> mp::Result<()> {
    for n in 1..a.len() {
        a.set(n, a.get(n)? + a.get(n - 1)?)?;
    }
    Ok(())
}

/// Plain data that is not made for serde.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Point {
    x: f64,
    y: f64,
    count: i64,
    path: [f64; 4],
    name: [u8; 8],
}

const POINT: Point =
    Point { x: 1.5, y: -2.0, count: BIG, path: [0.5, 1.0, 2.0, 4.0], name: *b"a point\0" };

fn doubled(point: Point) -> Point {
    let path = point.path.map(|x| 2.0 * x);
    let (x, y, count) = (2.0 * point.x, 2.0 * point.y, 2 * point.count);
    Point { x, y, count, path, name: *b"doubled\0" }
}

type Points = (Value<Point>, Value<f64>, Array<Point>);

fn doubles((point, x, points): Points, _: &mut Link) -> mp::Result<()> {
    mp::ensure!(point.get()? == POINT);
    let mut guard = point.lock()?;
    guard.x *= 2.0;
    guard.y *= 2.0;
    *guard = doubled(Point { x: guard.x / 2.0, y: guard.y / 2.0, ..*guard });
    drop(guard);
    x.update(|x| *x *= 2.0)?;
    points.lock()?.iter_mut().for_each(|point| *point = doubled(*point));
    Ok(())
}

fn doubles_raw(
    (point, points): (RawValue<Point>, RawArray<Point>),
    _: &mut Link,
) -> mp::Result<()> {
    point.set(doubled(point.get()));
    for n in 0..points.len() {
        points.set(n, doubled(points.get(n)?))?;
    }
    Ok(())
}

fn spells(text: Array<u8>, _: &mut Link) -> mp::Result<()> {
    let mut text = text.lock()?;
    mp::ensure!(up_to_zero(&text) == b"hello");
    text[..10].copy_from_slice(b"hellohello");
    Ok(())
}

fn up_to_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap()
}

fn holds(v: Value<u64>, link: &mut Link) -> mp::Result<()> {
    let mut guard = v.lock()?;
    *guard = 77;
    link.hold_still()
}

fn holds_an_array(a: Array<u64>, link: &mut Link) -> mp::Result<()> {
    let mut guard = a.lock()?;
    guard[0] = 77;
    link.hold_still()
}

#[test]
fn v_01_values_of_all_kinds_are_read_back_and_those_of_a_child_are_seen() {
    for way in WAYS {
        let v = |value| Value::new(value).unwrap();
        let kinds: FourKinds =
            (v(7), Value::new(1.5).unwrap(), Value::new(-3).unwrap(), Value::new(BIG).unwrap());
        Peer::start(way, changes_four_kinds, &kinds).end();
        let (a, b, c, d) = kinds;
        let seen = (a.get().unwrap(), b.get().unwrap(), c.get().unwrap(), d.get().unwrap());
        assert_eq!(seen, (-8, 2.25, -6, BIG + 1));

        let raw: FourRawKinds = (
            RawValue::new(7).unwrap(),
            RawValue::new(1.5).unwrap(),
            RawValue::new(-3).unwrap(),
            RawValue::new(BIG).unwrap(),
        );
        Peer::start(way, changes_four_raw_kinds, &raw).end();
        assert_eq!((raw.0.get(), raw.1.get(), raw.2.get(), raw.3.get()), (-8, 2.25, -6, BIG + 1));

        let bytes = (Value::new(b'x').unwrap(), RawValue::new(b'y').unwrap());
        Peer::start(way, changes_a_byte, &bytes).end();
        assert_eq!((bytes.0.get().unwrap(), bytes.1.get()), (b'a', b'b'));
    }
}

#[test]
fn v_02_the_lock_is_a_recursive_one_or_the_one_that_was_given() {
    let is_recursive = |lock: &AnyLock| matches!(lock, AnyLock::RLock(_));
    assert!(is_recursive(Value::new(1).unwrap().get_lock()));
    assert!(is_recursive(Array::new(&[1]).unwrap().get_lock()));
    assert!(is_recursive(Array::<u8>::zeroed(1).unwrap().get_lock()));
    let lock = Lock::new().unwrap();
    let rlock = RLock::new().unwrap();
    for given in [AnyLock::from(&lock), AnyLock::from(&rlock)] {
        let v = Value::with_lock(1, given.clone()).unwrap();
        let a = Array::with_lock(&[1], given.clone()).unwrap();
        let zeroed = Array::<u8>::zeroed_with_lock(1, given.clone()).unwrap();
        let locks = [v.get_lock(), a.get_lock(), zeroed.get_lock()];
        assert!(locks.iter().all(|lock| lock.is_same(&given)));
        let held = given.acquire().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(locks.iter().all(|lock| lock.try_acquire().unwrap().is_none()));
            });
        });
        drop(held);
        assert_eq!(v.get().unwrap(), a.get(0).unwrap());
    }
}

#[test]
fn v_03_v_04_processes_that_add_under_the_lock_lose_nothing() {
    const TIMES: u32 = 2000;
    for way in WAYS {
        let v = Value::new(0_i64).unwrap();
        let a = Array::<u64>::zeroed(3).unwrap();
        let mut peers: Vec<_> = (0..2).map(|_| Peer::start(way, adds, &v)).collect();
        peers.extend((0..2).map(|_| Peer::start(way, adds_in_an_array, &a)));
        peers.iter_mut().for_each(|peer| peer.say(TIMES));
        for _ in 0..TIMES {
            *v.lock().unwrap() += 1;
            a.lock().unwrap().iter_mut().for_each(|n| *n += 1);
        }
        peers.into_iter().for_each(Peer::end);
        assert_eq!(v.get().unwrap(), 3 * i64::from(TIMES));
        assert_eq!(a.to_vec().unwrap(), [3 * u64::from(TIMES); 3]);
    }
}

#[test]
fn v_03_memory_without_a_start_value_is_zero() {
    assert_eq!(RawValue::<[u64; 5]>::zeroed().unwrap().get(), [0; 5]);
    assert_eq!(Value::new(Point::zeroed()).unwrap().get().unwrap(), Point::zeroed());
    assert_eq!(Array::<f32>::zeroed(3).unwrap().to_vec().unwrap(), [0.0; 3]);
}

#[test]
fn v_04_the_lock_is_taken_again_by_calls_to_the_value() {
    let v = Value::new(1).unwrap();
    let held = v.get_lock().acquire().unwrap();
    let again = v.get_lock().acquire().unwrap();
    v.set(v.get().unwrap() + 1).unwrap();
    *v.lock().unwrap() += 1;
    drop((again, held));
    assert_eq!(v.get().unwrap(), 3);
    let a = Array::new(&[1, 2]).unwrap();
    let held = a.get_lock().acquire().unwrap();
    a.set(0, a.get(1).unwrap()).unwrap();
    drop(held);
    assert_eq!(a.to_vec().unwrap(), [2, 2]);
}

#[test]
fn v_04_a_second_borrow_in_the_same_thread_is_refused() {
    let v = Value::new(1).unwrap();
    let guard = v.lock().unwrap();
    for refused in [
        v.lock().map(drop).unwrap_err(),
        v.get().map(drop).unwrap_err(),
        v.set(2).unwrap_err(),
        v.clone().update(|_| ()).unwrap_err(),
    ] {
        assert!(matches!(refused, SyncError::AlreadyBorrowed), "{refused}");
    }
    assert_eq!(*guard, 1);
    drop(guard);
    v.update(|n| assert!(v.get().is_err() && *n == 1)).unwrap();
    let a = Array::new(&[1]).unwrap();
    let _guard = a.lock().unwrap();
    assert!(matches!(a.get(0), Err(SyncError::AlreadyBorrowed)));
    assert!(matches!(a.to_vec(), Err(SyncError::AlreadyBorrowed)));
}

#[test]
fn v_06_an_array_from_a_sequence_has_its_items_and_slices() {
    for way in WAYS {
        let a = Array::new(&[680, 626, 934, 821, 150, 233, 548, 982, 714, 831]).unwrap();
        assert_eq!((a.len(), a.is_empty(), a.get(4).unwrap()), (10, false, 150));
        assert_eq!(a.lock().unwrap()[2..5], [934, 821, 150]);
        // From an array of the other kind.
        let raw = RawArray::new(&[1, 2, 3, 4]).unwrap();
        a.lock().unwrap()[..4].copy_from_slice(&raw.to_vec());
        assert_eq!(a.to_vec().unwrap(), [1, 2, 3, 4, 150, 233, 548, 982, 714, 831]);
        let raw = RawArray::new(&a.to_vec().unwrap()).unwrap();
        let expected = [1, 3, 6, 10, 160, 393, 941, 1923, 2637, 3468];
        Peer::start(way, sums_up, &a).end();
        assert_eq!(a.to_vec().unwrap(), expected);
        Peer::start(way, sums_up_raw, &raw).end();
        assert_eq!(raw.to_vec(), expected);
    }
}

#[test]
fn v_07_an_array_from_a_size_is_zero_also_when_its_memory_was_used_before() {
    for len in [10, 100_000] {
        for _ in 0..3 {
            let a = Array::<i32>::zeroed(len).unwrap();
            assert_eq!(a.to_vec().unwrap(), vec![0; len]);
            a.lock().unwrap().fill(-1);
        }
    }
}

#[test]
fn v_08_an_index_out_of_range_is_an_error_and_changes_nothing() {
    let a = Array::new(&[1, 2, 3]).unwrap();
    for index in [3, 4, usize::MAX] {
        let is_index =
            |error: SyncError| matches!(error, SyncError::Index { index: i, len: 3 } if i == index);
        assert!(is_index(a.get(index).unwrap_err()) && is_index(a.set(index, 9).unwrap_err()));
    }
    let assigns_too_few = AssertUnwindSafe(|| a.lock().unwrap()[..2].copy_from_slice(&[9]));
    std::panic::catch_unwind(assigns_too_few).expect_err("as many items are needed");
    assert_eq!(a.to_vec().unwrap(), [1, 2, 3]);
    a.lock().unwrap().iter_mut().step_by(2).for_each(|n| *n = 0);
    assert_eq!(a.to_vec().unwrap(), [0, 2, 0]);
}

#[test]
fn v_09_an_array_may_have_no_elements() {
    let empty = [Array::<u64>::new(&[]).unwrap(), Array::zeroed(0).unwrap()];
    for a in empty {
        assert!(a.is_empty() && a.lock().unwrap().is_empty() && a.to_vec().unwrap().is_empty());
        assert!(matches!(a.get(0), Err(SyncError::Index { index: 0, len: 0 })));
        let child = |a: Array<u64>| Ok(a.len());
        assert_eq!(mp::Process::start(child, (a,)).unwrap().into_result().unwrap(), 0);
    }
    Array::<u64>::zeroed(usize::MAX).unwrap_err();
    Array::<u64>::zeroed(usize::MAX / 8).unwrap_err();
}

#[test]
fn v_10_structures_are_shared_by_field() {
    for way in WAYS {
        let points = Array::new(&[POINT; 3]).unwrap();
        let all: Points = (Value::new(POINT).unwrap(), Value::new(0.5).unwrap(), points);
        Peer::start(way, doubles, &all).end();
        assert_eq!(all.0.get().unwrap(), doubled(POINT));
        assert_eq!(all.1.get().unwrap(), 1.0);
        assert_eq!(all.2.to_vec().unwrap(), [doubled(POINT); 3]);

        let raw = (RawValue::new(POINT).unwrap(), RawArray::new(&[POINT; 3]).unwrap());
        Peer::start(way, doubles_raw, &raw).end();
        assert_eq!(raw.0.get(), doubled(POINT));
        assert_eq!(raw.1.to_vec(), [doubled(POINT); 3]);
    }
}

#[test]
fn v_11_byte_arrays_hold_texts_up_to_their_length() {
    for way in WAYS {
        let text = Array::<u8>::zeroed(20).unwrap();
        text.lock().unwrap()[..5].copy_from_slice(b"hello");
        Peer::start(way, spells, &text).end();
        assert_eq!(up_to_zero(&text.to_vec().unwrap()), b"hellohello");
        assert_eq!(text.to_vec().unwrap(), *b"hellohello\0\0\0\0\0\0\0\0\0\0");
        assert!(text.lock().unwrap().get_mut(..21).is_none(), "there is no room for more");
    }
}

#[test]
fn v_12_a_copy_is_independent_and_a_clone_is_not() {
    let v = Value::new(POINT).unwrap();
    let (copy, clone) = (Value::new(v.get().unwrap()).unwrap(), v.clone());
    v.lock().unwrap().x = 99.0;
    assert_eq!(copy.get().unwrap(), POINT);
    assert_eq!(clone.get().unwrap().x, 99.0);
    assert!(!copy.get_lock().is_same(v.get_lock()) && clone.get_lock().is_same(v.get_lock()));
}

#[test]
fn v_13_what_is_synchronised_is_no_plain_data_and_cannot_be_wrapped_again() {
    /// Whether a type is plain data.
    struct Probe<T>(std::marker::PhantomData<T>);
    trait Otherwise {
        const IS_PLAIN: bool = false;
    }
    impl<T> Otherwise for Probe<T> {}
    impl<T: Pod> Probe<T> {
        const IS_PLAIN: bool = true;
    }
    const { assert!(Probe::<u8>::IS_PLAIN && Probe::<Point>::IS_PLAIN) };
    const { assert!(!Probe::<Value<u8>>::IS_PLAIN && !Probe::<Array<u8>>::IS_PLAIN) };
    const { assert!(!Probe::<RawValue<u8>>::IS_PLAIN && !Probe::<Lock>::IS_PLAIN) };
}

#[test]
fn l_07_the_value_of_a_killed_holder_is_handed_over_and_the_guard_says_so() {
    for way in WAYS {
        let v = Value::new(1_u64).unwrap();
        let mut holder = Peer::start(way, holds, &v);
        holder.expect("still");
        let pid = holder.kill_9();
        let guard = at_once(|| v.lock().unwrap());
        assert_eq!(guard.owner_died().map(|dead| dead.pid), Some(pid));
        assert_eq!(*guard, 77);
        drop(guard);
        assert!(v.lock().unwrap().owner_died().is_none());

        let a = Array::with_lock(&[1, 2], Lock::new().unwrap()).unwrap();
        let mut holder = Peer::start(way, holds_an_array, &a);
        holder.expect("still");
        let pid = holder.kill_9();
        let guard = at_once(|| a.lock().unwrap());
        assert_eq!(guard.owner_died().map(|dead| dead.pid), Some(pid));
        assert_eq!(*guard, [77, 2]);
    }
}

#[test]
fn the_text_shows_the_value_and_does_not_wait_for_its_lock() {
    let v = Value::new(5_u64).unwrap();
    assert_eq!(format!("{v:?}"), "<Value(5, <RLock(owner=None, count=0)>)>");
    let a = Array::with_lock(&[1, 2], Lock::new().unwrap()).unwrap();
    assert_eq!(format!("{a:?}"), "<Array(len=2, <Lock(owner=None)>)>");
    let mut holder = Peer::start(WAYS[0], holds, &v);
    holder.expect("still");
    let text = at_once(|| format!("{v:?}"));
    assert!(text.starts_with("<Value(locked, <RLock(owner=process"), "{text}");
    let pid = holder.kill_9();
    // The news of the death is for who takes the lock.
    let _text = format!("{v:?}");
    assert_eq!(v.lock().unwrap().owner_died().map(|dead| dead.pid), Some(pid));
}
