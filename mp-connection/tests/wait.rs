//! Waiting for connections, listeners, processes and sockets together.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use common::{connections, listeners};
use mp::connection::{Address, Client, Descriptor, Listener, Waitable, wait};
use mp::{Connection, ConnectionError, DupFd, Pipe};
use mp_testing::limits::{LONG, SHORT, alone, at_once, takes_at_least};

mp::enable_test_support!();

const NOW: Option<Duration> = Some(Duration::ZERO);

/// Sends ten messages and leaves; at different times if it is to be slow.
fn writes_ten(end: Connection, name: u32, is_slow: bool) -> mp::Result<()> {
    for n in 0..10 {
        if is_slow {
            let pause =
                u64::from(std::process::id().wrapping_mul(2_654_435_761).rotate_left(n) % 5);
            std::thread::sleep(Duration::from_millis(pause));
        }
        end.send(&(name, n))?;
    }
    Ok(())
}

#[test]
fn wt_01_four_writers_of_ten_messages_are_all_heard_to_their_end() {
    for is_slow in [false, true] {
        let mut ends = Vec::new();
        let mut writers = Vec::new();
        for name in 0..4 {
            let (receiver, sender) = Pipe::simplex().unwrap();
            let arguments = (sender, name, is_slow);
            writers.push(mp::Process::start(writes_ten, arguments).unwrap());
            ends.push(receiver);
        }
        let (mut messages, mut count_of_ends) = (Vec::new(), 0);
        while !ends.is_empty() {
            let objects: Vec<&dyn Waitable> = ends.iter().map(|end| end as _).collect();
            let ready = wait(&objects, Some(LONG)).unwrap();
            assert!(!ready.is_empty());
            for index in ready.into_iter().rev() {
                match ends[index].recv::<(u32, u32)>() {
                    Ok(message) => messages.push(message),
                    Err(ConnectionError::EndOfFile) => {
                        ends.remove(index);
                        count_of_ends += 1;
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        }
        for name in 0..4 {
            let of_one: Vec<u32> =
                messages.iter().filter(|(from, _)| *from == name).map(|(_, n)| *n).collect();
            assert_eq!(of_one, (0..10).collect::<Vec<_>>());
        }
        assert_eq!((messages.len(), count_of_ends), (40, 4));
        writers.iter().for_each(|writer| writer.join().unwrap());
    }
}

#[test]
fn wt_01_raw_sockets_are_waited_for_as_well() {
    let writes = |socket: DupFd, is_slow: bool| -> mp::Result<()> {
        let mut socket: UnixStream = socket.into();
        for n in 0..10 {
            if is_slow {
                std::thread::sleep(Duration::from_millis(n % 4));
            }
            socket.write_all(b"x")?;
        }
        Ok(())
    };
    for is_slow in [false, true] {
        let mut sockets = Vec::new();
        for _ in 0..4 {
            let (ours, theirs) = UnixStream::pair().unwrap();
            sockets.push((mp::Process::start(writes, (theirs.into(), is_slow)).unwrap(), ours));
        }
        let mut count = 0;
        while !sockets.is_empty() {
            let objects: Vec<&dyn Waitable> = sockets.iter().map(|(_, s)| s as _).collect();
            for index in wait(&objects, Some(LONG)).unwrap().into_iter().rev() {
                match sockets[index].1.read(&mut [0; 3]).unwrap() {
                    0 => sockets.remove(index).0.join().unwrap(),
                    n => count += n,
                }
            }
        }
        assert_eq!(count, 40);
    }
}

#[test]
fn wt_02_and_wt_03_nothing_is_ready_until_something_is() {
    for (a, b) in connections() {
        let (c, _d) = Pipe::duplex().unwrap();
        let limit = Duration::from_millis(500);
        let ready = takes_at_least(limit, || wait(&[&a, &c], Some(limit))).unwrap();
        assert_eq!(ready, [0; 0]);
        assert_eq!(at_once(|| wait(&[&a, &c], NOW)).unwrap(), [0; 0]);
        b.send(&1).unwrap();
        assert_eq!(at_once(|| wait(&[&c, &a], Some(LONG))).unwrap(), [1]);
        assert_eq!(at_once(|| wait(&[&a, &c], None)).unwrap(), [0]);
        assert_eq!(at_once(|| wait(&[&a], Some(Duration::MAX))).unwrap(), [0]);
    }
}

#[test]
fn wt_04_a_process_becomes_ready_when_it_ends() {
    let lives = |end: Connection| -> mp::Result<u32> { Ok(end.recv()?) };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let (a, _b) = Pipe::duplex().unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let p = mp::Process::start(lives, (theirs,)).unwrap();
    assert_eq!(wait(&[&p, &a, &socket], Some(SHORT)).unwrap(), [0; 0]);
    assert_eq!(wait(&[&p.sentinel(), &a], NOW).unwrap(), [0; 0]);
    ours.send(&5).unwrap();
    assert_eq!(wait(&[&a, &socket, &p], Some(LONG)).unwrap(), [2]);
    assert_eq!(wait(&[&p.sentinel()], NOW).unwrap(), [0]);
    assert_eq!(p.into_result().unwrap(), 5);
}

#[test]
fn wt_05_and_wt_06_all_that_are_ready_are_told_and_stay_so() {
    let p = mp::Process::start(|| Ok(()), ()).unwrap();
    let (a, to_a) = Pipe::duplex().unwrap();
    let (b, to_b) = Pipe::duplex().unwrap();
    let everything: [&dyn Waitable; 3] = [&a, &p, &b];
    let asked_twice = |expected: &[usize]| {
        for _ in 0..2 {
            assert_eq!(at_once(|| wait(&everything, Some(LONG))).unwrap(), expected);
        }
    };
    asked_twice(&[1]);
    to_b.send(&1).unwrap();
    asked_twice(&[1, 2]);
    to_a.send(&2).unwrap();
    asked_twice(&[0, 1, 2]);
    assert_eq!(b.recv::<i32>().unwrap(), 1);
    asked_twice(&[0, 1]);
    drop(to_b);
    asked_twice(&[0, 1, 2]);
}

#[test]
fn wt_07_nothing_at_all_waits_for_the_limit() {
    assert_eq!(takes_at_least(SHORT, || wait(&[], Some(SHORT))).unwrap(), [0; 0]);
    assert_eq!(at_once(|| wait(&[], NOW)).unwrap(), [0; 0]);
    assert!(matches!(wait(&[], None), Err(ConnectionError::Nothing)), "that would be for ever");
}

#[test]
fn wt_07_what_cannot_be_waited_for_is_an_error_with_its_position() {
    let (a, b) = Pipe::duplex().unwrap();
    let (_receiver, sender) = Pipe::simplex().unwrap();
    b.send(&1).unwrap();
    let closed = Pipe::duplex().unwrap().0;
    closed.close();
    match wait(&[&a, &closed], None).unwrap_err() {
        ConnectionError::Wait { index: 1, source } => {
            assert!(matches!(*source, ConnectionError::Closed));
        }
        other => panic!("{other:?}"),
    }
    match wait(&[&sender, &a], None).unwrap_err() {
        ConnectionError::Wait { index: 0, source } => {
            assert!(matches!(*source, ConnectionError::NotReadable));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn wt_07_the_end_of_a_file_counts_as_ready() {
    for (a, b) in connections() {
        let (socket, other) = UnixStream::pair().unwrap();
        drop((b, other));
        assert_eq!(at_once(|| wait(&[&socket, &a], None)).unwrap(), [0, 1]);
        // One that was reset as well.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(b"x").unwrap();
        assert_eq!(wait(&[&client], Some(LONG)).unwrap(), [0]);
        drop(client);
        assert_eq!(wait(&[&server], Some(LONG)).unwrap(), [0]);
    }
}

#[test]
fn wt_08_an_object_that_is_there_twice_is_told_twice() {
    let (a, b) = Pipe::duplex().unwrap();
    assert_eq!(wait(&[&a, &a], Some(SHORT)).unwrap(), [0; 0]);
    b.send(&1).unwrap();
    assert_eq!(wait(&[&a, &b, &a, &a.clone()], None).unwrap(), [0, 2, 3]);
}

#[test]
fn wt_08_an_object_may_be_there_more_often_than_files_may_be_open() {
    alone(|| {
        let (a, b) = Pipe::duplex()?;
        let others: Vec<_> = (0..20).map(|_| Pipe::duplex()).collect::<Result<_, _>>()?;
        wait(&[&a], NOW)?;
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        files.current = Some(40);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files)?;
        let objects: Vec<&dyn Waitable> = (0..200).map(|_| &a as _).collect();
        mp::ensure!(wait(&objects, Some(SHORT))? == [0; 0]);
        b.send(&1)?;
        mp::ensure!(wait(&objects, Some(LONG))? == (0..200).collect::<Vec<_>>());
        // More than that were opened before the limit was lowered.
        let ends = others.iter().flat_map(|(a, b)| [a as &dyn Waitable, b as _]);
        let error = wait(&ends.chain([&a as _]).collect::<Vec<_>>(), NOW).unwrap_err();
        mp::ensure!(error.to_string().contains("the limit of open files"), "{error}");
        Ok(())
    });
}

#[test]
fn a_listener_is_ready_when_accept_would_not_sleep() {
    for key in [None, Some(&b"key"[..])] {
        for listener in listeners(key) {
            let address = listener.address().clone();
            assert_eq!(wait(&[&listener], Some(SHORT)).unwrap(), [0; 0]);
            let arguments = (address, key.map(<[u8]>::to_vec));
            let p = mp::Process::start(common::hello, arguments).unwrap();
            assert_eq!(wait(&[&listener, &p], Some(LONG)).unwrap(), [0]);
            assert_eq!(wait(&[&listener], NOW).unwrap(), [0], "asking again gives the same");
            let connection = at_once(|| listener.accept()).unwrap();
            assert_eq!(wait(&[&listener], NOW).unwrap(), [0; 0]);
            assert_eq!(wait(&[&listener, &connection], Some(LONG)).unwrap(), [1]);
            connection.send("x").unwrap();
            p.join().unwrap();
        }
    }
}

#[test]
fn a_listener_is_not_ready_for_clients_that_have_not_said_enough() {
    let listener = Listener::new(Some(b"key")).unwrap();
    let Address::Path(path) = listener.address() else { panic!("{listener:?}") };
    let mut silent = UnixStream::connect(path).unwrap();
    silent.write_all(b"mpc1").unwrap();
    assert_eq!(takes_at_least(SHORT, || wait(&[&listener], Some(SHORT))).unwrap(), [0; 0]);
    silent.write_all(&[7; 32]).unwrap();
    assert_eq!(wait(&[&listener], Some(SHORT)).unwrap(), [0; 0]);
    // A wrong proof is something for `accept`.
    silent.write_all(&[7; 36]).unwrap();
    assert_eq!(wait(&[&listener], Some(LONG)).unwrap(), [0]);
    assert!(matches!(at_once(|| listener.accept()), Err(ConnectionError::Authentication { .. })));
    assert_eq!(wait(&[&listener], NOW).unwrap(), [0; 0]);
}

#[test]
fn a_client_that_was_seen_by_a_wait_is_accepted_by_a_thread_that_already_sleeps() {
    for _ in 0..200 {
        let listener = Listener::bind(("127.0.0.1", 0), None).unwrap();
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept());
            let waiting = scope.spawn(|| {
                while wait(&[&listener], Some(Duration::from_millis(1))).unwrap().is_empty() {
                    if listener.last_accepted().is_some() {
                        break;
                    }
                }
            });
            let client = Client::connect(listener.address(), None).unwrap();
            client.send(&3).unwrap();
            let connection = accepting.join().unwrap().unwrap();
            assert_eq!(connection.recv::<i32>().unwrap(), 3);
            waiting.join().unwrap();
        });
    }
}

#[test]
fn everything_with_a_descriptor_and_everything_that_names_one_can_be_waited_for() {
    struct Job {
        answers: Connection,
    }
    impl Waitable for Job {
        fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
            self.answers.descriptor()
        }
    }
    let (answers, worker) = Pipe::simplex().unwrap();
    let job = Job { answers };
    let (reader, mut writer) = std::io::pipe().unwrap();
    let shared = Arc::new(reader.try_clone().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let objects: [&dyn Waitable; 4] = [&job, &reader, &shared, &listener];
    assert_eq!(wait(&objects, NOW).unwrap(), [0; 0]);
    worker.send(&1).unwrap();
    writer.write_all(b"x").unwrap();
    assert_eq!(wait(&objects, None).unwrap(), [0, 1, 2]);
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert_eq!(wait(&[&listener], Some(LONG)).unwrap(), [0]);
}

#[test]
fn what_says_it_is_not_ready_is_asked_again() {
    /// Ready after so many bytes.
    struct Gate<'a>(&'a UnixStream, std::cell::Cell<u32>);
    impl Waitable for Gate<'_> {
        fn descriptor(&self) -> Result<Descriptor<'_>, ConnectionError> {
            self.0.descriptor()
        }
        fn is_ready(&self, is_readable: bool) -> Result<bool, ConnectionError> {
            if is_readable && self.1.get() > 0 {
                let n = (&mut &*self.0).read(&mut [0]).unwrap();
                self.1.set(self.1.get() - u32::try_from(n).unwrap());
            }
            Ok(self.1.get() == 0)
        }
    }
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let gate = Gate(&ours, 3.into());
    theirs.write_all(b"xx").unwrap();
    assert_eq!(wait(&[&gate], Some(SHORT)).unwrap(), [0; 0]);
    theirs.write_all(b"x").unwrap();
    assert_eq!(wait(&[&gate], None).unwrap(), [0]);
    assert_eq!(wait(&[&gate], None).unwrap(), [0]);
}
