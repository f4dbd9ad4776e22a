//! A name is one type's also where its objects come from methods only, and where it is one of this library's own.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::ManagerError;

mp::enable_test_support!();

#[derive(Debug)]
struct Impostor;

#[mp::managed(name = "list")]
impl Impostor {
    pub fn claim(&self) {}
}

#[test]
fn mp_02_a_type_without_a_constructor_has_its_name_alone_as_well() {
    let error = mp::ServerProcess::start().unwrap_err();
    let ManagerError::DuplicateType { name, first, second } = &error else { panic!("{error:?}") };
    assert_eq!(name, "list");
    let places = [first, second];
    assert!(places.iter().any(|place| place.contains("duplicate_names.rs:11")), "{error}");
    assert!(places.iter().any(|place| place.contains("list")), "{error}");
}
