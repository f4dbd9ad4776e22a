//! What the suites share: another process, the ways in which a handle gets there, and what both tell each
//! other meanwhile.
#![allow(dead_code, reason = "no suite needs all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod storm;

use std::any::type_name;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mp::{DupFd, Event, JoinableQueue, Queue, RawArray, SimpleQueue};
use mp_testing::system::{ends_within, is_asleep, signal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The time of a wait that is to end without what it waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(100);

/// How a handle comes to another process, and how that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// In an argument of an `mp::Process`.
    Argument,
    /// As a token, which an `mp::Process` makes a handle from.
    Token,
    /// As a token in the environment of a program that was started by other means.
    Program,
}

pub(crate) const WAYS: [Way; 3] = [Way::Argument, Way::Token, Way::Program];

/// One or more handles, which can travel as such and as tokens.
pub(crate) trait Handles: Clone + Serialize + DeserializeOwned + 'static {
    /// Their tokens, in order.
    fn tokens(&self) -> Vec<String>;
    /// Handles from as many tokens as it takes.
    fn open<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> mp::Result<Self>;
}

macro_rules! handles {
    ($($type:ty $(, $parameter:ident)?);* $(;)?) => {
        $(
            impl $(<$parameter: 'static>)? Handles for $type {
                fn tokens(&self) -> Vec<String> {
                    vec![self.token().unwrap()]
                }

                fn open<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> mp::Result<Self> {
                    Ok(<$type>::from_token(tokens.next().unwrap())?)
                }
            }
        )*
    };
}

handles! {
    Queue<T>, T; JoinableQueue<T>, T; SimpleQueue<T>, T; RawArray<u64>; Event;
}

macro_rules! tuples {
    ($($($name:ident)*);* $(;)?) => {
        $(
            impl<$($name: Handles),*> Handles for ($($name,)*) {
                fn tokens(&self) -> Vec<String> {
                    #[expect(non_snake_case, reason = "named as their types")]
                    let ($($name,)*) = self;
                    [$($name.tokens()),*].concat()
                }

                fn open<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> mp::Result<Self> {
                    Ok(($($name::open(tokens)?,)*))
                }
            }
        )*
    };
}

tuples!(A B; A B C);

/// For a role that makes its own.
impl Handles for () {
    fn tokens(&self) -> Vec<String> {
        Vec::new()
    }

    fn open<'a>(_: &mut impl Iterator<Item = &'a str>) -> mp::Result<()> {
        Ok(())
    }
}

fn from_text<H: Handles>(text: &str) -> mp::Result<H> {
    H::open(&mut text.split(' '))
}

/// Handles on their way to another process.
#[derive(Serialize, Deserialize)]
enum Sent<H> {
    Handles(H),
    Tokens(String),
}

/// What another process has of the one that started it.
pub(crate) struct Link {
    input: BufReader<Box<dyn Read>>,
    output: Box<dyn Write>,
}

impl Link {
    fn over(input: DupFd, output: DupFd) -> Link {
        Link {
            input: BufReader::new(Box::new(input.into::<PipeReader>())),
            output: Box::new(output.into::<PipeWriter>()),
        }
    }

    /// For a role that is played here, where nobody says or hears anything.
    pub(crate) fn to_nobody() -> Link {
        Link {
            input: BufReader::new(Box::new(std::io::empty())),
            output: Box::new(std::io::sink()),
        }
    }

    /// Tells something; the other end gets it by [`Peer::hear`].
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) {
        // The harness of the tests writes there, too, and does not end its lines.
        self.output.write_all(format!("\n@{text}\n").as_bytes()).unwrap();
        self.output.flush().unwrap();
    }

    /// Tells that this thread is about to wait for something; see [`Peer::hear_that_it_sleeps`].
    pub(crate) fn say_waiting(&mut self) {
        self.say(rustix::thread::gettid().as_raw_nonzero());
    }

    /// Waits for what [`Peer::say`] says.
    pub(crate) fn hear(&mut self) -> mp::Result<String> {
        let mut line = String::new();
        mp::ensure!(self.input.read_line(&mut line)? > 0, "nobody is at the other end");
        Ok(line.trim().to_owned())
    }

    /// Never returns.
    pub(crate) fn hold_still(&mut self) -> ! {
        self.say("still");
        loop {
            std::thread::park();
        }
    }
}

