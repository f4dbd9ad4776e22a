//! What survivors see after a SIGKILL of the other side, at whatever it was.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::{connections, listeners, sleeps, this_thread};
use mp::connection::{Address, Client, Listener, wait};
use mp::{Connection, ConnectionError, Pipe};
use mp_testing::limits::LONG;

mp::enable_test_support!();

fn kill_9(p: &mp::Process<()>) {
    p.kill();
    p.join().unwrap_err();
    assert_eq!(p.exitcode(), Some(-9));
}

/// Sends a message that does not fit into the socket, after it has told which thread that is.
fn sends_a_long_one(end: Connection, told: Connection) -> mp::Result<()> {
    end.send("whole")?;
    told.send(&this_thread())?;
    end.send_bytes(&vec![7; 64 << 20])?;
    mp::bail!("somebody received it")
}

#[test]
fn cn_19_a_peer_killed_in_the_middle_of_a_message_is_told_from_a_clean_end() {
    for round in 0..10 {
        for (ours, theirs) in connections() {
            let (told, telling) = Pipe::simplex().unwrap();
            let p = mp::Process::start(sends_a_long_one, (theirs.clone(), telling)).unwrap();
            theirs.close();
            sleeps(p.pid(), told.recv().unwrap());
            if round % 2 == 0 {
                kill_9(&p);
            } else {
                // While it is being received.
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        assert!(ours.poll(Some(LONG)).unwrap());
                        kill_9(&p);
                    });
                });
            }
            assert_eq!(ours.recv::<String>().unwrap(), "whole");
            match ours.recv_bytes() {
                Err(ConnectionError::Truncated { got, len }) => {
                    assert!(got > 0 && got < len && len > 64 << 20, "{got} of {len}");
                }
                // Over the network the rest may be lost with the process.
                other => panic!("{:?}", other.map(|message| message.len())),
            }
            assert!(matches!(ours.recv_bytes(), Err(ConnectionError::EndOfFile)));
        }
    }
}

#[test]
fn cn_19_a_peer_killed_at_a_random_instant_leaves_whole_messages_and_one_end() {
    let sends = |end: Connection| -> mp::Result<()> {
        for number in 0_u64.. {
            let len = usize::try_from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 47)?;
            let mut message = vec![0; len + 8];
            message[..8].copy_from_slice(&number.to_le_bytes());
            message[8..].fill(number.to_le_bytes()[0]);
            end.send_bytes(&message)?;
        }
        Ok(())
    };
    let mut truncated = 0;
    for round in 0..40 {
        let (ours, theirs) = Pipe::duplex().unwrap();
        let p = mp::Process::start(sends, (theirs,)).unwrap();
        let mut count = 0_u64;
        let error = loop {
            match ours.recv_bytes() {
                Ok(message) => {
                    assert_eq!(message[..8], count.to_le_bytes());
                    assert!(message[8..].iter().all(|byte| *byte == count.to_le_bytes()[0]));
                    count += 1;
                }
                Err(error) => break error,
            }
            if count == 1 + round % 8 {
                p.kill();
            }
        };
        truncated += u32::from(matches!(error, ConnectionError::Truncated { .. }));
        let is_end =
            matches!(error, ConnectionError::EndOfFile | ConnectionError::Truncated { .. });
        assert!(is_end, "{error:?}");
        assert!(matches!(ours.recv_bytes(), Err(ConnectionError::EndOfFile)));
        kill_9(&p);
    }
    eprintln!("{truncated} of 40 in the middle of a message");
}

