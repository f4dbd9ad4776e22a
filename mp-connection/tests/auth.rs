//! Who does not know the key is refused and told so, and delays nobody.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use common::{hello, listeners, worked};
use mp::connection::{Address, AuthenticationFailure, Client, Listener, wait};
use mp::{Connection, ConnectionError};
use mp_testing::limits::{LONG, SHORT, alone, at_once};
use mp_testing::system::holdings;

mp::enable_test_support!();

const KEY: &[u8] = b"key";

/// The length of all that is said in a handshake, which is no promise of the library.
const PACKET_LEN: usize = 36;

fn is_auth<T>(outcome: &Result<T, ConnectionError>, expected: AuthenticationFailure) -> bool {
    matches!(outcome, Err(ConnectionError::Authentication { source }) if *source == expected)
}

/// Whatever speaks to a listener without the library.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

fn raw(listener: &Listener) -> Box<dyn Stream> {
    match listener.address() {
        Address::Tcp { host, port } => {
            Box::new(TcpStream::connect((host.as_str(), *port)).unwrap())
        }
        Address::Path(path) => Box::new(UnixStream::connect(path).unwrap()),
        Address::Abstract(name) => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name).unwrap();
            Box::new(UnixStream::connect_addr(&address).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

/// Serves the next client, who has the key.
fn serves_the_next(listener: &Listener) {
    let arguments = (listener.address().clone(), Some(KEY.to_vec()));
    let p = mp::Process::start(hello, arguments).unwrap();
    let connection = listener.accept().unwrap();
    assert_eq!(connection.recv::<String>().unwrap(), "hello");
    connection.send("welcome").unwrap();
    assert_eq!(p.into_result().unwrap(), "welcome");
}

#[test]
fn the_same_key_connects_and_whatever_follows_is_not_touched() {
    for key in [&b"k"[..], KEY, &[0; 32], &[0xff; 1000]] {
        for listener in listeners(Some(key)) {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let server = Client::connect(listener.address(), Some(key)).unwrap();
                    // In the socket before the listener has heard the end of the handshake.
                    server.send("first").unwrap();
                    server.send_bytes(&[1; 100_000]).unwrap();
                });
                let connection = listener.accept().unwrap();
                assert_eq!(connection.recv::<String>().unwrap(), "first");
                assert_eq!(connection.recv_bytes().unwrap(), [1; 100_000]);
                assert!(matches!(connection.recv::<()>(), Err(ConnectionError::EndOfFile)));
            });
        }
    }
}

#[test]
fn ls_10_different_keys_are_an_error_on_both_sides_and_the_next_client_is_served() {
    let connects = |address: Address| -> mp::Result<bool> {
        let outcome = Client::connect(address, Some(b"another key"));
        Ok(is_auth(&outcome, AuthenticationFailure::WrongKey))
    };
    for listener in listeners(Some(KEY)) {
        for _ in 0..3 {
            let p = mp::Process::start(connects, (listener.address().clone(),)).unwrap();
            let refused = listener.accept();
            assert!(is_auth(&refused, AuthenticationFailure::WrongKey), "{refused:?}");
            assert!(p.into_result().unwrap());
        }
        assert_eq!(listener.last_accepted(), None);
        serves_the_next(&listener);
    }
}

#[test]
fn a_client_with_a_key_and_a_listener_without_are_both_told() {
    for listener in listeners(None) {
        std::thread::scope(|scope| {
            let client = scope.spawn(|| Client::connect(listener.address(), Some(KEY)));
            let refused = listener.accept();
            assert!(is_auth(&refused, AuthenticationFailure::NoKeyHere), "{refused:?}");
            let refused = client.join().unwrap();
            assert!(is_auth(&refused, AuthenticationFailure::NoKeyThere), "{refused:?}");
        });
        let good = Client::connect(listener.address(), None).unwrap();
        good.send(&1).unwrap();
        assert_eq!(listener.accept().unwrap().recv::<i32>().unwrap(), 1);
    }
}

