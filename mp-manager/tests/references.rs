//! An object lives as long as anything refers to it: a proxy in any process, a message on its way, a container.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use mp::{Event, ManagerError, Queue, ServerProcess};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Dice, kills};
use mp_testing::system::{ends_within, signal};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Debug)]
struct Note(String);

#[mp::managed]
impl Note {
    pub fn new(text: String) -> Self {
        Note(text)
    }

    pub fn text(&self) -> String {
        self.0.clone()
    }

    pub fn copy(&self) -> mp::Managed<Note> {
        mp::managed(Note(self.0.clone()))
    }

    pub fn report(&self) -> Report {
        let page = |text: &str| mp::managed(Note(text.to_owned()));
        Report {
            plain: 7,
            page: page("one"),
            pair: ("two".to_owned(), page("two")),
            pages: BTreeMap::from([("three".to_owned(), vec![page("three"), page("four")])]),
            none: None,
        }
    }
}

/// Plain data and proxies side by side.
#[derive(Debug, Serialize, Deserialize)]
struct Report {
    plain: u32,
    page: mp::Managed<Note>,
    pair: (String, mp::Managed<Note>),
    pages: BTreeMap<String, Vec<mp::Managed<Note>>>,
    none: Option<mp::Managed<Note>>,
}

/// Keeps notes that it is given.
#[derive(Default)]
struct Shelf(Vec<NoteProxy>);

#[mp::managed]
impl Shelf {
    pub fn new() -> Self {
        Shelf::default()
    }

    pub fn keep(&mut self, note: NoteProxy) {
        self.0.push(note);
    }

