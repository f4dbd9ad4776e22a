//! Listeners and clients of each family, and what they leave behind.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use common::{hello, listeners, sleeps, this_thread};
use mp::connection::{Address, Client, Listener, wait};
use mp::{Connection, ConnectionError, Pipe};
use mp_testing::limits::{LONG, SHORT, alone, at_once, comes_true, takes_at_least};
use mp_testing::system::holdings;

mp::enable_test_support!();

#[test]
fn ls_01_a_child_says_hello_over_each_family() {
    for listener in listeners(None) {
        let p = mp::Process::start(hello, (listener.address().clone(), None)).unwrap();
        let connection = listener.accept().unwrap();
        assert_eq!(connection.recv::<String>().unwrap(), "hello");
        connection.send("and goodbye").unwrap();
        assert_eq!(p.into_result().unwrap(), "and goodbye");
    }
}

#[test]
fn ls_01_a_listener_in_a_child_is_found_by_its_address() {
    let serves = |told: Connection| -> mp::Result<()> {
        for listener in listeners(None) {
            told.send(listener.address())?;
            let connection = listener.accept()?;
            connection.send(&(connection.recv::<u32>()? + 1))?;
        }
        Ok(())
    };
    let (told, telling) = Pipe::simplex().unwrap();
    let p = mp::Process::start(serves, (telling,)).unwrap();
    for _ in 0..3 {
        let server = Client::connect(told.recv::<Address>().unwrap(), None).unwrap();
        server.send(&41).unwrap();
        assert_eq!(server.recv::<u32>().unwrap(), 42);
    }
    p.join().unwrap();
}

#[test]
fn ls_01_rt_11_by_default_it_is_a_local_socket_in_a_private_folder() {
    let listener = Listener::new(None).unwrap();
    let Address::Path(path) = listener.address().clone() else { panic!("{listener:?}") };
    assert!(path.metadata().unwrap().file_type().is_socket());
    let folder = path.parent().unwrap().to_owned();
    assert!(folder.starts_with(std::env::temp_dir()));
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_ne!(Listener::new(None).unwrap().address(), listener.address());
    drop(listener);
    assert!(!folder.exists());
}

#[test]
fn ls_02_an_address_in_use_is_an_error() {
    for listener in listeners(None) {
        let error = Listener::bind(listener.address(), None).unwrap_err();
        assert!(matches!(error, ConnectionError::Bind { .. }));
        assert_eq!(error.io_kind(), Some(ErrorKind::AddrInUse), "{error:?}");
        // Which did no harm to the first.
        let client = Client::connect(listener.address(), None).unwrap();
        client.send(&1).unwrap();
        assert_eq!(listener.accept().unwrap().recv::<i32>().unwrap(), 1);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "no socket").unwrap();
    assert_eq!(Listener::bind(&path, None).unwrap_err().io_kind(), Some(ErrorKind::AddrInUse));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "no socket");
}

#[test]
fn ls_02_an_address_is_free_after_close() {
    for listener in listeners(None) {
        let address = listener.address().clone();
        let client = Client::connect(&address, None).unwrap();
        let accepted = listener.accept().unwrap();
        listener.close();
        if let Address::Path(path) = &address {
            std::fs::create_dir(path.parent().unwrap()).unwrap();
        }
        let again = Listener::bind(&address, None).unwrap();
        client.send(&1).unwrap();
        assert_eq!(accepted.recv::<i32>().unwrap(), 1, "what was accepted stays");
        drop(again);
        if let Address::Path(path) = &address {
            std::fs::remove_dir(path.parent().unwrap()).unwrap();
        }
    }
}

#[test]
fn ls_03_after_close_everything_is_an_error() {
    for listener in listeners(None) {
        assert!(!listener.is_closed());
        listener.close();
        listener.close();
        assert!(listener.is_closed());
        assert!(matches!(listener.accept(), Err(ConnectionError::Closed)));
        assert!(matches!(listener.accept_timeout(SHORT), Err(ConnectionError::Closed)));
        assert!(matches!(wait(&[&listener], None), Err(ConnectionError::Wait { index: 0, .. })));
        assert!(format!("{listener:?}").ends_with("closed>"));
    }
}

#[test]
fn ls_04_a_client_that_sent_and_left_before_it_was_accepted_is_heard() {
    for listener in listeners(None) {
        let client = Client::connect(listener.address(), None).unwrap();
        client.send("hello").unwrap();
        client.send_bytes(&[3; 10_000]).unwrap();
        client.close();
        let connection = at_once(|| listener.accept()).unwrap();
        assert_eq!(connection.recv::<String>().unwrap(), "hello");
        assert_eq!(connection.recv_bytes().unwrap(), [3; 10_000]);
        assert!(matches!(connection.recv::<()>(), Err(ConnectionError::EndOfFile)));
    }
}

