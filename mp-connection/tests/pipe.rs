//! What goes in at one end comes out at the other, in this process and in another, whatever carries it.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{connections, echo};
use mp::connection::Direction;
use mp::{Connection, ConnectionError, Pipe};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    lines: Vec<(String, f64)>,
    notes: BTreeMap<String, Option<char>>,
}

fn order() -> Order {
    let lines = vec![("screws".to_owned(), 0.25), ("nails".to_owned(), f64::MAX)];
    Order { id: 1 << 60, lines, notes: [("a".to_owned(), Some('ß'))].into() }
}

#[test]
fn cn_01_both_ends_of_a_duplex_connection_send_and_receive_values() {
    for (a, b) in connections() {
        assert!(a.is_readable() && a.is_writable() && b.is_readable() && b.is_writable());
        let nothing: () = a.send(&order()).unwrap();
        b.send(&nothing).unwrap();
        assert_eq!(b.recv::<Order>().unwrap(), order());
        a.recv::<()>().unwrap();
        a.send("text").unwrap();
        a.send([1, 2].as_slice()).unwrap();
        assert_eq!(b.recv::<String>().unwrap(), "text");
        assert_eq!(b.recv::<Vec<i32>>().unwrap(), [1, 2]);
    }
}

#[test]
fn cn_01_another_process_answers() {
    let child = |end: Connection| -> mp::Result<()> {
        let mut order: Order = end.recv()?;
        order.id += 1;
        Ok(end.send(&order)?)
    };
    let (ours, theirs) = Pipe::duplex().unwrap();
    let p = mp::Process::start(child, (theirs,)).unwrap();
    ours.send(&order()).unwrap();
    assert_eq!(ours.recv::<Order>().unwrap(), Order { id: order().id + 1, ..order() });
    p.join().unwrap();
}

#[test]
fn cn_02_a_one_way_pipe_goes_one_way() {
    let (receiver, sender) = Pipe::simplex().unwrap();
    assert!(receiver.is_readable() && !receiver.is_writable());
    assert!(!sender.is_readable() && sender.is_writable());
    assert!(matches!(receiver.send(&1), Err(ConnectionError::NotWritable)));
    assert!(matches!(receiver.send_bytes(b"1"), Err(ConnectionError::NotWritable)));
    assert!(matches!(receiver.send_bytes_from(b"1", 0, None), Err(ConnectionError::NotWritable)));
    assert!(matches!(sender.recv::<i32>(), Err(ConnectionError::NotReadable)));
    assert!(matches!(sender.recv_bytes(), Err(ConnectionError::NotReadable)));
    assert!(matches!(sender.recv_bytes_into(&mut [0], 0), Err(ConnectionError::NotReadable)));
    assert!(matches!(sender.poll(None), Err(ConnectionError::NotReadable)));
    sender.send(&1).unwrap();
    assert_eq!(receiver.recv::<i32>().unwrap(), 1);
}

#[test]
fn cn_03_messages_of_bytes_keep_their_boundaries() {
    for (a, b) in connections() {
        for message in ["a", "b", "cd", "", "e"] {
            a.send_bytes(message.as_bytes()).unwrap();
        }
        for message in ["a", "b", "cd", "", "e"] {
            assert_eq!(b.recv_bytes().unwrap(), message.as_bytes());
        }
    }
}

#[test]
fn a_value_and_its_bytes_are_the_same_message() {
    let (a, b) = Pipe::duplex().unwrap();
    a.send(&order()).unwrap();
    let bytes = b.recv_bytes().unwrap();
    b.send_bytes(&bytes).unwrap();
    assert_eq!(a.recv::<Order>().unwrap(), order());
    let message = mp_reduction::encode(&order()).unwrap();
    assert_eq!(message.bytes(), bytes);
    a.send_message(&message).unwrap();
    assert_eq!(b.recv_message().unwrap().decode::<Order>().unwrap(), order());
}

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";

#[test]
fn cn_04_a_part_of_a_buffer_is_a_message() {
    for (a, b) in connections() {
        let parts =
            [(5, None, 5..26), (7, Some(8), 7..15), (26, None, 26..26), (26, Some(0), 26..26)];
        for (offset, len, range) in parts {
            a.send_bytes_from(LETTERS, offset, len).unwrap();
            assert_eq!(b.recv_bytes().unwrap(), &LETTERS[range]);
        }
    }
}

#[test]
fn cn_05_a_range_outside_of_the_buffer_sends_nothing() {
    let (a, b) = Pipe::duplex().unwrap();
    for (offset, len) in [(27, None), (22, Some(5)), (26, Some(1)), (1, Some(usize::MAX))] {
        let error = a.send_bytes_from(LETTERS, offset, len).unwrap_err();
        assert!(matches!(error, ConnectionError::InvalidRange { size: 26, .. }), "{error}");
    }
    assert!(!b.poll(Some(Duration::ZERO)).unwrap());
}

