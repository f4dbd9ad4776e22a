//! Ends, handles and descriptors go to other processes and work there.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{connections, echo, listeners};
use mp::connection::{Address, Client, Direction};
use mp::{Connection, ConnectionError, DupFd, Pipe};
use mp_testing::limits::{LONG, alone, at_once, comes_true};
use mp_testing::system::{ends_within, holdings, settle_at};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[test]
fn cn_11_a_poll_in_another_process_takes_nothing_out() {
    let polls = |end: Connection, told: Connection| -> mp::Result<()> {
        for _ in 0..3 {
            told.send(&end.poll(None)?)?;
        }
        told.recv::<()>()?;
        Ok(())
    };
    for (ours, theirs) in connections() {
        let (told, telling) = Pipe::duplex().unwrap();
        let p = mp::Process::start(polls, (theirs.clone(), telling)).unwrap();
        ours.send_bytes(&[5; 3000]).unwrap();
        ours.send_bytes(b"next").unwrap();
        for _ in 0..3 {
            assert!(told.recv::<bool>().unwrap());
        }
        // The other process still has its copy.
        assert_eq!(theirs.recv_bytes().unwrap(), [5; 3000]);
        assert_eq!(theirs.recv_bytes().unwrap(), b"next");
        told.send(&()).unwrap();
        p.join().unwrap();
    }
}

#[test]
fn cn_11_processes_that_take_turns_at_one_end_get_whole_messages() {
    const MESSAGES: u32 = 300;
    let takes = |end: Connection, turns: mp::Lock| -> mp::Result<Vec<u32>> {
        let mut taken = Vec::new();
        loop {
            let _turn = turns.acquire()?;
            match end.recv::<(u32, String)>() {
                Ok((number, text)) => {
                    mp::ensure!(text.len() == usize::try_from(number * 40)?);
                    taken.push(number);
                }
                Err(ConnectionError::EndOfFile) => return Ok(taken),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let turns = mp::Lock::new().unwrap();
    let start = |_| mp::Process::start(takes, (theirs.clone(), turns.clone())).unwrap();
    let takers: Vec<_> = (0..3).map(start).collect();
    theirs.close();
    for number in 0..MESSAGES {
        let text = "x".repeat(usize::try_from(number * 40).unwrap());
        ours.send(&(number, text)).unwrap();
    }
    ours.close();
    let taken = takers.into_iter().map(|p| p.into_result().unwrap());
    let mut taken: Vec<u32> = taken.flatten().collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..MESSAGES).collect::<Vec<_>>());
}

#[test]
fn cn_14_there_is_no_end_while_a_copy_of_the_other_end_is_open_anywhere() {
    let holds = |end: Connection, told: Connection| -> mp::Result<()> {
        told.recv::<()>()?;
        end.send("bye")?;
        Ok(())
    };
    let (receiver, sender) = Pipe::simplex().unwrap();
    let (told, telling) = Pipe::duplex().unwrap();
    let p = mp::Process::start(holds, (sender, telling)).unwrap();
    assert!(!receiver.poll(Some(Duration::from_millis(100))).unwrap());
    told.send(&()).unwrap();
    assert_eq!(receiver.recv::<String>().unwrap(), "bye");
    assert!(matches!(receiver.recv::<String>(), Err(ConnectionError::EndOfFile)));
    p.join().unwrap();
}

#[test]
fn cn_14_ends_do_not_leak_into_processes_that_start_meanwhile() {
    let lives = |told: Connection| -> mp::Result<()> {
        told.recv::<()>()?;
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let (stop, stopping) = Pipe::simplex().unwrap();
                    let (receiver, sender) = Pipe::simplex().unwrap();
                    let p = mp::Process::start(lives, (stop,)).unwrap();
                    let (accepted, client) = connections().swap_remove(1);
                    // Whoever was started meanwhile lives on and has no copy.
                    drop((sender, client));
                    let end = at_once(|| receiver.recv::<()>());
                    assert!(matches!(end, Err(ConnectionError::EndOfFile)));
                    let end = at_once(|| accepted.recv::<()>());
                    assert!(matches!(end, Err(ConnectionError::EndOfFile)));
                    assert!(p.is_alive());
                    stopping.send(&()).unwrap();
                    p.join().unwrap();
                }
            });
        }
    });
}

