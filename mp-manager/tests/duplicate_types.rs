//! A program with two managed types of one name has no servers, and says which types those are.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::ManagerError;

mp::enable_test_support!();

struct First;

#[mp::managed(name = "shop.Item")]
impl First {
    pub fn new() -> Self {
        First
    }
}

struct Second;

#[mp::managed(name = "shop.Item")]
impl Second {
    pub fn new() -> Self {
        Second
    }
}

#[test]
fn mp_02_two_types_with_one_name_are_an_error_that_shows_both() {
    for error in [
        mp::ServerProcess::start().unwrap_err(),
        mp::ServerProcess::builder().serve_forever().unwrap_err(),
    ] {
        let ManagerError::DuplicateType { name, first, second } = &error else { panic!() };
        assert_eq!(name, "shop.Item");
        assert!(first.contains("duplicate_types.rs:10"), "{error}");
        assert!(second.contains("duplicate_types.rs:19"), "{error}");
    }
}