#[test]
fn cn_12_a_killed_peer_ends_a_receive_a_poll_and_a_wait() {
    let holds = |end: Connection, told: Connection| -> mp::Result<()> {
        told.send(&())?;
        end.recv::<()>()?;
        Ok(())
    };
    for (ours, theirs) in connections() {
        let (told, telling) = Pipe::simplex().unwrap();
        let p = mp::Process::start(holds, (theirs.clone(), telling)).unwrap();
        theirs.close();
        told.recv::<()>().unwrap();
        std::thread::scope(|scope| {
            let receiving = scope.spawn(|| ours.recv::<()>());
            let polling = scope.spawn(|| ours.poll(Some(LONG)));
            let waiting = scope.spawn(|| wait(&[&ours, &told], Some(LONG)));
            kill_9(&p);
            let received = receiving.join().unwrap();
            assert!(matches!(received, Err(ConnectionError::EndOfFile)), "{received:?}");
            assert!(polling.join().unwrap().unwrap());
            assert!(!waiting.join().unwrap().unwrap().is_empty());
        });
        assert_eq!(wait(&[&ours, &told, &p], None).unwrap(), [0, 1, 2]);
    }
}

#[test]
fn cn_15_a_killed_receiver_ends_a_send() {
    let holds = |end: Connection, told: Connection| -> mp::Result<()> {
        told.send(&end.poll(None)?)?;
        loop {
            std::thread::park();
        }
    };
    for (ours, theirs) in connections() {
        let (told, telling) = Pipe::simplex().unwrap();
        let p = mp::Process::start(holds, (theirs.clone(), telling)).unwrap();
        theirs.close();
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| ours.send_bytes(&vec![0; 64 << 20]));
            assert!(told.recv::<bool>().unwrap());
            kill_9(&p);
            let outcome = sending.join().unwrap();
            assert!(matches!(outcome, Err(ConnectionError::BrokenPipe)), "{outcome:?}");
        });
    }
}

#[test]
fn a_client_killed_in_its_handshake_delays_nobody() {
    let connects = |address: Address, told: Connection| -> mp::Result<()> {
        told.send(&this_thread())?;
        Client::connect(address, Some(b"key"))?;
        Ok(())
    };
    for listener in listeners(Some(b"key")) {
        let (told, telling) = Pipe::simplex().unwrap();
        let address = listener.address().clone();
        let dead = mp::Process::start(connects, (address.clone(), telling)).unwrap();
        sleeps(dead.pid(), told.recv().unwrap());
        kill_9(&dead);
        let good = mp::Process::start(common::hello, (address, Some(b"key".to_vec()))).unwrap();
        // The dead one said how it wants to talk, and left: that is an error of its own.
        let connection = (0..2).find_map(|_| listener.accept().ok()).unwrap();
        connection.send("welcome").unwrap();
        assert_eq!(good.into_result().unwrap(), "welcome");
    }
}

#[test]
fn a_killed_listener_is_an_end_for_its_clients_and_refuses_new_ones() {
    let listens = |told: Connection| -> mp::Result<()> {
        let listeners = listeners(None);
        let addresses: Vec<Address> = listeners.iter().map(|l| l.address().clone()).collect();
        told.send(&addresses)?;
        let _accepted: Vec<_> = listeners.iter().map(Listener::accept).collect();
        told.send(&())?;
        loop {
            std::thread::park();
        }
    };
    let (told, telling) = Pipe::simplex().unwrap();
    let p = mp::Process::start(listens, (telling,)).unwrap();
    let addresses: Vec<Address> = told.recv().unwrap();
    let clients: Vec<_> = addresses.iter().map(|a| Client::connect(a, None).unwrap()).collect();
    told.recv::<()>().unwrap();
    let waiting = Client::connect(&addresses[0], None).unwrap();
    kill_9(&p);
    for client in clients.iter().chain([&waiting]) {
        let end = client.recv::<()>();
        assert!(matches!(end, Err(ConnectionError::EndOfFile)), "{end:?}");
    }
    for address in &addresses {
        let error =
            Client::connect_timeout(address, Some(b"k"), Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.io_kind(), Some(std::io::ErrorKind::ConnectionRefused), "{error:?}");
    }
    // Its file is left behind, and whoever knows that nobody listens there removes it.
    let Address::Path(path) = &addresses[0] else { panic!("{addresses:?}") };
    let error = Listener::bind(path, None).unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse));
    std::fs::remove_file(path).unwrap();
    drop(Listener::bind(path, None).unwrap());
    assert!(!path.exists());
    std::fs::remove_dir(path.parent().unwrap()).unwrap();
}