#[test]
fn a_client_without_a_key_and_a_listener_with_one_are_both_told() {
    for listener in listeners(Some(KEY)) {
        // It waits for nothing, so it hears of it when it receives, whatever it has sent before.
        for sends in [false, true] {
            let client = Client::connect(listener.address(), None).unwrap();
            if sends {
                client.send("hello").unwrap();
            }
            let refused = listener.accept();
            assert!(is_auth(&refused, AuthenticationFailure::NoKeyThere), "{refused:?}");
            let refused = client.recv::<()>();
            assert!(is_auth(&refused, AuthenticationFailure::NoKeyHere), "{refused:?}");
        }
        serves_the_next(&listener);
    }
}

#[test]
fn ls_11_an_empty_key_is_refused_on_both_sides() {
    let refused = Listener::new(Some(b""));
    assert!(is_auth(&refused, AuthenticationFailure::EmptyKey));
    for listener in listeners(None) {
        let refused = at_once(|| Client::connect(listener.address(), Some(b"")));
        assert!(is_auth(&refused, AuthenticationFailure::EmptyKey));
    }
}

#[test]
fn ls_09_and_au_03_unexpected_bytes_are_refused() {
    for (is_keyed, listeners) in [(true, listeners(Some(KEY))), (false, listeners(None))] {
        for listener in listeners {
            for noise in [
                [0; PACKET_LEN],
                [0xff; PACKET_LEN],
                *b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n\n",
            ] {
                let mut client = raw(&listener);
                client.write_all(&noise).unwrap();
                let refused = listener.accept();
                assert!(is_auth(&refused, AuthenticationFailure::Malformed), "{refused:?}");
                let mut rest = Vec::new();
                client.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, b"", "it is told nothing");
            }
            // Part of a greeting, and then nothing more.
            let mut client = raw(&listener);
            client.write_all(b"mpc1").unwrap();
            drop(client);
            let refused = listener.accept();
            assert!(is_auth(&refused, AuthenticationFailure::Left), "{refused:?}");
            if is_keyed {
                serves_the_next(&listener);
            }
        }
    }
}

#[test]
fn ls_09_a_wrong_proof_is_refused_and_the_refused_one_is_told() {
    for listener in listeners(Some(KEY)) {
        let mut client = raw(&listener);
        let say = |tag: &[u8; 4], payload: u8| [&tag[..], &[payload; 32]].concat();
        client.write_all(&say(b"mpc1", 5)).unwrap();
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept());
            let mut challenge = [0; PACKET_LEN];
            client.read_exact(&mut challenge).unwrap();
            assert_eq!(&challenge[..4], b"mpc?");
            client.write_all(&say(b"mpc!", 9)).unwrap();
            let refused = accepting.join().unwrap();
            assert!(is_auth(&refused, AuthenticationFailure::WrongKey), "{refused:?}");
        });
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"mpc-") && answer.len() == PACKET_LEN, "{answer:?}");
    }
}

#[test]
fn a_challenge_is_never_the_same() {
    let listener = Listener::new(Some(KEY)).unwrap();
    let (mut clients, mut challenges) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        let mut client = raw(&listener);
        client.write_all(&[&b"mpc1"[..], &[5; 32]].concat()).unwrap();
        assert!(listener.accept_timeout(Duration::ZERO).unwrap().is_none());
        let mut challenge = [0; PACKET_LEN];
        client.read_exact(&mut challenge).unwrap();
        challenges.push(challenge);
        clients.push(client);
    }
    challenges.sort_unstable();
    challenges.dedup();
    assert_eq!(challenges.len(), 20);
}

