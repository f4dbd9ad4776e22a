//! Another process that plays a role, the ways in which a handle gets there, and what both tell each other
//! meanwhile.
#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, and says why"
)]
#![allow(missing_debug_implementations, reason = "no test prints these")]

use std::any::type_name;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use bytemuck::Pod;
use mp::{
    Array, Barrier, BoundedSemaphore, Condition, DupFd, Event, JoinableQueue, Lock, Queue, RLock,
    RawArray, RawValue, Semaphore, SimpleQueue, Value,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::limits::{LONG, comes_true};
use crate::system::{ends_within, is_asleep, signal};

/// How a handle comes to another process, and how that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// In an argument of an `mp::Process`.
    Argument,
    /// As a token, which an `mp::Process` makes a handle from.
    Token,
    /// As a token in the environment of a program that was started by other means.
    Program,
}

/// All of them.
pub const WAYS: [Way; 3] = [Way::Argument, Way::Token, Way::Program];

/// One or more handles, which can travel as such and as tokens.
pub trait Handles: Clone + Serialize + DeserializeOwned + 'static {
    /// Their tokens, in order.
    fn tokens(&self) -> Vec<String>;
    /// Handles from as many tokens as it takes.
    ///
    /// # Errors
    ///
    /// What a token has against it.
    fn open<'a>(tokens: &mut impl Iterator<Item = &'a str>) -> mp::Result<Self>;
}

macro_rules! handles {
    ($($type:ty $(, $parameter:ident: $bound:tt)?);* $(;)?) => {
        $(
            impl $(<$parameter: $bound>)? Handles for $type {
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
    Lock; RLock; Semaphore; BoundedSemaphore; Condition; Event; Barrier;
    Value<T>, T: Pod; Array<T>, T: Pod; RawValue<T>, T: Pod; RawArray<T>, T: Pod;
    Queue<T>, T: 'static; JoinableQueue<T>, T: 'static; SimpleQueue<T>, T: 'static;
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

tuples!(A B; A B C; A B C D);

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
pub struct Link {
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
    pub fn to_nobody() -> Link {
        Link {
            input: BufReader::new(Box::new(std::io::empty())),
            output: Box::new(std::io::sink()),
        }
    }

    /// Tells something; the other end gets it by [`Peer::hear`].
    pub fn say(&mut self, text: impl std::fmt::Display) {
        // The harness of the tests writes there, too, and does not end its lines.
        self.output.write_all(format!("\n@{text}\n").as_bytes()).unwrap();
        self.output.flush().unwrap();
    }

    /// Tells that this thread is about to wait for something; see [`Peer::hear_that_it_sleeps`].
    pub fn say_waiting(&mut self) {
        self.say(rustix::thread::gettid().as_raw_nonzero());
    }

    /// Waits for what [`Peer::say`] says.
    ///
    /// # Errors
    ///
    /// When nobody is at the other end.
    pub fn hear(&mut self) -> mp::Result<String> {
        let mut line = String::new();
        mp::ensure!(self.input.read_line(&mut line)? > 0, "nobody is at the other end");
        Ok(line.trim().to_owned())
    }

    /// Never returns.
    pub fn hold_still(&mut self) -> ! {
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
pub struct Peer {
    running: Running,
    input: BufReader<PipeReader>,
    output: PipeWriter,
    /// What it said last, if that was not heard yet.
    said: Option<String>,
}

impl Peer {
    /// Starts a process that runs `role` with the handles.
    pub fn start<H, F>(way: Way, role: F, handles: &H) -> Peer
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
    pub fn start_program<H, F>(_: F, tokens: &str) -> Peer
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

    /// Its pid.
    pub fn pid(&self) -> u32 {
        match &self.running {
            Running::Process(process) => process.pid(),
            Running::Program(program) => program.id(),
        }
    }

    /// Whether the role has said something that was not heard yet.
    pub fn has_spoken(&mut self) -> bool {
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
    pub fn hear(&mut self) -> String {
        assert!(self.speaks_within(LONG), "the other process says nothing");
        self.said.take().unwrap()
    }

    /// Sees that the role says this next.
    pub fn expect(&mut self, text: &str) {
        assert_eq!(self.hear(), text);
    }

    /// Waits until the role sleeps after it said that it is going to.
    pub fn hear_that_it_sleeps(&mut self) {
        let thread = self.hear().parse().unwrap();
        assert!(comes_true(|| is_asleep(self.pid(), thread)), "it does not come to sleep");
    }

    /// Tells the role something, which gets it by [`Link::hear`].
    pub fn say(&mut self, text: impl std::fmt::Display) {
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
    pub fn end(mut self) {
        self.outcome().unwrap();
    }

    /// Waits until the process has ended, however it does.
    pub fn end_somehow(mut self) {
        let _outcome = self.outcome();
    }

    /// Sends it a signal.
    pub fn signal(&self, which: Signal) {
        signal(self.pid(), which);
    }

    /// Kills it, and sees that this is what ended it.
    pub fn kill_9(mut self) -> u32 {
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
pub struct Role {
    name: &'static str,
    play: Box<Play>,
}

impl Role {
    /// The role that this function plays.
    pub fn of<H: Handles, F>(role: F) -> Role
    where
        F: Fn(H, &mut Link) -> mp::Result<()> + 'static,
    {
        let name = type_name::<F>();
        Role { name, play: Box::new(move |tokens, link| role(from_text(tokens)?, link)) }
    }
}

/// Plays the role that the environment asks for.
pub fn play(roles: &[Role]) {
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
            $crate::peer::play(&[$($crate::peer::Role::of($role)),*]);
        }
    };
}

/// Waits until one of them says something; its position.
pub fn first_to_speak(peers: &mut [Peer]) -> usize {
    let mut found = None;
    assert!(comes_true(|| {
        found = peers.iter_mut().position(Peer::has_spoken);
        found.is_some()
    }));
    found.unwrap()
}

/// Sends signals to one who waits, sees that it goes on waiting, and then lets it go.
pub fn disturb(mut waiting: Peer, let_go: impl FnOnce()) {
    waiting.hear_that_it_sleeps();
    for _ in 0..50 {
        waiting.signal(Signal::USR1);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!waiting.has_spoken(), "a signal ended its wait");
    let_go();
    let handled: u32 = waiting.hear().parse().unwrap();
    assert!(handled > 0, "no signal arrived");
    waiting.end();
}
