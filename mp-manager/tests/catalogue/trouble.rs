//! Objects and functions that panic, or never return, where nobody expects it.

use std::sync::Arc;

use mp::{Manager, ManagerError, Process, RawValue, ServerProcess};
use mp_testing::limits::{at_once, comes_true};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::in_time;

#[test]
fn a_comparison_or_a_change_that_panics_while_it_has_hold_lets_others_go_on() {
    let manager = Manager::start().unwrap();
    let (list, value) = (manager.list_from([1, 2]).unwrap(), manager.value(1).unwrap());
    let (sorted, changed) = (list.clone(), value.clone());
    // Who comes too late four times has hold of it the fifth time.
    let sort = std::thread::spawn(move || {
        let mut comparisons = 0;
        sorted.sort_by(|_, _| {
            comparisons += 1;
            assert!(comparisons <= 4, "it panics");
            sorted.set(0, comparisons).unwrap();
            std::cmp::Ordering::Less
        })
    });
    sort.join().unwrap_err();
    let change = std::thread::spawn(move || {
        let mut changes = 0;
        changed.update(|_| {
            changes += 1;
            assert!(changes <= 4, "it panics");
            changed.set(changes).unwrap();
        })
    });
    change.join().unwrap_err();
    let others = (list.clone(), value.clone());
    in_time(move || {
        others.0.push(7).unwrap();
        others.1.set(7).unwrap();
    });
    assert_eq!((list.to_vec().unwrap(), value.get().unwrap()), (vec![4, 2, 7], 7));
}

/// Panics where nobody expects it.
struct Touchy(How);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum How {
    Shown,
    ShownWithAnError,
    Dropped,
    DroppedForEver,
    Fine,
}

impl std::fmt::Debug for Touchy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            How::Shown => panic!("it does not want to be shown"),
            How::ShownWithAnError => Err(std::fmt::Error),
            _ => write!(f, "{:?}", self.0),
        }
    }
}

impl Drop for Touchy {
    fn drop(&mut self) {
        match self.0 {
            How::Dropped => panic!("it does not want to be dropped"),
            How::DroppedForEver => loop {
                std::thread::park();
            },
            _ => {}
        }
    }
}

/// Panics on its way in or out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crossing {
    panics_going: bool,
    panics_coming: bool,
}

impl Serialize for Crossing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.panics_going, "it does not go");
        self.panics_coming.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Crossing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Crossing, D::Error> {
        let panics_coming = bool::deserialize(deserializer)?;
        assert!(!panics_coming, "it does not come");
        Ok(Crossing { panics_going: false, panics_coming })
    }
}

#[mp::managed]
impl Touchy {
    pub fn new(how: How) -> Self {
        Touchy(how)
    }

    pub fn how(&self) -> How {
        self.0
    }

    pub fn give(&self, panics_going: bool, panics_coming: bool) -> Crossing {
        Crossing { panics_going, panics_coming }
    }

    pub fn take(&self, crossing: Crossing) -> bool {
        crossing.panics_coming
    }
}

#[test]
fn m_23_a_value_that_panics_on_its_way_is_an_error_of_its_call_and_the_next_one_works() {
    let server = ServerProcess::start().unwrap();
    let touchy = server.create(Touchy::args(How::Fine)).unwrap();
    let proxy = touchy.clone();
    let error = in_time(move || proxy.give(true, false).unwrap_err());
    let ManagerError::Exception(remote) = &error else { panic!("{error:?}") };
    assert!(remote.is_panic() && remote.message() == "it does not go", "{remote:?}");
    let proxy = touchy.clone();
    let coming = Crossing { panics_going: false, panics_coming: true };
    let error = in_time(move || proxy.take(coming).unwrap_err());
    let ManagerError::Exception(remote) = &error else { panic!("{error:?}") };
    assert!(remote.is_panic() && remote.message() == "it does not come", "{remote:?}");
    // Here it is the caller who panics, and nobody else is harmed.
    let caught = std::thread::scope(|scope| {
        let gives = scope.spawn(|| touchy.give(false, true)).join().is_err();
        let proxy = touchy.clone();
        let going = Crossing { panics_going: true, panics_coming: false };
        gives && scope.spawn(move || proxy.take(going)).join().is_err()
    });
    assert!(caught);
    assert_eq!(touchy.how().unwrap(), How::Fine);
    assert_eq!(server.number_of_objects().unwrap(), 1);
}

#[test]
fn m_25_an_object_whose_text_panics_can_be_used_all_the_same() {
    let server = ServerProcess::start().unwrap();
    let touchy = server.create(Touchy::args(How::Shown)).unwrap();
    let proxy = touchy.clone();
    let text = in_time(move || proxy.to_string());
    assert!(text.contains("Touchy"), "{text}");
    let failing = server.create(Touchy::args(How::ShownWithAnError)).unwrap();
    in_time(move || failing.to_string());
    assert_eq!(touchy.how().unwrap(), How::Shown);
}

#[test]
fn m_78_an_object_whose_text_panics_keeps_nobody_from_the_others() {
    let server = Arc::new(ServerProcess::start().unwrap());
    let fine = server.create(Touchy::args(How::Fine)).unwrap();
    let _touchy = server.create(Touchy::args(How::Shown)).unwrap();
    let _failing = server.create(Touchy::args(How::ShownWithAnError)).unwrap();
    let same = Arc::clone(&server);
    let info = in_time(move || same.debug_info().unwrap());
    assert_eq!((info.len(), &*info[0].preview), (3, "Fine"));
    assert_eq!(fine.how().unwrap(), How::Fine);
    at_once(|| server.shutdown().unwrap());
}

#[test]
fn m_11_m_70_a_destructor_that_panics_or_does_not_return_is_no_harm_to_others() {
    let server = ServerProcess::start().unwrap();
    let fine = server.create(Touchy::args(How::Fine)).unwrap();
    drop(server.create(Touchy::args(How::Dropped)).unwrap());
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
    drop(server.create(Touchy::args(How::DroppedForEver)).unwrap());
    assert!(comes_true(|| server.number_of_objects().unwrap() == 1));
    assert_eq!(fine.how().unwrap(), How::Fine);
    // What comes after it is not kept for ever either.
    let awake = RawValue::new(0_u32).unwrap();
    let hold = |touchy: TouchyProxy, awake: RawValue<u32>| {
        awake.set(1);
        mp::ensure!(touchy.how()? == How::Fine);
        Ok(())
    };
    let child = Process::start(hold, (fine, awake.clone())).unwrap();
    child.into_result().unwrap();
    assert_eq!(awake.get(), 1);
    assert!(comes_true(|| server.number_of_objects().unwrap() == 0));
    at_once(|| server.shutdown().unwrap());
    assert!(matches!(server.exitcode(), Some(0 | -15)), "{:?}", server.exitcode());
}