enum Running {
    Process(mp::Process<()>),
    Program(Child),
}

/// Another process that plays a role.
pub(crate) struct Peer {
    running: Running,
    input: BufReader<PipeReader>,
    output: PipeWriter,
    /// What it said last, if that was not heard yet.
    said: Option<String>,
}

impl Peer {
    /// Starts a process that runs `role` with the handles.
    pub(crate) fn start<H, F>(way: Way, role: F, handles: &H) -> Peer
    where
        H: Handles,
        F: Fn(H, &mut Link) -> mp::Result<()> + Copy + 'static,
    {
        let sent = match way {
            Way::Program => return Peer::start_program(role, &handles.tokens().join(" ")),
            Way::Argument => Sent::Handles(handles.clone()),
            Way::Token => Sent::Tokens(handles.tokens().join(" ")),
        };
        let play = move |sent: Sent<H>, input: DupFd, output: DupFd| {
            let handles = match sent {
                Sent::Handles(handles) => handles,
                Sent::Tokens(text) => from_text(&text)?,
            };
            role(handles, &mut Link::over(input, output))
        };
        Peer::over_pipes(|input, output| {
            Running::Process(mp::Process::start(play, (sent, input.into(), output.into())).unwrap())
        })
    }

    /// Starts a program of its own that runs `role` with the handles that the tokens stand for.
    pub(crate) fn start_program<H, F>(_: F, tokens: &str) -> Peer
    where
        H: Handles,
        F: Fn(H, &mut Link) -> mp::Result<()> + Copy + 'static,
    {
        Peer::over_pipes(|input, output| {
            let mut program = Command::new(std::env::current_exe().unwrap());
            program.args(["--exact", "another_program", "--ignored", "--nocapture"]);
            program.env("MP_ROLE", type_name::<F>()).env("MP_TOKENS", tokens);
            Running::Program(program.stdin(input).stdout(output).spawn().unwrap())
        })
    }

    fn over_pipes(start: impl FnOnce(PipeReader, PipeWriter) -> Running) -> Peer {
        let (input, their_output) = std::io::pipe().unwrap();
        let (their_input, output) = std::io::pipe().unwrap();
        let running = start(their_input, their_output);
        Peer { running, input: BufReader::new(input), output, said: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.running {
            Running::Process(process) => process.pid(),
            Running::Program(program) => program.id(),
        }
    }

    /// Whether the role has said something that was not heard yet.
    pub(crate) fn has_spoken(&mut self) -> bool {
        self.speaks_within(Duration::ZERO)
    }

    /// Waits until the role has said something.
    fn speaks_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while self.said.is_none() {
            if self.input.buffer().is_empty() {
                let mut fds = [PollFd::new(self.input.get_ref(), PollFlags::IN)];
                let left = deadline.saturating_duration_since(Instant::now());
                let left = Timespec::try_from(left).unwrap();
                if retry_on_intr(|| poll(&mut fds, Some(&left))).unwrap() == 0 {
                    return false;
                }
            }
            let mut line = String::new();
            if self.input.read_line(&mut line).unwrap() == 0 {
                panic!("the other process ended: {:?}", self.outcome());
            }
            self.said = line.trim().strip_prefix('@').map(ToOwned::to_owned);
        }
        true
    }

    /// What the role says next.
    pub(crate) fn hear(&mut self) -> String {
        assert!(self.speaks_within(LONG), "the other process says nothing");
        self.said.take().unwrap()
    }

    pub(crate) fn expect(&mut self, text: &str) {
        assert_eq!(self.hear(), text);
    }

    /// Waits until the role sleeps after it said that it is going to.
    pub(crate) fn hear_that_it_sleeps(&mut self) {
        let thread = self.hear().parse().unwrap();
        assert!(comes_true(|| is_asleep(self.pid(), thread)), "it does not come to sleep");
    }