#[test]
fn cn_06_a_message_is_received_into_a_buffer() {
    for (a, b) in connections() {
        let mut buffer = [b'.'; 10];
        a.send_bytes(b"hello").unwrap();
        assert_eq!(b.recv_bytes_into(&mut buffer, 0).unwrap(), 5);
        assert_eq!(&buffer, b"hello.....");
        a.send_bytes(b"hello").unwrap();
        assert_eq!(b.recv_bytes_into(&mut buffer, 5).unwrap(), 5);
        assert_eq!(&buffer, b"hellohello");
        a.send_bytes(b"").unwrap();
        assert_eq!(b.recv_bytes_into(&mut buffer, 10).unwrap(), 0);
        a.send_bytes(b"xy").unwrap();
        assert_eq!(b.recv_bytes_into(&mut buffer, 3).unwrap(), 2);
        assert_eq!(&buffer, b"helxyhello");
    }
}

#[test]
fn cn_07_a_message_too_long_for_a_buffer_is_in_the_error() {
    let (a, b) = Pipe::duplex().unwrap();
    let mut buffer = [b'.'; 40];
    a.send_bytes(&[LETTERS, LETTERS].concat()).unwrap();
    match b.recv_bytes_into(&mut buffer, 0) {
        Err(ConnectionError::BufferTooShort { message, room: 40 }) => {
            assert_eq!(message, [LETTERS, LETTERS].concat());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(buffer, [b'.'; 40]);
    a.send_bytes(b"next").unwrap();
    let error = b.recv_bytes_into(&mut buffer, 41).unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidRange { offset: 41, size: 40, .. }));
    assert_eq!(b.recv_bytes().unwrap(), b"next", "a bad offset takes nothing");
}

#[test]
fn cn_08_a_message_of_16_mib_makes_the_round_trip() {
    let message: Vec<u8> = (0..16_u32 << 20).map(|n| (n % 251).to_le_bytes()[0]).collect();
    for (ours, theirs) in connections() {
        let p = mp::Process::start(echo, (theirs.clone(),)).unwrap();
        theirs.close();
        ours.send_bytes(&message).unwrap();
        assert!(ours.recv_bytes().unwrap() == message);
        ours.close();
        p.join().unwrap();
    }
}

#[test]
fn messages_of_every_length_around_a_boundary_arrive_whole() {
    let lens = (1..20)
        .map(|power| 1_usize << power)
        .flat_map(|n| [n.saturating_sub(17), n.saturating_sub(16), n - 1, n, n + 1]);
    for (a, b) in connections() {
        let lens: Vec<usize> = lens.clone().filter(|len| *len < 1 << 20).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| lens.iter().for_each(|len| a.send_bytes(&vec![7; *len]).unwrap()));
            for len in &lens {
                assert!(b.recv_bytes().unwrap() == vec![7; *len], "{len}");
            }
        });
    }
}

#[test]
fn cn_09_poll_waits_for_its_time_and_no_longer_than_needed() {
    for (a, b) in connections() {
        assert!(!at_once(|| b.poll(Some(Duration::ZERO)).unwrap()));
        assert!(!takes_at_least(SHORT, || b.poll(Some(SHORT)).unwrap()));
        a.send(&1).unwrap();
        assert!(at_once(|| b.poll(Some(LONG)).unwrap()));
        assert!(at_once(|| b.poll(Some(Duration::MAX)).unwrap()));
        assert!(at_once(|| b.poll(None).unwrap()));
        assert!(b.poll(Some(Duration::ZERO)).unwrap());
    }
}

#[test]
fn cn_10_poll_takes_nothing_out() {
    for (a, b) in connections() {
        a.send_bytes(b"").unwrap();
        for _ in 0..3 {
            assert!(b.poll(None).unwrap());
        }
        assert_eq!(b.recv_bytes().unwrap(), b"");
        assert!(!b.poll(Some(Duration::ZERO)).unwrap());
        let texts = ["hello", "", "world", "", "", "x", "", "end"];
        texts.iter().for_each(|text| a.send(text).unwrap());
        for text in texts {
            assert!(b.poll(None).unwrap() && b.poll(Some(Duration::ZERO)).unwrap());
            assert_eq!(b.recv::<String>().unwrap(), text);
        }
        assert!(!b.poll(Some(Duration::ZERO)).unwrap());
    }
}