#[test]
fn ls_09_a_client_refuses_a_listener_that_does_not_know_the_key() {
    type Impostor = fn(&[u8]) -> Vec<u8>;
    // What they answer to a greeting and to a proof; the last is an echo.
    let impostors: [Impostor; 4] = [
        |said| [&b"mpc?"[..], &said[4..]].concat(),
        |_| vec![0; PACKET_LEN],
        |said| match &said[..4] {
            b"mpc1" => [&b"mpc?"[..], &[1; 32]].concat(),
            _ => [&b"mpc+"[..], &[1; 32]].concat(),
        },
        <[u8]>::to_vec,
    ];
    for answer in impostors {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            let client = scope.spawn(move || Client::connect(address, Some(KEY)));
            let (mut socket, _) = listener.accept().unwrap();
            let mut said = [0; PACKET_LEN];
            while socket.read_exact(&mut said).is_ok() && !said.starts_with(b"mpc-") {
                if socket.write_all(&answer(&said)).is_err() {
                    break;
                }
            }
            assert!(said.starts_with(b"mpc-"), "it is told");
            let refused = client.join().unwrap();
            let is_refused = is_auth(&refused, AuthenticationFailure::WrongKey)
                || is_auth(&refused, AuthenticationFailure::Malformed);
            assert!(is_refused, "{refused:?}");
        });
    }
}

#[test]
fn a_listener_that_leaves_in_the_handshake_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::scope(|scope| {
        let client = scope.spawn(move || Client::connect(address, Some(KEY)));
        drop(listener.accept().unwrap());
        let refused = client.join().unwrap();
        assert!(is_auth(&refused, AuthenticationFailure::Left), "{refused:?}");
    });
}

#[test]
fn ls_13_nobody_is_listened_to_for_long_before_it_is_known() {
    for listener in listeners(Some(KEY)) {
        let mut client = raw(&listener);
        let writing = std::thread::spawn(move || {
            // More than any socket holds; it ends because nobody receives it.
            let begun = client.write_all(&vec![b'x'; 64 << 20]);
            begun.unwrap_err().kind()
        });
        let refused = listener.accept();
        assert!(is_auth(&refused, AuthenticationFailure::Malformed), "{refused:?}");
        let kind = writing.join().unwrap();
        assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind:?}");
        serves_the_next(&listener);
    }
}

#[test]
fn ls_12_a_client_that_says_nothing_delays_nobody() {
    for listener in listeners(Some(KEY)) {
        let mut silent: Vec<_> = (0..5).map(|_| raw(&listener)).collect();
        for (len, client) in silent.iter_mut().enumerate() {
            // Some stop in the middle.
            client.write_all(&b"mpc1"[..len.min(4)]).unwrap();
        }
        let mut challenged = raw(&listener);
        challenged.write_all(&[&b"mpc1"[..], &[5; 32]].concat()).unwrap();
        let begun = Instant::now();
        serves_the_next(&listener);
        assert!(begun.elapsed() < Duration::from_secs(4), "before the time of the others was over");
        drop(silent);
    }
}

#[test]
fn ls_12_a_client_that_says_nothing_is_sent_away() {
    let listener = Listener::new(Some(KEY)).unwrap();
    let mut silent = raw(&listener);
    std::thread::scope(|scope| {
        let accepting = scope.spawn(|| listener.accept_timeout(LONG));
        let mut said = Vec::new();
        silent.read_to_end(&mut said).unwrap();
        assert_eq!(said, b"");
        // And that is no error of `accept`, which goes on.
        let client = Client::connect(listener.address(), Some(KEY)).unwrap();
        client.send(&1).unwrap();
        let connection = accepting.join().unwrap().unwrap().unwrap();
        assert_eq!(connection.recv::<i32>().unwrap(), 1);
    });
}

#[test]
fn a_client_that_leaves_without_a_word_is_nobody() {
    for key in [None, Some(KEY)] {
        for listener in listeners(key) {
            for _ in 0..3 {
                drop(raw(&listener));
            }
            assert!(listener.accept_timeout(SHORT).unwrap().is_none());
            assert_eq!(wait(&[&listener], Some(Duration::ZERO)).unwrap(), [0; 0]);
        }
    }
}

