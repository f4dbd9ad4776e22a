//! Iterators that live in a server.

use mp::{IteratorProxy, Manager, ManagerError, Process, ServerProcess};

mp::enable_test_support!();

struct Mathematician;

#[mp::managed]
impl Mathematician {
    pub fn new() -> Self {
        Mathematician
    }

    pub fn squares(&self, count: u64) -> IteratorProxy<u64> {
        mp::managed_iterator((0..count).map(|n| n * n))
    }

    pub fn naturals(&self) -> IteratorProxy<u64> {
        mp::managed_iterator(0..)
    }

    pub fn who_computes(&self) -> IteratorProxy<u32> {
        mp::managed_iterator(std::iter::repeat_with(std::process::id))
    }

    pub fn until_zero(&self) -> IteratorProxy<u32> {
        mp::managed_iterator([2, 1, 0, 5].into_iter().map(|n| 2 / n))
    }

    /// A proxy that is used in the server itself.
    pub fn sum(&self) -> mp::Result<u64> {
        let mut sum = 0;
        for square in self.squares(4) {
            sum += square?;
        }
        Ok(sum)
    }
}

#[test]
fn m_24_an_iterator_lives_in_the_server() {
    let server = ServerProcess::start().unwrap();
    let someone = server.create(Mathematician::args()).unwrap();
    let squares: Vec<u64> = someone.squares(10).unwrap().map(Result::unwrap).collect();
    assert_eq!(squares, (0..10).map(|n| n * n).collect::<Vec<_>>());
    let first: Vec<u64> = someone.naturals().unwrap().take(3).map(Result::unwrap).collect();
    assert_eq!(first, [0, 1, 2]);
    assert_eq!(someone.who_computes().unwrap().next().unwrap().unwrap(), server.pid());
    assert_eq!(someone.sum().unwrap(), 14);
}

#[test]
fn m_41_iterating_twice_gives_nothing_the_second_time() {
    let manager = Manager::start().unwrap();
    let iterator = manager.iterator(["a".to_owned(), "b".to_owned()]).unwrap();
    let collected: Vec<String> = iterator.clone().map(Result::unwrap).collect();
    assert_eq!(collected, ["a", "b"]);
    assert_eq!(iterator.count(), 0);
}

#[test]
fn each_item_goes_to_exactly_one_process() {
    let server = ServerProcess::start().unwrap();
    let squares = server.create(Mathematician::args()).unwrap().squares(600).unwrap();
    let take_all =
        |squares: IteratorProxy<u64>| Ok(squares.collect::<Result<Vec<u64>, ManagerError>>()?);
    let children: Vec<_> =
        (0..3).map(|_| Process::start(take_all, (squares.clone(),)).unwrap()).collect();
    let mut all: Vec<u64> =
        children.into_iter().flat_map(|child| child.into_result().unwrap()).collect();
    all.sort();
    assert_eq!(all, (0..600).map(|n| n * n).collect::<Vec<_>>());
}

#[test]
fn a_panic_is_the_error_of_one_and_the_end_for_all() {
    let server = ServerProcess::start().unwrap();
    let mut quotients = server.create(Mathematician::args()).unwrap().until_zero().unwrap();
    assert_eq!(quotients.next().unwrap().unwrap(), 1);
    assert_eq!(quotients.next().unwrap().unwrap(), 2);
    let error = quotients.next().unwrap().unwrap_err();
    let ManagerError::Exception(remote) = &error else { panic!("{error:?}") };
    assert!(remote.is_panic() && remote.message().contains("divide by zero"), "{remote:?}");
    assert!(quotients.next().is_none());
    assert!(quotients.clone().next().is_none());
}

#[test]
fn an_iterator_ends_when_its_server_does() {
    let server = ServerProcess::start().unwrap();
    let naturals = server.create(Mathematician::args()).unwrap().naturals().unwrap();
    server.shutdown().unwrap();
    let items: Vec<_> = naturals.collect();
    assert!(matches!(items[..], [Err(ManagerError::Disconnected { .. })]), "{items:?}");
}
