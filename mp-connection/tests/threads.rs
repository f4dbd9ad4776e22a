//! Threads share an end: they do not disturb each other, and a close reaches all of them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use common::{connections, listeners, sleeps, this_thread, worked};
use mp::connection::{Listener, Waitable, wait};
use mp::{Connection, ConnectionError, Pipe};
use mp_testing::limits::{LONG, at_once};

mp::enable_test_support!();

#[test]
fn cn_29_messages_of_several_threads_do_not_mix() {
    const TIMES: usize = 60;
    for (a, b) in connections() {
        std::thread::scope(|scope| {
            for thread in 1..=4_u8 {
                let a = a.clone();
                scope.spawn(move || {
                    for n in 0..TIMES {
                        a.send_bytes(&vec![thread; 1 + (n * 7919) % 300_000]).unwrap();
                    }
                });
            }
            drop(a);
            let receive = || {
                let mut counts = [0; 5];
                while let Ok(message) = b.recv_bytes() {
                    assert!(message.iter().all(|byte| *byte == message[0]));
                    counts[usize::from(message[0])] += 1;
                }
                counts
            };
            let receivers = [scope.spawn(receive), scope.spawn(receive)];
            let counts = receivers.map(|receiver| receiver.join().unwrap());
            let [ours, theirs] = counts;
            let sums = ours.iter().zip(theirs).map(|(a, b)| a + b);
            assert_eq!(sums.collect::<Vec<_>>(), [0, TIMES, TIMES, TIMES, TIMES]);
        });
    }
}

#[test]
fn cn_29_a_send_and_a_receive_go_on_at_once() {
    for (a, b) in connections() {
        std::thread::scope(|scope| {
            // Neither message fits into the sockets, so each end has to do both.
            for end in [&a, &b] {
                scope.spawn(move || end.send_bytes(&vec![1; 16 << 20]).unwrap());
                scope.spawn(move || assert_eq!(end.recv_bytes().unwrap().len(), 16 << 20));
            }
        });
    }
}

/// Runs `call` in a thread that tells its number first.
fn spawn<'s, T: Send + 's>(
    scope: &'s Scope<'s, '_>,
    told: &Sender<u32>,
    call: impl FnOnce() -> T + Send + 's,
) -> ScopedJoinHandle<'s, T> {
    let told = told.clone();
    scope.spawn(move || {
        told.send(this_thread()).unwrap();
        call()
    })
}

#[test]
fn a_close_wakes_all_who_wait_for_the_end() {
    for (a, b) in connections() {
        let (told, heard) = channel();
        std::thread::scope(|scope| {
            let calls = [
                spawn(scope, &told, || a.recv_bytes().map(drop)),
                spawn(scope, &told, || a.recv::<()>()),
                spawn(scope, &told, || a.poll(None).map(drop)),
                spawn(scope, &told, || a.poll(Some(LONG)).map(drop)),
                spawn(scope, &told, || a.send_bytes(&vec![0; 64 << 20])),
            ];
            for _ in 0..5 {
                sleeps(std::process::id(), heard.recv().unwrap());
            }
            a.close();
            for call in calls {
                let outcome = call.join().unwrap();
                assert!(matches!(outcome, Err(ConnectionError::Closed)), "{outcome:?}");
            }
        });
        // The message was begun, so its end is told.
        let cut = b.recv_bytes().map(drop);
        assert!(matches!(cut, Err(ConnectionError::Truncated { .. })), "{cut:?}");
    }
}

#[test]
fn a_close_in_the_middle_of_a_message_ends_that_direction_for_all_copies() {
    let (a, b) = Pipe::duplex().unwrap();
    let (ours, theirs) = Pipe::duplex().unwrap();
    ours.send(&a).unwrap();
    let copy: Connection = theirs.recv().unwrap();
    let (told, heard) = channel();
    std::thread::scope(|scope| {
        let sending = spawn(scope, &told, || a.send_bytes(&vec![0; 64 << 20]));
        sleeps(std::process::id(), heard.recv().unwrap());
        a.close();
        assert!(matches!(sending.join().unwrap(), Err(ConnectionError::Closed)));
    });
    assert!(matches!(copy.send(&1), Err(ConnectionError::BrokenPipe)));
    assert!(matches!(b.recv::<i32>(), Err(ConnectionError::Truncated { .. })));
    b.send(&2).unwrap();
    assert_eq!(copy.recv::<i32>().unwrap(), 2);
}

