//! Whatever bytes arrive, they are messages or an error.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use mp::connection::Direction;
use mp::{Connection, ConnectionError};
use mp_reduction::wire::{HEADER_LEN, Header};
use proptest::prelude::*;

/// The kind of a message, which is no promise of the library.
const MESSAGE: u8 = 1;

fn header(len: u64) -> [u8; HEADER_LEN] {
    Header { kind: MESSAGE, descriptors: 0, len }.to_bytes()
}

fn end() -> (UnixStream, Connection) {
    let (raw, end) = UnixStream::pair().unwrap();
    (raw, end.into())
}

/// Receives until there is no more; what it got, and what ended it.
fn receive_all(end: &Connection) -> (Vec<Vec<u8>>, ConnectionError) {
    let mut messages = Vec::new();
    loop {
        match end.recv_bytes() {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, error),
        }
    }
}

#[test]
fn the_kind_of_a_message_is_known_to_these_tests() {
    let (mut raw, end) = end();
    raw.write_all(&header(3)).unwrap();
    raw.write_all(b"abc").unwrap();
    assert_eq!(end.recv_bytes().unwrap(), b"abc");
    end.send_bytes(b"de").unwrap();
    let mut bytes = [0; HEADER_LEN + 2];
    raw.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes, *[&header(2)[..], b"de"].concat());
}

#[test]
fn cn_22_an_absurd_length_is_an_error_at_once() {
    for len in [u64::MAX, u64::MAX - 15, i64::MAX as u64, 1 << 63, 1 << 62, 1 << 47] {
        let (mut raw, end) = end();
        raw.write_all(&header(len)).unwrap();
        let error = end.recv_bytes().unwrap_err();
        assert!(
            matches!(error, ConnectionError::NoMemory { len: found } if found == len),
            "{error}"
        );
        assert!(matches!(end.recv_bytes(), Err(ConnectionError::NotReadable)));
        end.send_bytes(b"it still sends").unwrap();
    }
}

#[test]
fn cn_08_a_length_beyond_32_bits_is_none_of_the_absurd_ones() {
    let (mut raw, end) = end();
    let len = (4_u64 << 30) + 1;
    match end.poll(Some(Duration::ZERO)) {
        Ok(false) => raw.write_all(&header(len)).unwrap(),
        other => panic!("{other:?}"),
    }
    raw.write_all(&[0; 1000]).unwrap();
    drop(raw);
    let expected = (1000 + HEADER_LEN as u64, len + HEADER_LEN as u64);
    match end.recv_bytes() {
        Err(ConnectionError::Truncated { got, len }) => assert_eq!((got, len), expected),
        // A machine without so much memory.
        Err(ConnectionError::NoMemory { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_no_header_ends_receiving() {
    for noise in [*b"GET / HTTP/1.1\r\n", [0; 16], [0xff; 16]] {
        let (mut raw, end) = end();
        raw.write_all(&noise).unwrap();
        let error = end.recv::<String>().unwrap_err();
        assert!(
            matches!(error, ConnectionError::Protocol { header } if header == noise),
            "{error}"
        );
        assert!(!end.is_readable() && end.is_writable());
        assert!(matches!(end.recv_bytes(), Err(ConnectionError::NotReadable)));
    }
    let (mut raw, theirs) = UnixStream::pair().unwrap();
    let end = Connection::from_descriptor(theirs, Direction::Receive).unwrap();
    raw.write_all(&[0; 16]).unwrap();
    assert!(matches!(end.recv_bytes(), Err(ConnectionError::Protocol { .. })));
    assert!(end.is_closed());
}

#[test]
fn cn_19_every_part_of_a_message_is_told_from_none() {
    let whole = [&header(5)[..], b"hello"].concat();
    for len in 0..=whole.len() {
        let (mut raw, end) = end();
        raw.write_all(&whole[..len]).unwrap();
        drop(raw);
        match (len, end.recv_bytes()) {
            (0, Err(ConnectionError::EndOfFile)) => {}
            (21, Ok(message)) => assert_eq!(message, b"hello"),
            (1..21, Err(ConnectionError::Truncated { got, .. })) => assert_eq!(got, len as u64),
            other => panic!("{other:?}"),
        }
        assert!(matches!(end.recv_bytes(), Err(ConnectionError::EndOfFile)), "then it is the end");
    }
}

#[test]
fn a_message_that_comes_byte_by_byte_is_one() {
    let (mut raw, end) = end();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for byte in [&header(5)[..], b"hello", &header(0), &header(1), b"x"].concat() {
                raw.write_all(&[byte]).unwrap();
                std::thread::yield_now();
            }
        });
        let (messages, error) = receive_all(&end);
        assert_eq!(messages, [&b"hello"[..], b"", b"x"]);
        assert!(matches!(error, ConnectionError::EndOfFile));
    });
}

#[test]
fn descriptors_that_nobody_announced_are_closed() {
    let (raw, end) = end();
    let (reader, writer) = std::io::pipe().unwrap();
    let fds = [writer.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&fds)));
    let bytes = [&header(1)[..], b"x"].concat();
    let parts = [std::io::IoSlice::new(&bytes)];
    rustix::net::sendmsg(&raw, &parts, &mut ancillary, rustix::net::SendFlags::empty()).unwrap();
    drop(writer);
    assert_eq!(end.recv_bytes().unwrap(), b"x");
    let mut rest = Vec::new();
    (&reader).read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"", "nobody holds the writing end any more");
}

#[test]
fn announced_descriptors_that_do_not_come_are_one_error() {
    let (mut raw, end) = end();
    raw.write_all(&Header { kind: MESSAGE, descriptors: 2, len: 1 }.to_bytes()).unwrap();
    raw.write_all(b"x").unwrap();
    raw.write_all(&header(1)).unwrap();
    raw.write_all(b"y").unwrap();
    let error = end.recv_bytes().unwrap_err();
    assert!(matches!(error, ConnectionError::DescriptorsLost { expected: 2, arrived: 0 }));
    assert_eq!(end.recv_bytes().unwrap(), b"y");
}

proptest! {
    #[test]
    fn cn_22_any_bytes_are_messages_or_an_error(
        before in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
        kind in 0_u8..4,
        descriptors: u8,
        len: u64,
        has_mark: bool,
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let (mut raw, end) = end();
        for message in &before {
            raw.write_all(&header(message.len() as u64)).unwrap();
            raw.write_all(message).unwrap();
        }
        if has_mark {
            raw.write_all(&Header { kind, descriptors, len }.to_bytes()).unwrap();
        }
        raw.write_all(&noise).unwrap();
        drop(raw);
        let (messages, error) = receive_all(&end);
        prop_assert_eq!(&messages[..before.len()], &before[..]);
        let is_clean = matches!(error, ConnectionError::EndOfFile);
        prop_assert!(!is_clean || (!has_mark && noise.is_empty()) || messages.len() > before.len());
    }
}
