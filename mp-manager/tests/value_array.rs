//! Values and arrays that live in a server.

use mp::{ArrayProxy, Manager, ManagerError, Process, ValueProxy};

mp::enable_test_support!();

#[test]
fn m_45_a_value_is_set_and_got_by_everybody() {
    let manager = Manager::start().unwrap();
    let value = manager.value(1).unwrap();
    assert_eq!(value.get().unwrap(), 1);
    let set = |value: ValueProxy<i32>| {
        value.set(value.get()? + 1)?;
        Ok(())
    };
    Process::start(set, (value.clone(),)).unwrap().into_result().unwrap();
    assert_eq!(value.get().unwrap(), 2);
    assert_eq!(value.to_string(), "2");
    let text = manager.value("Bob".to_owned()).unwrap();
    assert_eq!(text.to_string(), "'Bob'");
    let none = manager.value(None::<u8>).unwrap();
    assert_eq!(none.get().unwrap(), None);
}

#[test]
fn no_update_of_a_value_is_lost() {
    let manager = Manager::start().unwrap();
    let value = manager.value((0_u64, String::new())).unwrap();
    let add = |value: ValueProxy<(u64, String)>, who: String| {
        for _ in 0..200 {
            value.update(|(count, last)| {
                *count += 1;
                last.clone_from(&who);
            })?;
        }
        Ok(())
    };
    let children: Vec<_> = (0..4)
        .map(|who| Process::start(add, (value.clone(), format!("child {who}"))).unwrap())
        .collect();
    for child in children {
        child.into_result().unwrap();
    }
    let (count, last) = value.get().unwrap();
    assert_eq!(count, 800);
    assert!(last.starts_with("child "));
    assert_eq!(value.update(|(count, _)| std::mem::take(count)).unwrap(), 800);
}

#[test]
fn m_45_an_array_has_the_length_it_was_made_with() {
    let manager = Manager::start().unwrap();
    let array = manager.array(&[1, 2, 3, 4]).unwrap();
    let change = |array: ArrayProxy<i32>| Ok(array.set(-1, array.get(0)? + 99)?);
    Process::start(change, (array.clone(),)).unwrap().into_result().unwrap();
    assert_eq!(array.to_vec().unwrap(), [1, 2, 3, 100]);
    assert_eq!(array.len().unwrap(), 4);
    assert_eq!(array.slice(1..3).unwrap(), [2, 3]);
    assert_eq!(array.iter().map(Result::unwrap).sum::<i32>(), 106);
    assert!(matches!(array.set(4, 0), Err(ManagerError::Index { index: 4, len: 4 })));
    assert_eq!(array.to_string(), "[1, 2, 3, 100]");
    let grown = mp::TypedProxy::as_proxy(&array).call::<(), _>("push", &(5,));
    assert!(matches!(grown, Err(ManagerError::UnknownMethod { .. })));
    assert!(manager.array::<u8>(&[]).unwrap().is_empty().unwrap());
}

#[test]
fn what_is_of_another_type_is_an_error_and_stays_what_it_is() {
    let manager = Manager::start().unwrap();
    let value = manager.value("text".to_owned()).unwrap();
    let as_number: ValueProxy<u32> =
        mp::TypedProxy::from_proxy(mp::TypedProxy::as_proxy(&value).clone());
    assert!(matches!(as_number.get(), Err(ManagerError::Decode(_))));
    assert!(matches!(as_number.update(|_| ()), Err(ManagerError::Decode(_))));
    assert_eq!(value.get().unwrap(), "text");
}