    pub fn last(&self) -> Option<NoteProxy> {
        self.0.last().cloned()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

fn server() -> ServerProcess {
    ServerProcess::start().unwrap()
}

fn note(server: &ServerProcess) -> NoteProxy {
    server.create(Note::args("text".to_owned())).unwrap()
}

fn objects(server: &ServerProcess) -> usize {
    server.number_of_objects().unwrap()
}

#[test]
fn m_70_m_78_the_number_of_objects_follows_their_proxies() {
    let server = server();
    assert_eq!(objects(&server), 0);
    let first = note(&server);
    let second = note(&server);
    let copies = [first.clone(), first.clone()];
    let info = server.debug_info().unwrap();
    let shown: Vec<_> = info.iter().map(|info| (&*info.type_name, info.references)).collect();
    assert_eq!(shown, [("Note", 1), ("Note", 1)]);
    assert!(info[0].id < info[1].id);
    assert_eq!(info[0].preview, r#"Note("text")"#);
    drop(first);
    assert_eq!(objects(&server), 2);
    drop(copies);
    assert_eq!(server.debug_info().unwrap(), info[1..]);
    drop(second);
    assert_eq!(objects(&server), 0);
}

#[test]
fn a_thread_that_drops_a_proxy_and_ends_is_seen_by_others() {
    let server = server();
    for _ in 0..50 {
        let note = note(&server);
        std::thread::spawn(move || drop(note)).join().unwrap();
        assert_eq!(objects(&server), 0);
    }
}

#[test]
fn m_71_m_72_a_child_counts_while_it_lives_however_it_ends() {
    fn hold(note: NoteProxy, holds: Event, end: Event) -> mp::Result<()> {
        mp::ensure!(note.text()? == "text");
        holds.set();
        end.wait()?;
        Ok(())
    }

    let server = server();
    for is_killed in [false, true] {
        let (holds, end) = (Event::new().unwrap(), Event::new().unwrap());
        let note = note(&server);
        let args = (note.clone(), holds.clone(), end.clone());
        let process = mp::Process::start(hold, args).unwrap();
        holds.wait().unwrap();
        drop(note);
        assert_eq!(objects(&server), 1);
        if is_killed {
            process.kill();
            process.join().unwrap_err();
        } else {
            end.set();
            process.join().unwrap();
        }
        // Not some time later: what a process that has ended held is not seen any more.
        assert_eq!(objects(&server), 0);
    }
}

#[test]
fn m_73_a_proxy_on_its_way_keeps_its_object_alive() {
    let server = server();
    let queue = Queue::<NoteProxy>::new().unwrap();
    for _ in 0..10 {
        queue.put(&note(&server)).unwrap();
        assert_eq!(objects(&server), 1);
        let same = queue.get().unwrap();
        assert_eq!(same.text().unwrap(), "text");
        drop(same);
        assert!(comes_true(|| objects(&server) == 0));
    }
    // A child puts it and ends; nobody has it but the queue.
    fn put(server: ServerProcess, queue: Queue<NoteProxy>) -> mp::Result<()> {
        queue.put(&server.create(Note::args("from a child".to_owned()))?)?;
        Ok(())
    }
    let args = (server.clone(), queue.clone());
    mp::Process::start(put, args).unwrap().join().unwrap();
    assert_eq!(objects(&server), 1);
    assert_eq!(queue.get().unwrap().text().unwrap(), "from a child");
    assert!(comes_true(|| objects(&server) == 0));
}

#[test]
fn m_73_many_proxies_of_a_message_take_one_descriptor() {
    let server = server();
    let notes: Vec<_> = (0..600).map(|_| note(&server)).collect();
    let message = mp_reduction::encode(&notes).unwrap();
    assert_eq!(message.attachments().len(), 1);
    drop(notes);
    assert_eq!(objects(&server), 600);
    let notes: Vec<NoteProxy> = message.decode().unwrap();
    let twice: Vec<NoteProxy> = message.decode().unwrap();
    drop(message);
    assert!(notes.iter().zip(&twice).all(|(a, b)| a == b));
    drop(notes);
    assert_eq!(objects(&server), 600);
    assert_eq!(twice[599].text().unwrap(), "text");
    drop(twice);
    assert_eq!(objects(&server), 0);
}

#[test]
fn m_74_what_was_never_received_pins_nothing() {
    let server = server();
    let queue = Queue::<NoteProxy>::new().unwrap();
    queue.put(&note(&server)).unwrap();
    queue.put(&note(&server)).unwrap();
    assert_eq!(objects(&server), 2);
    drop(queue);
    assert!(comes_true(|| objects(&server) == 0));
    // So does a message that no start took.
    let refused = mp::Process::builder(|_: NoteProxy| Ok(()), (note(&server),))
        .current_dir("/no such folder")
        .start();
    refused.unwrap_err();
    assert!(comes_true(|| objects(&server) == 0));
}

#[test]
fn m_76_mp_05_a_structure_of_plain_data_and_proxies_arrives_as_it_was_and_is_released_with_them() {
    let server = server();
    let note = note(&server);
    let report = note.report().unwrap();
    assert_eq!(objects(&server), 5);
    assert_eq!((report.plain, report.none.is_none()), (7, true));
    assert_eq!(report.page.text().unwrap(), "one");
    assert_eq!(report.pair.1.text().unwrap(), "two");
    let texts = |report: &Report| {
        report.pages["three"].iter().map(|note| note.text().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(texts(&report), ["three", "four"]);
    // Through a hop: a child has its own plain parts and the same objects.
    let hop = |mut report: Report| {
        report.plain += 1;
        Ok(report)
    };
    let back = mp::Process::start(hop, (report,)).unwrap().into_result().unwrap();
    assert_eq!(back.plain, 8);
    assert_eq!(texts(&back), ["three", "four"]);
    drop(back);
    assert_eq!(objects(&server), 1);
}

#[test]
fn m_75_an_object_of_the_user_keeps_proxies_that_it_was_given() {
    let server = server();
    let shelf = server.create(Shelf::args()).unwrap();
    let kept = note(&server);
    shelf.keep(kept.clone()).unwrap();
    drop(kept);
    assert_eq!(objects(&server), 2);
    let last = shelf.last().unwrap().unwrap();
    assert_eq!(last.text().unwrap(), "text");
    shelf.clear().unwrap();
    assert_eq!(objects(&server), 2);
    drop(last);
    assert_eq!(objects(&server), 1);
    shelf.keep(note(&server)).unwrap();
    drop(shelf);
    assert_eq!(objects(&server), 0);
}

#[test]
fn m_77_mp_10_a_server_may_end_before_its_proxies() {
    let proxy = {
        let server = server();
        let proxy = note(&server);
        proxy.copy().unwrap();
        proxy
    };
    let error = proxy.text().unwrap_err();
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
    // It can be sent on, and says the same there.
    let sent: NoteProxy = mp_reduction::encode(&proxy).unwrap().decode().unwrap();
    let error = sent.text().unwrap_err();
    assert!(matches!(error, ManagerError::Disconnected { .. }), "{error:?}");
}

#[test]
fn m_79_numbers_that_are_no_objects_are_errors_of_their_request_only() {
    let server = server();
    let note = note(&server);
    // A proxy whose object is gone: its message outlived the server's patience with a forged one.
    let message = mp_reduction::encode(&note).unwrap();
    let mut bytes = message.bytes().to_vec();
    let place = bytes.windows(5).position(|window| window == b"\xa4Note");
    // The number of the object stands before the name of its type.
    bytes[place.unwrap() - 1] = 99;
    let copies = message.attachments().iter().map(|fd| fd.try_clone().unwrap()).collect();
    let forged = mp_reduction::Message::from_parts(bytes, copies);
    let error = forged.decode::<NoteProxy>().unwrap_err();
    assert!(format!("{error:?}").contains("no object 99"), "{error:?}");
    assert_eq!(note.text().unwrap(), "text");
    assert_eq!(objects(&server), 1);
}

#[test]
fn proxies_of_two_servers_go_everywhere() {
    let (first, second) = (server(), server());
    let shelf = first.create(Shelf::args()).unwrap();
    let foreign = note(&second);
    shelf.keep(foreign.clone()).unwrap();
    drop(foreign);
    assert_eq!(objects(&second), 1);
    assert_eq!(shelf.last().unwrap().unwrap().text().unwrap(), "text");
    shelf.clear().unwrap();
    assert!(comes_true(|| objects(&second) == 0));
    // A server that is killed lets go of what it held of others.
    shelf.keep(note(&second)).unwrap();
    assert_eq!(objects(&second), 1);
    signal(first.pid(), Signal::KILL);
    assert!(ends_within(first.pid(), LONG).unwrap());
    assert!(comes_true(|| objects(&second) == 0));
}

/// A client at work: makes, copies, keeps, sends and drops proxies until it is killed.
fn trade(server: ServerProcess, shelf: ShelfProxy, queue: Queue<NoteProxy>) -> mp::Result<()> {
    let mut held = Vec::new();
    for round in 0_u32.. {
        let note = server.create(Note::args(round.to_string()))?;
        match round % 4 {
            0 => queue.put(&note)?,
            1 => shelf.keep(note.clone())?,
            2 => held.push(note.copy()?),
            _ => {
                held.extend(queue.get_nowait());
                held.extend(shelf.last()?);
                shelf.clear()?;
            }
        }
        held.push(note);
        if held.len() > 20 {
            held.clear();
        }
    }
    Ok(())
}

#[test]
fn m_72_clients_killed_at_any_moment_leave_nothing_behind() {
    let server = server();
    let start = server.debug_info().unwrap();
    let mut dice = Dice::of_this_storm();
    {
        let shelf = server.create(Shelf::args()).unwrap();
        let queue = Queue::<NoteProxy>::new().unwrap();
        let start = || {
            let args = (server.clone(), shelf.clone(), queue.clone());
            mp::Process::start(trade, args).unwrap()
        };
        let mut crew: Vec<_> = (0..3).map(|_| start()).collect();
        for _ in 0..kills(40) {
            dice.pass_less_than(std::time::Duration::from_millis(20));
            let place = dice.index(crew.len());
            let killed = std::mem::replace(&mut crew[place], start());
            killed.kill();
            killed.join().unwrap_err();
        }
        for process in &crew {
            process.kill();
            process.join().unwrap_err();
        }
        shelf.clear().unwrap();
    }
    let is_as_before = || server.debug_info().unwrap() == start;
    assert!(comes_true(is_as_before), "{:?}", server.debug_info().unwrap());
}