#[test]
fn ls_12_a_flood_of_silent_clients_keeps_nobody_out_and_takes_no_descriptors() {
    alone(|| {
        for listener in listeners(Some(KEY)) {
            let before = holdings().descriptors;
            let mut flood = Vec::new();
            for round in 0..5 {
                flood.extend((0..100).map(|_| raw(&listener)));
                mp::ensure!(listener.accept_timeout(Duration::ZERO)?.is_none());
                let ours = holdings().descriptors - before - flood.len();
                mp::ensure!(ours <= 140, "{ours} descriptors for clients nobody knows");
                if round % 2 == 0 {
                    serves_the_next(&listener);
                }
            }
        }
        Ok(())
    });
}

#[test]
fn ls_12_silent_clients_make_room_when_the_system_has_no_descriptor_left() {
    alone(|| {
        let listener = Listener::bind(("127.0.0.1", 0), Some(KEY))?;
        let address = listener.address().clone();
        // Clients in another process, so that only those of the listener count.
        let (told, telling) = mp::Pipe::duplex()?;
        let floods = |address: Address, told: Connection| -> mp::Result<()> {
            let Address::Tcp { host, port } = &address else { mp::bail!("{address}") };
            let flood: Vec<_> =
                (0..60).map(|_| TcpStream::connect((host.as_str(), *port))).collect();
            told.send(&flood.iter().all(Result::is_ok))?;
            // The one with the key comes when there are no descriptors left, not while that is prepared.
            told.recv::<()>()?;
            let server = Client::connect(&address, Some(KEY))?;
            server.send("hello")?;
            server.recv::<()>()?;
            Ok(())
        };
        let p = mp::Process::start(floods, (address, telling))?;
        mp::ensure!(told.recv::<bool>()?);
        mp::ensure!(listener.accept_timeout(Duration::ZERO)?.is_none());
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let before = files;
        files.current = Some(u64::try_from(holdings().descriptors)? - 20);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files)?;
        let accepted =
            told.send(&()).map_err(mp::Error::from).and_then(|()| Ok(listener.accept()?));
        rustix::process::setrlimit(rustix::process::Resource::Nofile, before)?;
        let connection = accepted?;
        mp::ensure!(connection.recv::<String>()? == "hello");
        connection.send(&())?;
        Ok(p.join()?)
    });
}

/// Connects from so many threads at once; what those were told who were not served.
fn burst(address: Address, count: usize) -> mp::Result<Vec<String>> {
    let served = |address: &Address| -> mp::Result<()> {
        let server = Client::connect(address, Some(KEY))?;
        server.send(&1)?;
        Ok(server.recv()?)
    };
    rustix::process::nice(10)?;
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..count).map(|_| scope.spawn(|| served(&address))).collect();
        let outcomes = clients.into_iter().map(|client| client.join().unwrap());
        Ok(outcomes.filter_map(Result::err).map(|error| format!("{error:?}")).collect())
    })
}

#[test]
fn a_burst_of_clients_with_the_key_is_served_to_the_last_by_a_busy_listener() {
    alone(|| {
        // They compete with the listener for one processor, so that it is faster than they answer.
        let mut processors = rustix::thread::CpuSet::new();
        processors.set(rustix::thread::sched_getcpu());
        rustix::thread::sched_setaffinity(None, &processors)?;
        for listener in listeners(Some(KEY)) {
            let started = |_| mp::Process::start(burst, (listener.address().clone(), 100));
            let bursts: Vec<_> = (0..5).map(started).collect::<Result<_, _>>()?;
            for count in 0..500 {
                if count == 0 || count == 200 {
                    std::thread::sleep(Duration::from_secs(1));
                }
                let Some(connection) = listener.accept_timeout(LONG)? else {
                    mp::bail!("{count} of 500 were accepted by {listener:?}")
                };
                mp::ensure!(connection.recv::<i32>()? == 1);
                connection.send(&())?;
            }
            for burst in bursts {
                let refused = burst.into_result()?;
                mp::ensure!(refused.is_empty(), "{} by {listener:?}: {refused:?}", refused.len());
            }
        }
        Ok(())
    });
}