#[test]
fn an_end_that_waits_does_not_look_for_ever() {
    const PAUSE: Duration = Duration::from_millis(200);
    const TIMES: u32 = 5;
    let (a, b) = Pipe::duplex().unwrap();
    std::thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            let before = worked();
            (0..TIMES).for_each(|_| b.recv::<()>().unwrap());
            worked() - before
        });
        for _ in 0..TIMES {
            std::thread::sleep(PAUSE);
            a.send(&()).unwrap();
        }
        let used = receiving.join().unwrap();
        assert!(used < PAUSE / 10, "{used:?} of {:?}", PAUSE * TIMES);
    });
}

#[test]
fn wt_07_a_close_during_a_wait_is_an_error_with_the_position() {
    let (a, _to_a) = Pipe::simplex().unwrap();
    let (b, _to_b) = Pipe::simplex().unwrap();
    let listener = Listener::new(None).unwrap();
    let (told, heard) = channel();
    std::thread::scope(|scope| {
        let closers: [&dyn Fn(); 2] = [&|| b.close(), &|| listener.close()];
        for (close, position) in closers.into_iter().zip([1, 0]) {
            let waiting = spawn(scope, &told, || {
                // By then the second is closed for the second time.
                let objects: &[&dyn Waitable] =
                    if b.is_closed() { &[&listener, &a] } else { &[&a, &b, &listener] };
                wait(objects, None)
            });
            sleeps(std::process::id(), heard.recv().unwrap());
            close();
            match waiting.join().unwrap() {
                Err(ConnectionError::Wait { index, source }) => {
                    assert!(index == position && matches!(*source, ConnectionError::Closed));
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn ls_03_a_close_wakes_all_who_accept() {
    for listener in listeners(Some(b"key")) {
        let (told, heard) = channel();
        std::thread::scope(|scope| {
            let calls = [
                spawn(scope, &told, || listener.accept().map(drop)),
                spawn(scope, &told, || listener.accept().map(drop)),
                spawn(scope, &told, || listener.accept_timeout(LONG).map(drop)),
            ];
            for _ in 0..3 {
                sleeps(std::process::id(), heard.recv().unwrap());
            }
            listener.close();
            for call in calls {
                assert!(matches!(call.join().unwrap(), Err(ConnectionError::Closed)));
            }
        });
    }
}

#[test]
fn a_number_is_not_given_to_another_file_while_a_thread_uses_it() {
    for _ in 0..200 {
        let (a, b) = Pipe::duplex().unwrap();
        std::thread::scope(|scope| {
            let receiving = scope.spawn(|| a.recv::<u32>());
            let closing = scope.spawn(|| {
                a.close();
                // If the number were free while the other thread polls it, this would get it.
                let (c, d) = UnixStream::pair().unwrap();
                let (number, c) = (c.as_raw_fd(), Connection::from(c));
                c.send(&1).unwrap();
                Connection::from(d).send(&7).unwrap();
                number
            });
            let outcome = receiving.join().unwrap();
            assert!(matches!(outcome, Err(ConnectionError::Closed)), "{outcome:?}");
            closing.join().unwrap();
        });
        let end = b.recv::<u32>();
        assert!(matches!(end, Err(ConnectionError::EndOfFile)), "{end:?}");
    }
}

#[test]
fn several_threads_that_accept_get_a_client_each() {
    const CLIENTS: usize = 40;
    for key in [None, Some(&b"key"[..])] {
        for listener in listeners(key) {
            std::thread::scope(|scope| {
                let acceptors: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut served = 0;
                            while let Ok(connection) = listener.accept() {
                                let name: usize = connection.recv().unwrap();
                                connection.send(&(name * 2)).unwrap();
                                served += 1;
                            }
                            served
                        })
                    })
                    .collect();
                let address = listener.address();
                let clients: Vec<_> = (0..CLIENTS)
                    .map(|name| {
                        scope.spawn(move || {
                            let server = mp::connection::Client::connect(address, key).unwrap();
                            server.send(&name).unwrap();
                            assert_eq!(server.recv::<usize>().unwrap(), name * 2);
                        })
                    })
                    .collect();
                clients.into_iter().for_each(|client| client.join().unwrap());
                listener.close();
                let served: usize = acceptors.into_iter().map(|a| a.join().unwrap()).sum();
                assert_eq!(served, CLIENTS);
            });
        }
    }
}

#[test]
fn a_clone_is_the_same_end() {
    let (a, b) = Pipe::duplex().unwrap();
    let clone = a.clone();
    drop(a);
    clone.send(&1).unwrap();
    assert_eq!(at_once(|| b.recv::<i32>()).unwrap(), 1);
    assert!(!b.poll(Some(Duration::from_millis(20))).unwrap());
    drop(clone);
    assert!(matches!(b.recv::<i32>(), Err(ConnectionError::EndOfFile)));
}
