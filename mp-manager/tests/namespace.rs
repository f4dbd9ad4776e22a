//! Namespaces that live in a server.

use mp::{Manager, ManagerError, NamespaceProxy, Process};

mp::enable_test_support!();

#[test]
fn m_44_a_namespace_shows_its_names_but_those_with_an_underscore() {
    let manager = Manager::start().unwrap();
    let namespace = manager.namespace().unwrap();
    namespace.set("name", "Bob").unwrap();
    namespace.set("job", "Builder").unwrap();
    namespace.set("_hidden", "hidden").unwrap();
    assert_eq!(namespace.get::<String>("name").unwrap(), "Bob");
    assert_eq!(namespace.get::<String>("_hidden").unwrap(), "hidden");
    assert_eq!(namespace.names().unwrap(), ["job", "name"]);
    assert_eq!(namespace.to_string(), "Namespace(job='Builder', name='Bob')");
    namespace.delete("job").unwrap();
    assert_eq!(namespace.to_string(), "Namespace(name='Bob')");
    assert!(namespace.contains("name").unwrap() && !namespace.contains("job").unwrap());
}

#[test]
fn m_44_a_name_that_is_not_there_is_an_error() {
    let manager = Manager::start().unwrap();
    let namespace = manager.namespace().unwrap();
    let error = namespace.get::<u8>("age").unwrap_err();
    assert!(matches!(error, ManagerError::Missing { .. }));
    assert_eq!(error.to_string(), "there is no attribute 'age'");
    assert!(matches!(namespace.delete("age"), Err(ManagerError::Missing { .. })));
    namespace.set("age", &300).unwrap();
    assert!(matches!(namespace.get::<u8>("age"), Err(ManagerError::Decode(_))));
    assert_eq!(namespace.get::<u16>("age").unwrap(), 300);
}

#[test]
fn a_child_sees_and_sets_names() {
    let manager = Manager::start().unwrap();
    let namespace = manager.namespace().unwrap();
    namespace.set("numbers", &vec![1, 2, 3]).unwrap();
    let sum = |namespace: NamespaceProxy| {
        let numbers: Vec<u32> = namespace.get("numbers")?;
        namespace.set("sum", &numbers.iter().sum::<u32>())?;
        Ok(())
    };
    Process::start(sum, (namespace.clone(),)).unwrap().into_result().unwrap();
    assert_eq!(namespace.get::<u32>("sum").unwrap(), 6);
}
