//! Looking at a server from outside: windows that are silent, strange or crowded hold up neither who looks nor the server.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::Duration;

use mp::{Event, Process, ServerProcess};
use mp_manager::look::{LookError, View, ask};
use mp_shared_memory::look::{Seen, Topic};
use mp_testing::again::passes_as_another_user;
use mp_testing::limits::{LONG, SHORT, comes_true, takes_at_least};
use mp_testing::system::{is_stopped, signal};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use rustix::process::Signal;

mp::enable_test_support!();

/// Far more than the system keeps for a reader who does not read.
const MANY: usize = 20_000;
/// More than a server tells at once, several times.
const LOOKERS: usize = 300;

struct Leaf;

#[mp::managed]
impl Leaf {
    pub fn new() -> Self {
        Leaf
    }
}

struct Tree(Vec<mp::Managed<Leaf>>);

#[mp::managed]
impl Tree {
    pub fn new(leaves: usize) -> Self {
        Tree((0..leaves).map(|_| mp::managed(Leaf)).collect())
    }

    pub fn leaves(&self) -> usize {
        self.0.len()
    }
}

/// What the notice of a server says that listens there.
fn notice(name: &str) -> Seen {
    Seen { topic: Topic::Server, words: Vec::new(), text: name.to_owned() }
}

/// The window of a real server, as the system lists it.
fn window(server: &ServerProcess) -> Seen {
    let begin = format!("@mp-window-{}-", server.pid());
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    let name = sockets.split_whitespace().find(|word| word.starts_with(&begin));
    notice(&name.unwrap()[1..])
}

/// Asks from a thread that may hang without the test doing so as well.
fn asked(seen: &Seen, pid: u32, limit: Duration) -> Result<View, LookError> {
    let (tell, told) = std::sync::mpsc::channel();
    let seen = seen.clone();
    std::thread::spawn(move || tell.send(ask(&seen, pid, limit)));
    told.recv_timeout(LONG).expect("it hangs").expect("it is the notice of a server")
}

fn connect(seen: &Seen) -> UnixStream {
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(&seen.text).unwrap()).unwrap()
}

fn bind(name: &str) -> mp::Result<UnixListener> {
    Ok(UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?)
}

/// A process that listens at the address of a window, and is none.
struct Impostor {
    seen: Seen,
    process: Process<()>,
}

impl Impostor {
    fn start(name: &str, role: impl mp::Target<(String, Event), Output = ()>) -> Impostor {
        let seen = notice(&format!("mp-window-test-{name}-{}", std::process::id()));
        let listens = Event::new().unwrap();
        let process = Process::start(role, (seen.text.clone(), listens.clone())).unwrap();
        assert!(listens.wait_timeout(LONG).unwrap());
        Impostor { seen, process }
    }

    fn ask(&self) -> Result<View, LookError> {
        asked(&self.seen, self.process.pid(), SHORT)
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        signal(self.process.pid(), Signal::KILL);
    }
}

/// Says the same to everybody, and keeps the connections.
fn say_to_all(name: &str, listens: &Event, words: &[u8]) -> mp::Result<()> {
    let listener = bind(name)?;
    listens.set();
    let mut kept = Vec::new();
    loop {
        let (mut looker, _) = listener.accept()?;
        looker.write_all(words)?;
        kept.push(looker);
    }
}

fn says_nothing(name: String, listens: Event) -> mp::Result<()> {
    say_to_all(&name, &listens, &[])
}

fn says_one_byte(name: String, listens: Event) -> mp::Result<()> {
    say_to_all(&name, &listens, &[7])
}

fn says_nonsense(name: String, listens: Event) -> mp::Result<()> {
    say_to_all(&name, &listens, &[4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])
}

fn says_too_much(name: String, listens: Event) -> mp::Result<()> {
    say_to_all(&name, &listens, &[255; 8])
}

/// Announces a long answer, of which there is always one byte more.
fn says_a_byte_now_and_then(name: String, listens: Event) -> mp::Result<()> {
    let listener = bind(&name)?;
    listens.set();
    loop {
        let (mut looker, _) = listener.accept()?;
        looker.write_all(&1_000_000_u64.to_le_bytes())?;
        while looker.write_all(&[0]).is_ok() {
            std::thread::sleep(SHORT / 20);
        }
    }
}

fn hangs_up(name: String, listens: Event) -> mp::Result<()> {
    let listener = bind(&name)?;
    listens.set();
    loop {
        drop(listener.accept()?);
    }
}

