//! A list in shared memory keeps every value exactly, and its slots apart.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{daemon, hold_still, kill_9, start_and_wait};
use mp_reduction::DupFd;
use mp_shared_memory::{
    RawArray, ShareableItem as Item, ShareableList, SharedMemory, SharedMemoryError as Error,
};
use mp_testing::limits::comes_true;

mp::enable_test_support!();

fn seven() -> Vec<Item> {
    vec![
        "howdy".into(),
        b"HoWdY".into(),
        (-273.154).into(),
        100.into(),
        Item::None,
        true.into(),
        42.into(),
    ]
}

fn name(of: &str) -> String {
    format!("mp-test-{of}-{}", std::process::id())
}

#[test]
fn sl_01_sl_02_seven_kinds_are_stored_and_described() {
    let list = ShareableList::new(seven()).unwrap();
    assert_eq!((list.len(), list.is_empty()), (7, false));
    assert_eq!(list.to_vec().unwrap(), seven());
    assert_eq!(list.iter().len(), 7);
    let format = "8s8sdqxxxxxx?xxxxxxxx?q";
    assert_eq!(list.format().unwrap(), format);
    list.set(0, "other").unwrap();
    list.set(3, -5).unwrap();
    list.set(5, false).unwrap();
    assert_eq!(list.format().unwrap(), format, "the same kinds");
    let text = format!("{list:?}");
    assert!(text.contains("other") && text.contains("-273.154"), "{text}");

    let list = ShareableList::create_named(&name("sl02"), ["a"]).unwrap();
    assert!(format!("{list:?}").contains(&name("sl02")), "{list:?}");
    assert_eq!(list.memory().name(), Some(&*name("sl02")));
    list.unlink().unwrap();
    assert!(matches!(list.unlink(), Err(Error::NotFound { .. })));
}

#[test]
fn sl_03_sl_04_outside_of_the_list_are_errors_at_both_ends() {
    let list = ShareableList::new(seven()).unwrap();
    assert_eq!(list.get(-2).unwrap(), true.into());
    list.set(-7, "first").unwrap();
    assert_eq!(list.get(0).unwrap(), "first".into());
    let before = list.to_vec().unwrap();
    for index in [7, -8, isize::MAX, isize::MIN] {
        let is_expected = |error: Error| match error {
            Error::Index { index: it, len: 7 } => it == index,
            _ => false,
        };
        assert!(is_expected(list.get(index).unwrap_err()));
        assert!(is_expected(list.set(index, 1).unwrap_err()));
    }
    assert_eq!(list.to_vec().unwrap(), before);
}

#[test]
fn sl_05_a_slot_changes_its_kind_and_never_its_room() {
    let list = ShareableList::new(seven()).unwrap();
    list.set(4, "some").unwrap();
    assert_eq!(list.get(4).unwrap(), "some".into());
    assert_eq!(list.format().unwrap(), "8s8sdq8sxxxxxxx?q");
    list.set(4, "12345678").unwrap();
    let before = list.to_vec().unwrap();
    for too_long in ["123456789", "ééééé", "a very long text for any slot"] {
        let error = list.set(4, too_long).unwrap_err();
        let needed = too_long.len();
        let is_expected =
            |e: &Error| matches!(e, Error::SlotTooSmall { needed: n, capacity: 8 } if *n == needed);
        assert!(is_expected(&error), "{error}");
    }
    assert!(list.set(1, b"123456789").is_err());
    assert_eq!(list.to_vec().unwrap(), before);
    list.set(4, "éééé").unwrap();
    list.set(4, ()).unwrap();
    assert_eq!(list.get(4).unwrap(), Item::None);
}

#[test]
fn sl_06_sl_07_every_text_and_all_bytes_come_back_as_they_were() {
    let texts = [
        "",
        "\0",
        "a\0\0",
        "\0a\0",
        "é",
        "日本語のテキスト",
        "🦀🦀🦀🦀",
        "12345678",
        "x\u{10ffff}",
    ];
    let bytes: [&[u8]; 5] = [b"", b"\0\0\0", b"\xff\xfe\0", b"12345678\0", b"a\0"];
    let list = ShareableList::new(texts).unwrap();
    assert_eq!(list.to_vec().unwrap(), texts.map(Item::from));
    let list = ShareableList::new(bytes).unwrap();
    assert_eq!(list.to_vec().unwrap(), bytes.map(Item::from));
    for item in bytes {
        list.set(3, item).unwrap();
        assert_eq!(list.get(3).unwrap(), item.into());
    }
}

#[test]
fn sl_08_index_and_count_compare_values_of_one_kind() {
    let list = ShareableList::new(seven()).unwrap();
    assert_eq!(list.index(&42.into()).unwrap(), 6);
    assert_eq!(list.index(&true.into()).unwrap(), 5);
    assert!(matches!(list.index(&"100".into()), Err(Error::NotInList)));
    assert!(matches!(list.index(&100.0.into()), Err(Error::NotInList)));
    assert_eq!(list.count(&42.into()).unwrap(), 1);
    list.set(3, 42).unwrap();
    assert_eq!(list.count(&42.into()).unwrap(), 2);
    assert_eq!(list.index(&42.into()).unwrap(), 3);
    assert_eq!(list.count(&"adios".into()).unwrap(), 0);
}