#[test]
fn cn_12_and_cn_13_what_was_sent_before_the_close_comes_first_and_then_the_end() {
    for (a, b) in connections() {
        a.send(&1).unwrap();
        a.send_bytes(b"2").unwrap();
        drop(a);
        assert!(b.poll(None).unwrap());
        assert_eq!(b.recv::<i32>().unwrap(), 1);
        assert_eq!(b.recv_bytes().unwrap(), b"2");
        for _ in 0..2 {
            assert!(b.poll(Some(Duration::ZERO)).unwrap(), "the end is something, too");
            assert!(matches!(b.recv::<i32>(), Err(ConnectionError::EndOfFile)));
            assert!(matches!(b.recv_bytes(), Err(ConnectionError::EndOfFile)));
            assert!(matches!(b.recv_bytes_into(&mut [0], 0), Err(ConnectionError::EndOfFile)));
            assert!(matches!(b.recv_bytes_limited(1), Err(ConnectionError::EndOfFile)));
        }
    }
}

#[test]
fn cn_12_a_peer_that_leaves_messages_behind_is_just_gone() {
    for (a, b) in connections() {
        b.send_bytes(&[0; 1000]).unwrap();
        a.send(&1).unwrap();
        assert!(a.poll(None).unwrap());
        a.close();
        // A network connection that is closed with messages unread may lose what was sent last.
        match b.recv::<i32>() {
            Ok(1) => assert!(matches!(b.recv::<i32>(), Err(ConnectionError::EndOfFile))),
            other => assert!(matches!(other, Err(ConnectionError::EndOfFile)), "{other:?}"),
        }
    }
}

#[test]
fn cn_15_a_closed_peer_is_a_broken_pipe_and_no_signal() {
    // A signal would end this process; the library must not rely on its being ignored.
    let child = || -> mp::Result<()> {
        restore_sigpipe();
        let mut pairs = connections();
        let (receiver, sender) = Pipe::simplex()?;
        pairs.push((receiver, sender));
        for (a, b) in pairs {
            a.close();
            // Over the network the first one is still taken.
            let mut refused = None;
            comes_true(|| {
                refused = b.send(&1).err();
                refused.is_some()
            });
            mp::ensure!(matches!(refused, Some(ConnectionError::BrokenPipe)), "{refused:?}");
        }
        Ok(())
    };
    mp::Process::start(child, ()).unwrap().join().unwrap();
}

#[expect(unsafe_code, reason = "a disposition is set")]
fn restore_sigpipe() {
    // SAFETY: "default" installs no code.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

#[test]
fn cn_15_a_send_that_waits_for_room_ends_when_the_peer_does() {
    for (a, b) in connections() {
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| b.send_bytes(&vec![0; 32 << 20]));
            assert!(a.poll(None).unwrap());
            a.close();
            let outcome = sending.join().unwrap();
            assert!(matches!(outcome, Err(ConnectionError::BrokenPipe)), "{outcome:?}");
        });
    }
}

#[test]
fn cn_16_and_cn_17_after_close_everything_is_an_error() {
    let (a, b) = Pipe::duplex().unwrap();
    assert!(a.fileno().unwrap() > 2);
    assert!(!a.is_closed());
    let clone = a.clone();
    a.close();
    a.close();
    for end in [a, clone] {
        assert!(end.is_closed() && !end.is_readable() && !end.is_writable());
        let is_closed = |outcome: Result<(), ConnectionError>| {
            assert!(matches!(outcome, Err(ConnectionError::Closed)), "{outcome:?}");
        };
        is_closed(end.send(&1));
        is_closed(end.send_bytes(b"1"));
        is_closed(end.send_bytes_from(b"1", 5, None));
        is_closed(end.recv::<()>());
        is_closed(end.recv_bytes().map(drop));
        is_closed(end.recv_bytes_limited(1).map(drop));
        is_closed(end.recv_bytes_into(&mut [], 5).map(drop));
        is_closed(end.poll(Some(Duration::ZERO)).map(drop));
        is_closed(end.fileno().map(drop));
        assert!(
            matches!(b.send(&end), Err(ConnectionError::Encode(_))),
            "it cannot be sent either"
        );
    }
    assert!(matches!(b.recv::<()>(), Err(ConnectionError::EndOfFile)));
}

#[test]
fn cn_18_a_message_beyond_the_limit_ends_receiving() {
    let (receiver, sender) = Pipe::simplex().unwrap();
    sender.send_bytes(b"12345").unwrap();
    assert_eq!(receiver.recv_bytes_limited(5).unwrap(), b"12345");
    sender.send_bytes(b"123456").unwrap();
    let error = receiver.recv_bytes_limited(5).unwrap_err();
    assert!(matches!(error, ConnectionError::MessageTooLong { len: 6, max: 5 }));
    assert!(error.to_string().contains("bad message length"), "{error}");
    assert!(receiver.is_closed());
    assert!(matches!(sender.send_bytes(b"1"), Err(ConnectionError::BrokenPipe)));

    for (a, b) in connections() {
        a.send_bytes(b"123456").unwrap();
        assert!(matches!(b.recv_bytes_limited(0), Err(ConnectionError::MessageTooLong { .. })));
        assert!(!b.is_readable() && b.is_writable() && !b.is_closed());
        assert!(matches!(b.recv_bytes(), Err(ConnectionError::NotReadable)));
        assert!(matches!(b.poll(None), Err(ConnectionError::NotReadable)));
        b.send(&7).unwrap();
        assert_eq!(a.recv::<i32>().unwrap(), 7);
    }
}

