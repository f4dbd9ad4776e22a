//! Values and arrays are the same memory in every process, and nothing more.
#![allow(clippy::unwrap_used, reason = "tests")]

use bytemuck::{Pod, Zeroable};
use mp_shared_memory::{RawArray, RawValue, SharedMemoryError};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Serialize, Deserialize)]
struct FiveKinds {
    int: RawValue<i32>,
    double: RawValue<f64>,
    short: RawValue<i16>,
    long: RawValue<i64>,
    byte: RawValue<u8>,
}

#[test]
fn v_01_values_of_five_kinds_written_by_a_child_are_seen() {
    let values = FiveKinds {
        int: RawValue::new(7).unwrap(),
        double: RawValue::new(3.625).unwrap(),
        short: RawValue::new(-232).unwrap(),
        long: RawValue::new((1 << 33) + 5).unwrap(),
        byte: RawValue::new(b'c').unwrap(),
    };
    let child = |values: FiveKinds| {
        mp::ensure!(values.int.get() == 7 && values.double.get() == 3.625);
        mp::ensure!(values.short.get() == -232 && values.long.get() == (1 << 33) + 5);
        mp::ensure!(values.byte.get() == b'c');
        values.int.set(-7);
        values.double.set(1.388e-30);
        values.short.set(234);
        values.long.set(-(1 << 40));
        values.byte.set(b'e');
        Ok(())
    };
    let message = mp_reduction::encode(&values).unwrap();
    mp::Process::start(child, (message.decode::<FiveKinds>().unwrap(),)).unwrap().join().unwrap();
    assert_eq!((values.int.get(), values.double.get()), (-7, 1.388e-30));
    assert_eq!((values.short.get(), values.long.get()), (234, -(1 << 40)));
    assert_eq!(values.byte.get(), b'e');
}

#[test]
fn v_06_prefix_sums_of_a_child_are_seen() {
    let sequence = [680, 626, 934, 821, 150, 233, 548, 982, 714, 831];
    let array = RawArray::new(&sequence).unwrap();
    assert_eq!((array.len(), array.get(3).unwrap()), (10, 821));
    let mut part = [0; 5];
    array.read(2, &mut part).unwrap();
    assert_eq!(part, sequence[2..7]);
    array.write(4, &[1, 2, 3, 4]).unwrap();
    let child = |array: RawArray<i32>| {
        for index in 1..array.len() {
            array.set(index, array.get(index)? + array.get(index - 1)?)?;
        }
        Ok(())
    };
    mp::Process::start(child, (array.clone(),)).unwrap().join().unwrap();
    let mut sums = [680, 626, 934, 821, 1, 2, 3, 4, 714, 831];
    (1..10).for_each(|index| sums[index] += sums[index - 1]);
    assert_eq!(array.to_vec(), sums);
}

#[test]
fn v_07_memory_that_was_used_before_is_zero() {
    for len in [10, 100, 1000, 4000, 100_000] {
        for _round in 0..3 {
            let array = RawArray::<u32>::zeroed(len).unwrap();
            assert!(array.to_vec().iter().all(|element| *element == 0), "{len} elements");
            array.write(0, &vec![u32::MAX; len]).unwrap();
            let child = |array: RawArray<u32>| array.set(0, 1).map_err(mp::Error::from);
            mp::Process::start(child, (array,)).unwrap().join().unwrap();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Point {
    x: i32,
    y: i32,
    z: f64,
}

type Shared = (RawValue<i32>, RawValue<Point>, RawArray<f64>, RawArray<u8>, RawValue<i64>);

#[test]
fn v_10_v_12_structures_are_shared_by_field_and_copies_are_independent() {
    let shared: Shared = (
        RawValue::new(7).unwrap(),
        RawValue::new(Point { x: 3, y: 2, z: 0.5 }).unwrap(),
        RawArray::new(&[0.0, 1.0, 2.0]).unwrap(),
        RawArray::new(b"hello").unwrap(),
        RawValue::new(1 << 33).unwrap(),
    );
    let copy = RawValue::new(shared.1.get()).unwrap();
    let child = |(int, point, array, text, long): Shared| {
        int.set(int.get() * 2);
        let Point { x, y, z } = point.get();
        point.set(Point { x: x * 2, y: y * 2, z: z * 2.0 });
        for index in 0..array.len() {
            array.set(index, array.get(index)? * 2.0)?;
        }
        text.write(0, &[text.to_vec(), b"hello".to_vec()].concat()[..5])?;
        long.set(long.get() * 2);
        Ok(())
    };
    mp::Process::start(child, (shared.clone(),)).unwrap().join().unwrap();
    assert_eq!(shared.0.get(), 14);
    assert_eq!(shared.1.get(), Point { x: 6, y: 4, z: 1.0 });
    assert_eq!(shared.2.to_vec(), [0.0, 2.0, 4.0]);
    assert_eq!((shared.3.to_vec().as_slice(), shared.4.get()), (b"hello".as_slice(), 1 << 34));
    assert_eq!(copy.get(), Point { x: 3, y: 2, z: 0.5 });
}

#[test]
fn an_array_of_64_mib_is_an_argument_like_any_other() {
    let array = RawArray::<u64>::zeroed(8 << 20).unwrap();
    let child = |array: RawArray<u64>| {
        let len = array.len();
        for start in (0..len).step_by(1 << 16) {
            let part: Vec<u64> = (start as u64..).take(1 << 16).collect();
            array.write(start, &part)?;
        }
        Ok(array) // and like any other result
    };
    let child = mp::Process::start(child, (array.clone(),)).unwrap();
    let same = child.into_result().unwrap();
    assert!(same.is_same(&array));
    assert!(array.to_vec().into_iter().eq(0..8 << 20));
}

#[test]
fn a_token_is_a_handle_for_a_process_that_was_given_none() {
    for len in [3, 100_000] {
        let array = RawArray::<u16>::zeroed(len).unwrap();
        let child = |token: String| {
            let array = RawArray::<u16>::from_token(&token)?;
            Ok(array.set(2, 7)?)
        };
        mp::Process::start(child, (array.token().unwrap(),)).unwrap().join().unwrap();
        assert_eq!(array.get(2).unwrap(), 7);
        let token = array.token().unwrap();
        drop(array);
        let error = RawArray::<u16>::from_token(&token).unwrap_err();
        assert!(matches!(error, SharedMemoryError::Gone), "{error}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_are_errors(
        len in prop::sample::select(vec![1_usize, 5000]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: Option<prop::sample::Index>,
    ) {
        let array = RawArray::<u32>::zeroed(len).unwrap();
        let message = mp_reduction::encode(&array).unwrap();
        let (mut bytes, attachments) = (message.bytes().to_vec(), message.attachments());
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let attachments = attachments.iter().map(|fd| fd.try_clone().unwrap()).collect();
        let message = mp_reduction::Message::from_parts(bytes, attachments);
        let _array = message.decode::<RawArray<u32>>().map(|array| array.to_vec());
        let _array = message.decode::<RawArray<u8>>().map(|array| array.to_vec());
        let _value = message.decode::<RawValue<u32>>().map(|value| value.get());
    }

    #[test]
    fn hostile_tokens_are_errors(text: String, tail in "-[0-9a-f-]{0,40}") {
        prop_assert!(RawArray::<u8>::from_token(&text).is_err());
        let token = RawValue::new(1_u8).unwrap().token().unwrap();
        prop_assert!(RawArray::<u8>::from_token(&(token.clone() + &tail)).is_err());
        prop_assert!(RawArray::<u8>::from_token(&(token[..4].to_owned() + &tail)).is_err());
    }
}