#[test]
fn every_descriptor_is_closed_on_exec() {
    let listeners = listeners(Some(b"key"));
    let pairs = connections();
    assert!(!pairs[0].0.poll(Some(Duration::from_millis(1))).unwrap(), "which makes a waker");
    for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap() {
        let entry = entry.unwrap();
        let Ok(info) = std::fs::read_to_string(entry.path()) else { continue };
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let is_ours = std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok_and(|file| {
            let file = file.to_string_lossy();
            number > 2 && (file.starts_with("socket") || file.starts_with("anon_inode"))
        });
        assert!(!is_ours || flags & 0o2_000_000 != 0, "descriptor {number} is inherited");
    }
    drop((listeners, pairs));
}

fn file_with(text: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn text_of(mut file: File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn cn_23_a_descriptor_that_was_sent_is_usable() {
    let writes = |end: Connection| -> mp::Result<()> {
        let file: DupFd = end.recv()?;
        file.into::<File>().write_all(b"foo")?;
        Ok(())
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let file = file_with("");
    let p = mp::Process::start(writes, (theirs,)).unwrap();
    ours.send(&DupFd::from(file.try_clone().unwrap())).unwrap();
    p.join().unwrap();
    assert_eq!(text_of(file), "foo");
}

/// Has every number below `limit` in use until the result is dropped.
fn occupy_numbers_below(limit: i32) -> mp::Result<Vec<OwnedFd>> {
    let mut occupied = Vec::new();
    loop {
        let copy = OwnedFd::from(File::open("/dev/null")?);
        if copy.as_raw_fd() >= limit {
            return Ok(occupied);
        }
        occupied.push(copy);
    }
}

#[test]
fn cn_23_numbers_beyond_256_and_1024_are_as_good_as_others() {
    let child = |limit: i32| -> mp::Result<()> {
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        files.current = files.maximum;
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files)?;
        let (early, early_peer) = Pipe::duplex()?;
        let _occupied = occupy_numbers_below(limit)?;
        let (a, b) = Pipe::duplex()?;
        mp::ensure!(a.fileno()? >= limit);
        let mut file = tempfile::tempfile()?;
        for (a, b) in [(&a, &b), (&early, &early_peer)] {
            a.send(&DupFd::from(file.try_clone()?))?;
            mp::ensure!(b.poll(Some(LONG))?);
            mp::ensure!(mp::connection::wait(&[b, a], Some(LONG))? == [0]);
            let copy: DupFd = b.recv()?;
            mp::ensure!(copy.as_fd().as_raw_fd() >= limit);
            copy.into::<File>().write_all(b"foo")?;
        }
        let (ours, theirs) = &connections()[1];
        ours.send("x")?;
        mp::ensure!(theirs.recv::<String>()? == "x");
        file.rewind()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        mp::ensure!(text == "foofoo", "{text}");
        Ok(())
    };
    for limit in [256, 1100] {
        mp::Process::start(child, (limit,)).unwrap().join().unwrap();
    }
}

#[test]
fn cn_24_data_where_a_descriptor_was_expected_is_an_error() {
    let (a, b) = Pipe::duplex().unwrap();
    a.send("no descriptor").unwrap();
    a.send(&0_u64).unwrap(); // as if one had come along
    a.send(&(0_u64, Direction::Duplex)).unwrap();
    assert!(matches!(b.recv::<DupFd>(), Err(ConnectionError::Decode(_))));
    assert!(matches!(b.recv::<DupFd>(), Err(ConnectionError::Decode(_))));
    assert!(matches!(b.recv::<Connection>(), Err(ConnectionError::Decode(_))));
    // A descriptor, but of no socket.
    let (number, direction) = (DupFd::from(File::open("/dev/null").unwrap()), Direction::Duplex);
    a.send(&(number, direction)).unwrap();
    let error = b.recv::<Connection>().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("it is no socket"), "{cause}");
    a.send(&1).unwrap();
    assert_eq!(b.recv::<i32>().unwrap(), 1);
}

/// Whatever is sent with connections in it.
#[derive(Serialize, Deserialize)]
struct Parcel {
    ends: Vec<Option<Connection>>,
    note: String,
}

#[test]
fn cn_25_accepted_connections_go_through_a_pipe_and_work_after_the_sender_closed_its_own() {
    let answers = |end: Connection| -> mp::Result<()> {
        while let Ok(parcel) = end.recv::<Parcel>() {
            for client in parcel.ends.iter().flatten() {
                let question: String = client.recv()?;
                client.send(&(question + &parcel.note))?;
            }
        }
        Ok(())
    };
    let asks = |address: Address, key: Option<Vec<u8>>| common::hello(address, key);
    for key in [None, Some(b"key".to_vec())] {
        let (ours, theirs) = Pipe::duplex().unwrap();
        let server = mp::Process::start(answers, (theirs,)).unwrap();
        for listener in listeners(key.as_deref()) {
            let arguments = (listener.address().clone(), key.clone());
            let client = mp::Process::start(asks, arguments).unwrap();
            let accepted = listener.accept().unwrap();
            let parcel =
                Parcel { ends: vec![None, Some(accepted.clone())], note: ", dear".to_owned() };
            ours.send(&parcel).unwrap();
            accepted.close();
            listener.close();
            assert_eq!(client.into_result().unwrap(), "hello, dear");
        }
        ours.close();
        server.join().unwrap();
    }
}

#[test]
fn cn_25_plain_sockets_go_through_a_pipe() {
    let reads = |end: Connection| -> mp::Result<String> {
        let mut socket = end.recv::<DupFd>()?.into::<UnixStream>();
        let mut text = String::new();
        socket.read_to_string(&mut text)?;
        Ok(text)
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let p = mp::Process::start(reads, (theirs,)).unwrap();
    let (mut socket, other) = UnixStream::pair().unwrap();
    ours.send(&DupFd::from(other)).unwrap();
    socket.write_all(b"plain").unwrap();
    drop(socket);
    assert_eq!(p.into_result().unwrap(), "plain");
}

#[test]
fn cn_25_what_was_not_received_when_an_end_is_sent_away_is_received_there() {
    let receives = |end: Connection| -> mp::Result<Vec<String>> {
        let end: Connection = end.recv()?;
        Ok(vec![end.recv()?, end.recv()?])
    };
    for (a, b) in connections() {
        for text in ["first", "second", "third"] {
            a.send(text).unwrap();
        }
        assert_eq!(b.recv::<String>().unwrap(), "first");
        let (ours, theirs) = Pipe::duplex().unwrap();
        let p = mp::Process::start(receives, (theirs,)).unwrap();
        ours.send(&b).unwrap();
        drop(b);
        assert_eq!(p.into_result().unwrap(), ["second", "third"]);
    }
}

#[test]
fn cn_26_a_one_way_end_keeps_its_direction_on_its_way() {
    let writes = |end: Connection| -> mp::Result<()> {
        let sender: Connection = end.recv()?;
        mp::ensure!(sender.is_writable() && !sender.is_readable());
        sender.send("all is well")?;
        drop(sender);
        let receiver: Connection = end.recv()?;
        mp::ensure!(receiver.is_readable() && !receiver.is_writable());
        mp::ensure!(receiver.recv::<String>()? == "foobar");
        // And back again.
        end.send(&receiver)?;
        Ok(())
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let p = mp::Process::start(writes, (theirs,)).unwrap();
    let (receiver, sender) = Pipe::simplex().unwrap();
    ours.send(&sender).unwrap();
    sender.close();
    assert_eq!(receiver.recv::<String>().unwrap(), "all is well");
    assert!(matches!(receiver.recv::<String>(), Err(ConnectionError::EndOfFile)));

    let (receiver, sender) = Pipe::simplex().unwrap();
    ours.send(&receiver).unwrap();
    receiver.close();
    sender.send("foobar").unwrap();
    let back: Connection = ours.recv().unwrap();
    assert!(back.is_readable() && !back.is_writable());
    sender.send("foobar").unwrap();
    assert_eq!(back.recv::<String>().unwrap(), "foobar");
    p.join().unwrap();
}

#[test]
fn an_end_goes_to_a_grandchild_and_comes_back_as_a_result() {
    let child = |end: Connection| -> mp::Result<Connection> {
        let grandchild = |end: Connection| -> mp::Result<Connection> {
            end.send(&std::process::id())?;
            Ok(end)
        };
        Ok(mp::Process::start(grandchild, (end,))?.into_result()?)
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let p = mp::Process::start(child, (theirs,)).unwrap();
    assert_ne!(ours.recv::<u32>().unwrap(), p.pid());
    let back = p.into_result().unwrap();
    back.send("I am here").unwrap();
    assert_eq!(ours.recv::<String>().unwrap(), "I am here");
    drop(back);
    assert!(matches!(ours.recv::<()>(), Err(ConnectionError::EndOfFile)));
}

#[test]
fn an_end_goes_through_a_queue() {
    let child = |q: mp::Queue<Connection>| -> mp::Result<()> { Ok(q.get()?.send("hello")?) };
    let q = mp::Queue::new().unwrap();
    let (ours, theirs) = Pipe::duplex().unwrap();
    let p = mp::Process::start(child, (q.clone(),)).unwrap();
    q.put(&theirs).unwrap();
    drop(theirs);
    assert_eq!(ours.recv::<String>().unwrap(), "hello");
    p.join().unwrap();
    assert!(matches!(ours.recv::<()>(), Err(ConnectionError::EndOfFile)));
}

#[test]
fn handles_of_all_kinds_go_through_a_local_connection() {
    let child = |end: Connection| -> mp::Result<()> {
        let (lock, value): (mp::Lock, mp::Value<i64>) = end.recv()?;
        let _held = lock.acquire()?;
        value.set(7)?;
        Ok(())
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let p = mp::Process::start(child, (theirs,)).unwrap();
    let value = mp::Value::new(0_i64).unwrap();
    ours.send(&(mp::Lock::new().unwrap(), value.clone())).unwrap();
    p.join().unwrap();
    assert_eq!(value.get().unwrap(), 7);
}

#[test]
fn descriptors_over_the_network_are_an_error_and_nothing_is_sent() {
    let listener = mp::connection::Listener::bind(("127.0.0.1", 0), None).unwrap();
    let client = Client::connect(listener.address(), None).unwrap();
    let server = listener.accept().unwrap();
    let (a, _b) = Pipe::duplex().unwrap();
    let error = client.send(&vec![a.clone(), a]).unwrap_err();
    assert!(matches!(error, ConnectionError::DescriptorsUnsupported { count: 2 }), "{error}");
    let lock = mp::Lock::new().unwrap();
    let error = client.send(&lock).unwrap_err();
    assert!(matches!(error, ConnectionError::DescriptorsUnsupported { .. }), "{error}");
    client.send("text").unwrap();
    assert_eq!(server.recv::<String>().unwrap(), "text");
}

#[test]
fn more_descriptors_than_a_message_carries_are_an_error_and_nothing_is_sent() {
    let (a, b) = Pipe::duplex().unwrap();
    let null = File::open("/dev/null").unwrap();
    let copies = (0..mp_reduction::MAX_DESCRIPTORS + 1).map(|_| null.try_clone().unwrap().into());
    let copies: Vec<OwnedFd> = copies.collect();
    let too_many = mp_reduction::Message::from_parts(Vec::new(), copies);
    assert!(matches!(a.send_message(&too_many), Err(ConnectionError::Encode(_))));
    let too_many: Vec<&Connection> = vec![&a; mp_reduction::MAX_DESCRIPTORS + 1];
    assert!(matches!(a.send(&too_many), Err(ConnectionError::Encode(_))));
    assert!(!b.poll(Some(Duration::ZERO)).unwrap());
    let most: Vec<&Connection> = vec![&a; mp_reduction::MAX_DESCRIPTORS];
    a.send(&most).unwrap();
    assert_eq!(b.recv::<Vec<Connection>>().unwrap().len(), most.len());
}

#[test]
fn an_end_is_no_text() {
    let (a, _b) = Pipe::duplex().unwrap();
    let error = serde_json::to_string(&a).unwrap_err().to_string();
    assert!(error.contains("only for another process"), "{error}");
    assert!(serde_json::from_str::<Connection>("[0,\"Duplex\"]").is_err());
}

#[test]
fn nothing_is_left_open_of_ends_that_were_sent_received_or_never_received() {
    alone(|| {
        let run = || -> mp::Result<()> {
            for (a, b) in connections() {
                a.send("x")?;
                b.recv::<String>()?;
                mp::ensure!(!b.poll(Some(Duration::from_millis(1)))?);
                let (mut ours, theirs) = Pipe::duplex()?;
                ours.send(&(&a, &b))?;
                ours.send(&(&a, &b))?;
                let (a2, b2): (Connection, Connection) = theirs.recv()?;
                a2.send(&1)?;
                mp::ensure!(b2.recv::<i32>()? == 1);
                ours = theirs; // with a message in it that nobody receives
                drop(ours);
            }
            // An end that lies in its own pipe.
            let (a, b) = Pipe::duplex()?;
            a.send(&b)?;
            b.recv_bytes()?;
            Ok(())
        };
        run()?;
        let before = holdings();
        for _ in 0..20 {
            run()?;
        }
        let after = settle_at(before, Duration::from_secs(5));
        mp::ensure!(after == before, "{after:?} instead of {before:?}");
        Ok(())
    });
}

#[test]
fn at_the_limit_of_open_files_descriptors_are_lost_and_messages_are_not() {
    alone(|| {
        let (a, b) = Pipe::duplex()?;
        let null = DupFd::from(File::open("/dev/null")?);
        mp::ensure!(!b.poll(Some(Duration::from_millis(1)))?);
        a.send(&null)?;
        a.send("next")?;
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let before = files;
        files.current = Some(u64::try_from(holdings().descriptors)?);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files)?;
        while File::open("/dev/null").map(std::mem::forget).is_ok() {}
        let lost = b.recv::<DupFd>();
        let made = Pipe::duplex().map(drop);
        let sent = a.send(&null);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, before)?;
        let expected = ConnectionError::DescriptorsLost { expected: 1, arrived: 0 };
        mp::ensure!(format!("{lost:?}") == format!("{:?}", Err::<(), _>(expected)), "{lost:?}");
        mp::ensure!(made.is_err_and(|error| matches!(error, ConnectionError::Io { .. })));
        mp::ensure!(matches!(sent, Err(ConnectionError::Encode(_))), "{sent:?}");
        mp::ensure!(b.recv::<String>()? == "next");
        a.send(&null)?;
        b.recv::<DupFd>()?;
        Ok(())
    });
}

#[test]
fn a_process_that_only_holds_a_copy_ends_without_harm_to_the_others() {
    let (ours, theirs) = Pipe::duplex().unwrap();
    let holder =
        mp::Process::start(|_: Connection| -> mp::Result<()> { Ok(()) }, (theirs.clone(),));
    holder.unwrap().join().unwrap();
    let worker = mp::Process::start(echo, (theirs,)).unwrap();
    ours.send_bytes(b"still there").unwrap();
    assert_eq!(ours.recv_bytes().unwrap(), b"still there");
    let pid = worker.pid();
    worker.kill();
    assert!(ends_within(pid, LONG).unwrap() && comes_true(|| worker.done()));
    assert!(matches!(ours.recv_bytes(), Err(ConnectionError::EndOfFile)));
}