#[test]
fn the_time_while_nobody_accepts_is_not_counted_against_a_client() {
    let listener = Listener::new(Some(KEY)).unwrap();
    // It gets its challenge, and then the listener turns to something else for longer than a client has.
    let p = loop {
        let p = mp::Process::start(burst, (listener.address().clone(), 1)).unwrap();
        assert_eq!(wait(&[&p], Some(SHORT * 5)).unwrap(), [0; 0]);
        let Some(too_fast) = listener.accept_timeout(Duration::ZERO).unwrap() else { break p };
        too_fast.send(&()).unwrap();
    };
    std::thread::sleep(Duration::from_millis(5500));
    let connection = listener.accept_timeout(LONG).unwrap().unwrap();
    connection.send(&()).unwrap();
    assert_eq!(p.into_result().unwrap(), [""; 0]);
}

#[test]
fn ls_12_while_all_places_are_taken_nobody_spins_and_the_next_client_is_served() {
    alone(|| {
        for listener in listeners(Some(KEY)) {
            // More than there are places, so some of them wait for one.
            let flood: Vec<_> = (0..300).map(|_| raw(&listener)).collect();
            let before = worked();
            mp::ensure!(listener.accept_timeout(SHORT * 4)?.is_none());
            mp::ensure!(wait(&[&listener], Some(SHORT * 4))? == [0; 0]);
            mp::ensure!(worked() - before < SHORT * 2, "{:?}", worked() - before);
            at_once(|| serves_the_next(&listener));
            drop(flood);
        }
        Ok(())
    });
}

#[test]
fn ls_12_whoever_sleeps_already_serves_the_client_behind_those_that_another_thread_let_in() {
    for listener in listeners(Some(KEY)) {
        std::thread::scope(|scope| {
            let accepting = scope.spawn(|| listener.accept());
            let _flood: Vec<_> = (0..300).map(|_| raw(&listener)).collect();
            assert_eq!(wait(&[&listener], Some(SHORT)).unwrap(), [0; 0]);
            let arguments = (listener.address().clone(), Some(KEY.to_vec()));
            let p = mp::Process::start(hello, arguments).unwrap();
            let connection = at_once(|| accepting.join().unwrap()).unwrap();
            connection.send("welcome").unwrap();
            assert_eq!(p.into_result().unwrap(), "welcome");
        });
    }
}

#[test]
fn ls_12_a_client_that_says_nothing_is_sent_away_while_somebody_waits() {
    let sends_away = |listener: &Listener| {
        let (end, other) = mp::Pipe::duplex().unwrap();
        let mut silent = raw(listener);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wait(&[listener, &end], Some(LONG)));
            let mut said = Vec::new();
            at_once(|| silent.read_to_end(&mut said)).unwrap();
            other.send(&1).unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), [1]);
        });
    };
    // Each takes its time, so all at once.
    std::thread::scope(|scope| {
        for listener in listeners(Some(KEY)) {
            scope.spawn(move || sends_away(&listener));
        }
    });
}

#[test]
fn ls_09_what_can_be_no_greeting_takes_no_place() {
    for listener in listeners(Some(KEY)) {
        let mut flood: Vec<_> = (0..300).map(|_| raw(&listener)).collect();
        flood.iter_mut().for_each(|client| client.write_all(b"GET /").unwrap());
        for _ in 0..300 {
            let refused = listener.accept_timeout(LONG);
            assert!(is_auth(&refused, AuthenticationFailure::Malformed), "{refused:?}");
        }
        serves_the_next(&listener);
    }
}

#[test]
fn a_connection_of_an_authenticated_client_is_an_ordinary_one() {
    let connects = |address: Address| -> mp::Result<Connection> {
        Ok(Client::connect(address, Some(mp::current_process().authkey().as_bytes()))?)
    };
    // A child has the key of its parent, and the connection may leave the process that made it.
    let key = mp::current_process().authkey();
    let listener = Listener::new(Some(key.as_bytes())).unwrap();
    let p = mp::Process::start(connects, (listener.address().clone(),)).unwrap();
    let ours = listener.accept().unwrap();
    let theirs = p.into_result().unwrap();
    theirs.send(&mp::DupFd::from(std::fs::File::open("/dev/null").unwrap())).unwrap();
    ours.recv::<mp::DupFd>().unwrap();
}
