//! A signal with a handler ends no call and stretches no wait.
#![expect(unsafe_code, reason = "a handler is installed")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{connections, listeners, sleeps, this_thread};
use mp::connection::{Address, Client, wait};
use mp::{Connection, Pipe};
use mp_testing::limits::{LONG, takes_at_least};
use mp_testing::system::signal;
use rustix::process::Signal;

mp::enable_test_support!();

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Has a function called for SIGUSR1, without restarting the call of the system that it interrupts.
fn handle() {
    let handler = count as *const () as libc::sighandler_t;
    // SAFETY: all zero is an action without flags and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the handler only touches an atomic.
    let rc = unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) };
    assert_eq!(rc, 0);
}

/// Runs `call` among signals; `told` hears that it begins, and how many signals came.
fn among_signals(told: &Connection, call: impl FnOnce() -> mp::Result<()>) -> mp::Result<()> {
    handle();
    told.send(&this_thread())?;
    call()?;
    told.send(&HANDLED.load(Ordering::Relaxed))?;
    Ok(())
}

/// Disturbs one who sleeps in a call, sees that it goes on sleeping, and then lets it go.
fn disturb(p: &mp::Process<()>, told: &Connection, let_go: impl FnOnce()) {
    sleeps(p.pid(), told.recv().unwrap());
    for _ in 0..50 {
        signal(p.pid(), Signal::USR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!told.poll(Some(Duration::ZERO)).unwrap(), "a signal ended its call");
    // And while it works.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !told.poll(Some(Duration::ZERO)).unwrap() {
                signal(p.pid(), Signal::USR1);
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        let_go();
    });
    assert!(told.recv::<u32>().unwrap() > 0, "no signal arrived");
    p.join().unwrap();
}

#[test]
fn cn_27_signals_do_not_interrupt_a_receive() {
    let receives = |end: Connection, told: Connection| {
        among_signals(&told, || {
            mp::ensure!(end.recv_bytes()?.len() == 32 << 20);
            Ok(())
        })
    };
    for (ours, theirs) in connections() {
        let (told, telling) = Pipe::simplex().unwrap();
        let p = mp::Process::start(receives, (theirs, telling)).unwrap();
        disturb(&p, &told, || ours.send_bytes(&vec![0; 32 << 20]).unwrap());
    }
}

#[test]
fn cn_27_signals_do_not_interrupt_a_send_of_more_than_the_socket_holds() {
    let sends = |end: Connection, told: Connection| {
        among_signals(&told, || Ok(end.send_bytes(&vec![7; 32 << 20])?))
    };
    for (ours, theirs) in connections() {
        let (told, telling) = Pipe::simplex().unwrap();
        let p = mp::Process::start(sends, (theirs, telling)).unwrap();
        disturb(&p, &told, || assert!(ours.recv_bytes().unwrap() == vec![7; 32 << 20]));
    }
}

#[test]
fn cn_27_signals_do_not_interrupt_an_accept() {
    let accepts = |told: Connection, key: Option<Vec<u8>>| {
        for listener in listeners(key.as_deref()) {
            told.send(listener.address())?;
            among_signals(&told, || {
                mp::ensure!(listener.accept()?.recv::<String>()? == "hello");
                Ok(())
            })?;
            told.recv::<()>()?;
        }
        Ok(())
    };
    for key in [None, Some(b"key".to_vec())] {
        let (told, telling) = Pipe::duplex().unwrap();
        let p = mp::Process::start(accepts, (telling, key.clone())).unwrap();
        for _ in 0..3 {
            let address: Address = told.recv().unwrap();
            sleeps(p.pid(), told.recv().unwrap());
            for _ in 0..50 {
                signal(p.pid(), Signal::USR1);
                std::thread::sleep(Duration::from_millis(1));
            }
            let client = Client::connect(address, key.as_deref()).unwrap();
            client.send("hello").unwrap();
            assert!(told.recv::<u32>().unwrap() > 0);
            told.send(&()).unwrap();
        }
        p.join().unwrap();
    }
}

#[test]
fn cn_27_signals_do_not_interrupt_a_connect() {
    let connects = |address: Address, told: Connection| {
        among_signals(&told, || Ok(Client::connect(address, Some(b"key"))?.send("hello")?))
    };
    for listener in listeners(Some(b"key")) {
        let (told, telling) = Pipe::simplex().unwrap();
        let arguments = (listener.address().clone(), telling);
        let p = mp::Process::start(connects, arguments).unwrap();
        disturb(&p, &told, || {
            assert_eq!(listener.accept().unwrap().recv::<String>().unwrap(), "hello");
        });
    }
}

#[test]
fn cn_27_signals_do_not_interrupt_a_wait_or_a_poll() {
    let waits = |end: Connection, told: Connection, polls: bool| {
        among_signals(&told, || {
            if polls {
                mp::ensure!(end.poll(Some(LONG))?);
            } else {
                mp::ensure!(wait(&[&end], Some(LONG))? == [0]);
            }
            Ok(())
        })
    };
    for polls in [false, true] {
        let (ours, theirs) = Pipe::duplex().unwrap();
        let (told, telling) = Pipe::simplex().unwrap();
        let p = mp::Process::start(waits, (theirs, telling, polls)).unwrap();
        disturb(&p, &told, || ours.send(&1).unwrap());
    }
}

#[test]
fn cn_27_signals_do_not_stretch_a_timed_call() {
    let child = |told: Connection, which: u32| -> mp::Result<()> {
        handle();
        told.send(&())?;
        let limit = Duration::from_millis(300);
        let (a, _b) = Pipe::duplex()?;
        let listener = mp::connection::Listener::new(Some(b"key"))?;
        takes_at_least(limit, || {
            match which {
                0 => mp::ensure!(!a.poll(Some(limit))?),
                1 => mp::ensure!(wait(&[&a, &listener], Some(limit))?.is_empty()),
                2 => mp::ensure!(listener.accept_timeout(limit)?.is_none()),
                _ => {
                    let address = listener.address();
                    mp::ensure!(Client::connect_timeout(address, Some(b"key"), limit).is_err());
                }
            }
            Ok(())
        })
    };
    for which in 0..4 {
        let (told, telling) = Pipe::simplex().unwrap();
        let p = mp::Process::start(child, (telling, which)).unwrap();
        told.recv::<()>().unwrap();
        // Each comes sooner than the call would end if it began again.
        while p.is_alive() {
            signal(p.pid(), Signal::USR1);
            std::thread::sleep(Duration::from_millis(5));
        }
        p.join().unwrap();
    }
}