#[test]
fn ls_05_a_message_that_waits_is_seen_by_poll() {
    let sends = |address: Address| -> mp::Result<()> {
        let server = Client::connect(address, None)?;
        server.send("hi")?;
        server.recv::<()>()?;
        Ok(())
    };
    for listener in listeners(None) {
        let p = mp::Process::start(sends, (listener.address().clone(),)).unwrap();
        let connection = listener.accept().unwrap();
        assert!(connection.poll(Some(LONG)).unwrap());
        assert_eq!(connection.recv::<String>().unwrap(), "hi");
        connection.send(&()).unwrap();
        p.join().unwrap();
    }
}

#[test]
fn ls_06_an_abstract_name_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("socket");
    let name = format!("\0{}", name.display());
    let listener = Listener::bind(name.as_str(), None).unwrap();
    assert_eq!(*listener.address(), Address::Abstract(name.as_bytes()[1..].to_vec()));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let client = Client::connect(name.as_str(), None).unwrap();
    listener.accept().unwrap();
    drop(client);
    // The name is exactly this, and others of the system know it.
    let taken = std::os::unix::net::SocketAddr::from_abstract_name(&name.as_bytes()[1..]).unwrap();
    let error = UnixListener::bind_addr(&taken).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    drop(listener);
    UnixListener::bind_addr(&taken).unwrap();
}

#[test]
fn ls_07_what_is_no_address_here_is_an_error() {
    let refused = |outcome: Result<(), ConnectionError>| {
        assert!(matches!(outcome, Err(ConnectionError::Address { .. })), "{outcome:?}");
    };
    let long = "x".repeat(200);
    for text in [r"\\.\pipe\test", "", "\0", "a\0b", &long] {
        refused(Listener::bind(text, None).map(drop));
        refused(Client::connect(text, None).map(drop));
    }
    for path in ["", "\0", "a\0b", &long] {
        refused(Listener::bind(Path::new(path), None).map(drop));
        refused(Client::connect(Path::new(path), None).map(drop));
    }
    refused(Client::connect(Address::Unnamed, None).map(drop));
    let error = Client::connect(("no such host.invalid", 1), None).unwrap_err();
    assert!(matches!(error, ConnectionError::Connect { .. }));
}

#[test]
fn ls_08_the_file_disappears_on_close_and_nobody_is_found_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::bind(&path, None).unwrap();
    assert!(path.exists());
    listener.close();
    assert!(!path.exists());
    let kind = |outcome: Result<Connection, ConnectionError>| outcome.unwrap_err().io_kind();
    assert_eq!(kind(Client::connect(&path, None)), Some(ErrorKind::NotFound));
    assert_eq!(kind(Client::connect("\0nobody is here", None)), Some(ErrorKind::ConnectionRefused));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(kind(Client::connect(free, Some(b"k"))), Some(ErrorKind::ConnectionRefused));
    assert_eq!(kind(Client::connect_timeout(free, None, LONG)), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn ls_08_a_file_of_somebody_else_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::bind(&path, None).unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = Listener::bind(&path, None).unwrap();
    drop(listener);
    assert!(path.exists());
    drop(other);
    assert!(!path.exists());
}

#[test]
fn ls_08_a_relative_path_is_removed_whatever_the_working_directory_is() {
    alone(|| {
        let folder = tempfile::tempdir()?;
        std::env::set_current_dir(folder.path())?;
        let listener = Listener::bind("socket", None)?;
        mp::ensure!(folder.path().join("socket").exists());
        Client::connect("socket", None)?;
        std::env::set_current_dir("/")?;
        drop(listener);
        mp::ensure!(!folder.path().join("socket").exists());
        Ok(())
    });
}

#[test]
fn ls_08_port_0_becomes_the_real_one() {
    let listener = Listener::bind(("localhost", 0), None).unwrap();
    let Address::Tcp { port, .. } = *listener.address() else { panic!("{listener:?}") };
    assert_ne!(port, 0);
    let client = Client::connect(("localhost", port), None).unwrap();
    listener.accept().unwrap();
    drop(client);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    assert_ne!(Listener::bind(any, None).unwrap().address(), listener.address());
}

#[test]
fn ls_14_the_last_accepted_is_none_before_the_first() {
    for listener in listeners(None) {
        assert_eq!(listener.last_accepted(), None);
        let client = Client::connect(listener.address(), None).unwrap();
        assert_eq!(listener.last_accepted(), None);
        listener.accept().unwrap();
        match (listener.address(), listener.last_accepted()) {
            (Address::Tcp { port, .. }, Some(Address::Tcp { host, port: theirs })) => {
                assert!(host == "127.0.0.1" && theirs != *port);
            }
            (Address::Path(_) | Address::Abstract(_), Some(Address::Unnamed)) => {}
            other => panic!("{other:?}"),
        }
        drop(client);
    }
}