#[test]
fn sl_09_a_copy_is_independent_and_a_second_handle_is_the_same_list() {
    let (first, second) = (name("sl09"), name("sl09-copy"));
    let list = ShareableList::create_named(&first, seven()).unwrap();
    list.set(0, "a").unwrap(); // the copy keeps the room of the original
    let copy = list.copy_named(&second).unwrap();
    let anonymous = list.copy().unwrap();
    for copy in [&copy, &anonymous] {
        assert_eq!(copy.to_vec().unwrap(), list.to_vec().unwrap());
        assert_eq!(copy.format().unwrap(), list.format().unwrap());
        assert!(!copy.is_same(&list));
        copy.set(0, "12345678").unwrap();
    }
    assert_eq!((copy.memory().name(), anonymous.memory().name()), (Some(&*second), None));
    assert_eq!(list.get(0).unwrap(), "a".into());
    let same = ShareableList::open(&first).unwrap();
    assert!(same.is_same(&list));
    same.set(-1, 43).unwrap();
    assert_eq!(list.get(6).unwrap(), 43.into());
    list.unlink().unwrap();
    copy.unlink().unwrap();
}

#[test]
fn sl_10_an_empty_list_is_a_list() {
    let list = ShareableList::new(Vec::<Item>::new()).unwrap();
    assert_eq!((list.len(), list.is_empty(), list.format().unwrap().as_str()), (0, true, ""));
    assert_eq!(list.count(&4.into()).unwrap(), 0);
    assert!(matches!(list.index(&4.into()), Err(Error::NotInList)));
    assert!(matches!(list.get(0), Err(Error::Index { index: 0, len: 0 })));
    assert!(list.get(-1).is_err() && list.copy().unwrap().is_empty());
}

#[test]
fn sl_11_the_encoded_form_is_a_reference() {
    let (name, other) = (name("sl11"), name("sl12"));
    let short = ShareableList::create_named(&name, (0..10).collect::<Vec<i32>>()).unwrap();
    let long = ShareableList::create_named(&other, (0..400).collect::<Vec<i32>>()).unwrap();
    let messages = [&short, &long].map(|list| mp_reduction::encode(list).unwrap());
    assert_eq!(messages[0].bytes().len(), messages[1].bytes().len());
    let decoded = messages[0].decode::<ShareableList>().unwrap();
    decoded.set(0, -1).unwrap();
    short.set(1, -2).unwrap();
    assert_eq!((short.get(0).unwrap(), decoded.get(1).unwrap()), ((-1).into(), (-2).into()));
    short.unlink().unwrap();
    long.unlink().unwrap();
    assert!(messages[0].decode::<ShareableList>().is_err());

    let short = ShareableList::new(0..10).unwrap();
    let long = ShareableList::new(0..40_000).unwrap();
    let bytes = [&short, &long].map(|list| mp_reduction::encode(list).unwrap().bytes().len());
    assert!(bytes[0].abs_diff(bytes[1]) < 32, "{bytes:?}");
}

#[test]
fn a_child_sees_and_changes_the_list() {
    let list = ShareableList::new(seven()).unwrap();
    let child = |list: ShareableList, token: String| {
        mp::ensure!(list.get(0)? == "howdy".into());
        list.set(0, "hello")?;
        ShareableList::from_token(&token)?.set(-1, "answer")?;
        Ok(())
    };
    let arguments = (list.clone(), list.token().unwrap());
    mp::Process::start(child, arguments).unwrap().join().unwrap();
    assert_eq!((list.get(0).unwrap(), list.get(6).unwrap()), ("hello".into(), "answer".into()));
}

#[test]
fn what_is_no_list_is_an_error() {
    let array = RawArray::new(&[1_u64; 10]).unwrap();
    assert!(matches!(
        ShareableList::from_token(&array.token().unwrap()),
        Err(Error::Foreign { .. })
    ));
    let (list, name) = (ShareableList::new(["a"]).unwrap(), name("nolist"));
    let memory = SharedMemory::create_named(&name, 10).unwrap();
    assert!(matches!(ShareableList::open(&name), Err(Error::Foreign { .. })));
    memory.unlink().unwrap();
    let message = mp_reduction::encode(&list).unwrap();
    assert!(message.decode::<SharedMemory>().is_ok(), "it is memory");
    assert!(mp_reduction::encode(&array).unwrap().decode::<ShareableList>().is_err());
}

fn stores_for_ever(list: ShareableList, ready: DupFd) -> mp::Result<()> {
    let writer = list.clone();
    std::thread::spawn(move || {
        for round in 0_usize.. {
            let text = ["a", "b"][round % 2].repeat(4096);
            // Between two stores there is time to load a value.
            if writer.set(1, text).and(writer.get(1)).is_err() {
                break;
            }
        }
    });
    if !comes_true(|| list.get(1).is_ok_and(|item| item != "c".repeat(4096).into())) {
        mp::bail!("nothing was stored");
    }
    hold_still(ready)
}

#[test]
fn a_killed_writer_leaves_a_whole_value_or_a_torn_slot_that_works_again() {
    for _round in 0..50 {
        let before = "c".repeat(4096);
        let list = ShareableList::new(["left", &before, "right"]).unwrap();
        let arguments = list.clone();
        let writer = start_and_wait(|r| daemon(stores_for_ever, (arguments, r)));
        kill_9(&writer);
        match list.get(1) {
            Ok(Item::Text(text)) => assert!(["a", "b"].iter().any(|c| text == c.repeat(4096))),
            Err(Error::Torn { index: 1, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!((list.get(0).unwrap(), list.get(2).unwrap()), ("left".into(), "right".into()));
        list.set(1, "again").unwrap();
        assert_eq!(list.get(1).unwrap(), "again".into());
    }
}