    pub(crate) fn say(&mut self, text: impl std::fmt::Display) {
        self.output.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn outcome(&mut self) -> Result<(), String> {
        assert!(ends_within(self.pid(), LONG).unwrap(), "the other process does not end");
        match &mut self.running {
            Running::Process(process) => process.join().map_err(|error| format!("{error:?}")),
            Running::Program(program) => match program.wait().unwrap() {
                status if status.success() => Ok(()),
                status => Err(status.to_string()),
            },
        }
    }

    /// Waits for the end of the role, which has to be a good one.
    pub(crate) fn end(mut self) {
        self.outcome().unwrap();
    }

    /// Waits until the process has ended, however it does.
    pub(crate) fn end_somehow(mut self) {
        let _outcome = self.outcome();
    }

    pub(crate) fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// Kills it, and sees that this is what ended it.
    pub(crate) fn kill_9(mut self) -> u32 {
        match &mut self.running {
            Running::Process(process) => {
                process.kill();
                process.join().unwrap_err();
                assert_eq!(process.exitcode(), Some(-9));
            }
            Running::Program(program) => {
                program.kill().unwrap();
                assert_eq!(program.wait().unwrap().signal(), Some(9));
            }
        }
        self.pid()
    }
}

impl Drop for Peer {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        match &mut self.running {
            Running::Process(process) => process.kill(),
            Running::Program(program) => {
                let _killed = program.kill();
                let _reaped = program.wait();
            }
        }
    }
}

/// Plays a role with the handles that tokens stand for.
type Play = dyn Fn(&str, &mut Link) -> mp::Result<()>;

/// A role by its name, for a program that was started by other means.
pub(crate) struct Role {
    name: &'static str,
    play: Box<Play>,
}

impl Role {
    pub(crate) fn of<H: Handles, F>(role: F) -> Role
    where
        F: Fn(H, &mut Link) -> mp::Result<()> + 'static,
    {
        let name = type_name::<F>();
        Role { name, play: Box::new(move |tokens, link| role(from_text(tokens)?, link)) }
    }
}

/// Plays the role that the environment asks for.
pub(crate) fn play(roles: &[Role]) {
    let variable = |name: &str| std::env::var(name).unwrap();
    let name = variable("MP_ROLE");
    let role = roles.iter().find(|role| role.name == name);
    let mut link = Link {
        input: BufReader::new(Box::new(std::io::stdin())),
        output: Box::new(std::io::stdout()),
    };
    let role = role.unwrap_or_else(|| panic!("no role '{name}'"));
    (role.play)(&variable("MP_TOKENS"), &mut link).unwrap_or_else(|error| panic!("{error:?}"));
}

/// The entry of a program that was started by other means; names the roles that it can play.
#[macro_export]
macro_rules! roles {
    ($($role:path),* $(,)?) => {
        #[test]
        #[ignore = "what another program does, which the tests start"]
        fn another_program() {
            common::play(&[$(common::Role::of($role)),*]);
        }
    };
}

/// Waits until one of them says something; its position.
pub(crate) fn first_to_speak(peers: &mut [Peer]) -> usize {
    let mut found = None;
    assert!(comes_true(|| {
        found = peers.iter_mut().position(Peer::has_spoken);
        found.is_some()
    }));
    found.unwrap()
}

/// Asks until the answer is yes; nothing announces what it is asked for.
pub(crate) fn comes_true(mut question: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + LONG;
    while !question() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

/// Runs `wait` and sees that it takes at least `least`; what it gave.
pub(crate) fn takes_at_least<T>(least: Duration, wait: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = wait();
    assert!(begun.elapsed() >= least, "{:?} instead of {least:?}", begun.elapsed());
    result
}

/// Runs `call`, which must not wait for anybody; what it gave.
pub(crate) fn at_once<T>(call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    result
}

/// Runs a scenario in a process of its own, where nothing else opens or maps anything.
pub(crate) fn alone(scenario: impl mp::Target<(), Output = ()>) {
    let p = mp::Process::start(scenario, ()).unwrap();
    ends_in_time(&p);
    p.into_result().unwrap();
}

/// Sees that a process ends, and does not hang; if it does, it is killed.
pub(crate) fn ends_in_time<T>(process: &mp::Process<T>) {
    if !ends_within(process.pid(), LONG).unwrap() {
        process.kill();
        panic!("{} hangs", process.name());
    }
}