/// Has a queue of those who have connected, which is full, and accepts nobody.
fn accepts_nobody(name: String, listens: Event) -> mp::Result<()> {
    let socket = |flags| socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes())?;
    let listener = socket(SocketFlags::CLOEXEC)?;
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, 1)?;
    let mut queue = Vec::new();
    loop {
        let next = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        match rustix::net::connect(&next, &address) {
            Ok(()) => queue.push(next),
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    listens.set();
    loop {
        std::thread::park();
    }
}

#[test]
fn a_silent_window_is_given_up_at_the_limit_however_it_is_silent() {
    let silent = [
        Impostor::start("nothing", says_nothing),
        Impostor::start("one-byte", says_one_byte),
        Impostor::start("now-and-then", says_a_byte_now_and_then),
        Impostor::start("full", accepts_nobody),
    ];
    for impostor in &silent {
        let refused = takes_at_least(SHORT, || impostor.ask()).unwrap_err();
        assert!(matches!(refused, LookError::TimedOut(SHORT)), "{}: {refused}", impostor.seen.text);
        assert_eq!(refused.to_string(), "did not answer within 0.1 s");
    }
    let stopped = ServerProcess::start().unwrap();
    let seen = window(&stopped);
    signal(stopped.pid(), Signal::STOP);
    assert!(comes_true(|| is_stopped(stopped.pid())));
    let refused = takes_at_least(SHORT, || asked(&seen, stopped.pid(), SHORT)).unwrap_err();
    assert!(matches!(refused, LookError::TimedOut(_)), "{refused}");
    signal(stopped.pid(), Signal::CONT);
    assert_eq!(asked(&seen, stopped.pid(), LONG).unwrap().pid, stopped.pid());
}

#[test]
fn what_is_no_answer_is_an_error_of_its_own() {
    let refused = Impostor::start("nonsense", says_nonsense).ask().unwrap_err();
    assert!(matches!(refused, LookError::Garbled(_)), "{refused}");
    let refused = Impostor::start("much", says_too_much).ask().unwrap_err();
    assert!(matches!(refused, LookError::TooLong(u64::MAX)), "{refused}");
    let refused = Impostor::start("hangs-up", hangs_up).ask().unwrap_err();
    assert!(matches!(refused, LookError::HungUp), "{refused}");
    let nobody = notice(&format!("mp-window-test-nobody-{}", std::process::id()));
    let refused = asked(&nobody, std::process::id(), SHORT).unwrap_err();
    assert!(matches!(refused, LookError::System(_)), "{refused}");
    let pool = Seen { topic: Topic::Pool, ..nobody };
    assert!(ask(&pool, std::process::id(), SHORT).is_none());
}

#[test]
fn another_process_at_the_address_of_a_server_is_not_believed() {
    let server = ServerProcess::start().unwrap();
    let seen = window(&server);
    let refused = asked(&seen, std::process::id(), LONG).unwrap_err();
    let LookError::Stranger { pid, uid } = refused else { panic!("{refused}") };
    assert_eq!((pid, uid), (server.pid(), rustix::process::geteuid().as_raw()));
    assert_eq!(asked(&seen, server.pid(), LONG).unwrap().name, server.name());
}

#[test]
fn another_user_is_told_nothing() {
    let server = ServerProcess::start().unwrap();
    let value = format!("{} {}", server.pid(), window(&server).text);
    passes_as_another_user("as_another_user", "MP_TEST_WINDOW", &value);
}

#[test]
#[ignore = "run as another user by another_user_is_told_nothing"]
fn as_another_user() {
    let server = std::env::var("MP_TEST_WINDOW").unwrap();
    let (pid, name) = server.split_once(' ').unwrap();
    let refused = asked(&notice(name), pid.parse().unwrap(), LONG).unwrap_err();
    assert!(matches!(refused, LookError::HungUp), "{refused}");
}

#[test]
fn three_hundred_lookers_who_read_nothing_keep_nobody_out_and_do_not_delay_the_end() {
    let server = ServerProcess::start().unwrap();
    let tree = server.create(Tree::args(MANY)).unwrap();
    assert_eq!(tree.leaves().unwrap(), MANY);
    let (seen, pid) = (window(&server), server.pid());
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    let before = threads();
    let mute: Vec<UnixStream> = (0..LOOKERS).map(|_| connect(&seen)).collect();
    let view = asked(&seen, pid, Duration::from_secs(3)).unwrap();
    assert_eq!(view.objects.len(), MANY + 1);
    assert_eq!(threads(), before);
    // They come again, and are in the midst of it at the end.
    let again: Vec<UnixStream> = (0..LOOKERS).map(|_| connect(&seen)).collect();
    drop(tree);
    server.shutdown().unwrap();
    // A server that is late is terminated.
    assert_eq!(server.exitcode(), Some(0));
    drop((mute, again));
}

#[test]
fn whoever_leaves_in_the_midst_of_an_answer_leaves_nothing_behind() {
    let server = ServerProcess::start().unwrap();
    let tree = server.create(Tree::args(MANY)).unwrap();
    let seen = window(&server);
    // The ends of the server of all connections have the name of its window, and so has the listening socket.
    let sockets = || {
        let sockets = fs::read_to_string("/proc/net/unix").unwrap();
        sockets.split_whitespace().filter(|word| word[1..] == seen.text).count()
    };
    let mut looker = connect(&seen);
    looker.read_exact(&mut [0]).unwrap();
    assert_eq!(sockets(), 2);
    for _ in 0..20 {
        looker = connect(&seen);
        looker.read_exact(&mut [0]).unwrap();
    }
    drop(looker);
    assert!(comes_true(|| sockets() == 1));
    let view = asked(&seen, server.pid(), LONG).unwrap();
    assert_eq!(view.objects.len(), tree.leaves().unwrap() + 1);
}