#[test]
fn cn_18_who_sends_a_message_beyond_the_limit_does_not_wait_for_ever() {
    let (a, b) = Pipe::duplex().unwrap();
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| a.send_bytes(&vec![0; 32 << 20]));
        assert!(b.recv_bytes_limited(1 << 20).is_err());
        assert!(matches!(sending.join().unwrap(), Err(ConnectionError::BrokenPipe)));
    });
}

#[test]
fn cn_20_a_message_that_is_no_such_value_is_one_error() {
    for (a, b) in connections() {
        a.send("text").unwrap();
        a.send_bytes(b"\xc1").unwrap();
        a.send(&7).unwrap();
        assert!(matches!(b.recv::<i32>(), Err(ConnectionError::Decode(_))));
        assert!(matches!(b.recv::<i32>(), Err(ConnectionError::Decode(_))));
        assert_eq!(b.recv::<i32>().unwrap(), 7);
    }
}

#[test]
fn a_value_that_cannot_be_encoded_sends_nothing() {
    struct Unwilling;
    impl Serialize for Unwilling {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("I do not want to"))
        }
    }
    let (a, b) = Pipe::duplex().unwrap();
    let error = a.send(&Unwilling).unwrap_err();
    assert!(matches!(error, ConnectionError::Encode(_)));
    assert!(!b.poll(Some(Duration::ZERO)).unwrap());
    a.send(&1).unwrap();
    assert_eq!(b.recv::<i32>().unwrap(), 1);
}

#[test]
fn cn_28_the_blocking_mode_of_a_socket_makes_no_difference() {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    let limit = Some(Duration::from_millis(1));
    a.set_read_timeout(limit).unwrap();
    b.set_write_timeout(limit).unwrap();
    let (a, b) = (Connection::from(a), Connection::from(b));
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| a.recv_bytes().unwrap().len());
        assert!(!takes_at_least(SHORT, || b.poll(Some(SHORT)).unwrap()));
        b.send_bytes(&vec![0; 8 << 20]).unwrap();
        assert_eq!(receiving.join().unwrap(), 8 << 20);
    });
}

#[test]
fn sockets_of_the_standard_library_become_ends() {
    let (a, b) = UnixStream::pair().unwrap();
    let (a, b) = (Connection::from(a), Connection::from_descriptor(b, Direction::Receive).unwrap());
    a.send(&1).unwrap();
    assert_eq!(b.recv::<i32>().unwrap(), 1);
    assert!(!b.is_writable());

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let a = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (b, _) = listener.accept().unwrap();
    let (a, b) = (Connection::from(a), Connection::from(b));
    a.send(&2).unwrap();
    assert_eq!(b.recv::<i32>().unwrap(), 2);
}

#[test]
fn cn_21_what_is_no_connected_stream_cannot_be_an_end() {
    let refused = |outcome: Result<Connection, ConnectionError>| {
        assert!(matches!(outcome, Err(ConnectionError::NotASocket { .. })), "{outcome:?}");
    };
    let null = std::fs::File::open("/dev/null").unwrap();
    refused(Connection::from_descriptor(null, Direction::Duplex));
    let (reader, mut writer) = std::io::pipe().unwrap();
    refused(Connection::from_descriptor(reader.try_clone().unwrap(), Direction::Receive));
    let datagrams = std::os::unix::net::UnixDatagram::pair().unwrap();
    refused(Connection::from_descriptor(datagrams.0, Direction::Duplex));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    refused(Connection::from_descriptor(listener, Direction::Duplex));
    // It was looked at, and nothing else.
    writer.write_all(b"x").unwrap();
    drop(writer);
    let mut text = String::new();
    (&reader).read_to_string(&mut text).unwrap();
    assert_eq!(text, "x");
}

#[test]
fn an_end_shows_what_it_is() {
    let (receiver, sender) = Pipe::simplex().unwrap();
    let number = receiver.fileno().unwrap();
    assert_eq!(format!("{receiver:?}"), format!("<Connection Receive fd={number}>"));
    sender.close();
    assert_eq!(format!("{sender:?}"), "<Connection Send closed>");
}