#[test]
fn a_timed_accept_gives_up_after_its_time_and_not_before() {
    for listener in listeners(Some(b"key")) {
        let accepted = takes_at_least(SHORT, || listener.accept_timeout(SHORT)).unwrap();
        assert!(accepted.is_none());
        assert!(at_once(|| listener.accept_timeout(Duration::ZERO)).unwrap().is_none());
        let arguments = (listener.address().clone(), Some(b"key".to_vec()));
        let p = mp::Process::start(hello, arguments).unwrap();
        let connection = listener.accept_timeout(Duration::MAX).unwrap().unwrap();
        connection.send("x").unwrap();
        p.join().unwrap();
    }
}

#[test]
fn a_timed_connect_gives_up_when_nobody_accepts() {
    for listener in listeners(Some(b"key")) {
        let connect = || Client::connect_timeout(listener.address(), Some(b"key"), SHORT);
        let error = takes_at_least(SHORT, connect).unwrap_err();
        assert_eq!(error.io_kind(), Some(ErrorKind::TimedOut), "{error:?}");
    }
}

#[test]
fn a_timed_connect_gives_up_while_too_many_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // Room for one who waits, and one more.
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    );
    let socket = socket.unwrap();
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let _first = Client::connect(&path, None).unwrap();
    let connect = || Client::connect_timeout(&path, None, SHORT);
    let error = takes_at_least(SHORT, connect).unwrap_err();
    assert_eq!(error.io_kind(), Some(ErrorKind::TimedOut), "{error:?}");
    // Without a limit it waits for its turn.
    let waits = |path: String, told: Connection| -> mp::Result<()> {
        told.send(&this_thread())?;
        Client::connect(path, None)?.send("here I am")?;
        Ok(())
    };
    let (told, telling) = Pipe::simplex().unwrap();
    let arguments = (path.to_str().unwrap().to_owned(), telling);
    let p = mp::Process::start(waits, arguments).unwrap();
    sleeps(p.pid(), told.recv().unwrap());
    assert!(!p.join_timeout(SHORT).unwrap());
    let listener = UnixListener::from(socket);
    listener.accept().unwrap();
    p.join().unwrap();
}

#[test]
fn nothing_is_left_open_of_listeners_and_clients() {
    alone(|| {
        let run = || -> mp::Result<()> {
            for key in [None, Some(&b"key"[..])] {
                for listener in listeners(key) {
                    std::thread::scope(|scope| {
                        let address = listener.address();
                        scope.spawn(move || Client::connect(address, key).map(drop));
                        scope.spawn(move || Client::connect(address, Some(b"other")).map(drop));
                        let outcomes = [listener.accept().is_ok(), listener.accept().is_ok()];
                        mp::ensure!(outcomes.contains(&true) && outcomes.contains(&false));
                        Ok(())
                    })?;
                    let _silent = Client::connect(listener.address(), None);
                    mp::ensure!(listener.accept_timeout(SHORT / 10).is_ok() || key.is_some());
                }
            }
            Ok(())
        };
        run()?;
        let before = holdings().descriptors;
        for _ in 0..10 {
            run()?;
        }
        // Those of threads go with them, which takes a moment longer than their end.
        let is_settled = comes_true(|| holdings().descriptors <= before);
        mp::ensure!(is_settled, "{:?} instead of {before}", holdings());
        Ok(())
    });
}

#[test]
fn at_the_limit_of_open_files_a_client_waits_until_there_is_room() {
    alone(|| {
        let listener = Listener::bind(("127.0.0.1", 0), None)?;
        mp::ensure!(listener.accept_timeout(Duration::from_millis(1))?.is_none());
        let client = Client::connect(listener.address(), None)?;
        client.send("hello")?;
        let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let before = files;
        files.current = Some(u64::try_from(holdings().descriptors)?);
        rustix::process::setrlimit(rustix::process::Resource::Nofile, files)?;
        while std::fs::File::open("/dev/null").map(std::mem::forget).is_ok() {}
        let ready = wait(&[&listener], Some(LONG));
        let refused = listener.accept();
        rustix::process::setrlimit(rustix::process::Resource::Nofile, before)?;
        mp::ensure!(ready? == [0], "accept would not sleep");
        mp::ensure!(matches!(refused, Err(ConnectionError::Io { .. })), "{refused:?}");
        mp::ensure!(listener.accept()?.recv::<String>()? == "hello");
        Ok(())
    });
}
