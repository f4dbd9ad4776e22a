//! `mp-top`: looks into a running session, by the pid of its root or of any other process of it.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::termios::tcgetwinsize;

const USAGE: &str = "\
usage: mp-top [PID] [--once] [--interval SECONDS]

Shows the processes of the session that process PID is in, what their threads wait for, its locks with
their holders and waiters, its queues, pools and servers, and dead locks. Without PID: the sessions there are,
or the only one.

  --once              prints it once, as long and wide as it is
  --interval SECONDS  shows it again after so long (1 by default, 0.05 at least), until the root of the session ends;
                      a terminal shows as much of it as its window has room for

Exit status: 0 if all is well, also when the session has ended; 1 for a failure, or if --once without PID found
several sessions; 2 if --once has seen a dead lock.";

/// Asking more often would load the machine more than it tells.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// By so much the system may err when it says how old a process is.
const AGE_ERROR: Duration = Duration::from_millis(50);

const DEAD_LOCK: u8 = 2;

#[derive(Debug, PartialEq)]
struct Options {
    pid: Option<u32>,
    is_once: bool,
    interval: Duration,
}

impl Options {
    fn parse(words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options { pid: None, is_once: false, interval: Duration::from_secs(1) };
        let mut words = words;
        while let Some(word) = words.next() {
            match word.as_str() {
                "--once" => options.is_once = true,
                "--interval" => {
                    let seconds = words.next().and_then(|seconds| seconds.parse().ok());
                    let interval =
                        seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
                    let interval = interval.ok_or("--interval needs a number of seconds")?;
                    options.interval = interval.max(SHORTEST_INTERVAL);
                }
                pid if options.pid.is_none() && !pid.starts_with('-') => {
                    let number = pid.parse();
                    options.pid =
                        Some(number.map_err(|_| format!("`{}` is no pid", pid.escape_debug()))?);
                }
                other => {
                    return Err(format!("`{}` is no option\n\n{USAGE}", other.escape_debug()));
                }
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    // What is no Unicode is neither an option nor a number, and is told so.
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    let done = if words.iter().any(|word| word == "--help" || word == "-h") {
        Output::open().and_then(|mut out| out.text(USAGE)).map(|_| ExitCode::SUCCESS)
    } else {
        Options::parse(words.into_iter()).and_then(|options| run(&options))
    };
    done.unwrap_or_else(|message| {
        eprintln!("mp-top: {message}");
        ExitCode::FAILURE
    })
}

/// Looking takes a descriptor for each arena, and there may be more of them than a shell lets its programs open.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // If it fails, there may still be enough.
    let _tried = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

fn run(options: &Options) -> Result<ExitCode, String> {
    raise_file_limit();
    let mut out = Output::open()?;
    let pid = match options.pid {
        Some(pid) => pid,
        None => match mp::inspect::sessions().map_err(|error| said(&error))?.as_slice() {
            [] => return Err("there is no session of this user".to_owned()),
            [pid] => *pid,
            several => {
                out.text(&list(several))?;
                return Ok(ExitCode::from(u8::from(options.is_once)));
            }
        },
    };
    let first = mp::inspect_session(pid).map_err(|error| said(&error))?;
    if options.is_once {
        out.text(first.to_string().trim_end())?;
        let status = if first.dead_locks.is_empty() { 0 } else { DEAD_LOCK };
        return Ok(ExitCode::from(status));
    }
    let mut root = Root::of(&first, Instant::now());
    let mut is_read = out.table(&first)?;
    let mut next = Instant::now();
    while is_read {
        next = (next + options.interval).max(Instant::now());
        std::thread::sleep(next - Instant::now());
        let begun = Instant::now();
        let session = match mp::inspect_session(root.pid) {
            Ok(session) if root.is_in(&session, begun) => session,
            Ok(_) => break,
            // It has been seen, so it has ended, or is a zombie, of which nothing can be seen.
            Err(
                mp::InspectError::NoProcess { .. }
                | mp::InspectError::NoSession { .. }
                | mp::InspectError::NotPermitted { .. },
            ) => break,
            Err(error) => return Err(said(&error)),
        };
        root = Root { age: Root::age(root.pid, &session), seen: Instant::now(), ..root };
        is_read = out.table(&session)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The sessions there are, one a line.
fn list(roots: &[u32]) -> String {
    let mut text = "There are several sessions; mp-top PID shows one:".to_owned();
    for root in roots {
        // One that has ended meanwhile is none.
        if let Ok(session) = mp::inspect_session(*root) {
            let table = session.to_string();
            text += &format!("\n  {root}  {}", table.lines().next().unwrap_or_default());
        }
    }
    text
}

/// An error with its causes, on one line: it may name a program, and that may be called anything.
fn said(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error| (**error).source());
    let causes: Vec<String> = causes.map(|error| error.to_string()).collect();
    causes.join(": ").escape_debug().to_string()
}

/// The process at the root of the session that is shown; its pid may come to be that of another.
#[derive(Clone, Copy, Debug)]
struct Root {
    pid: u32,
    /// How old it was, at the latest when it was seen.
    age: Duration,
    seen: Instant,
}

impl Root {
    fn of(session: &mp::Inspection, seen: Instant) -> Root {
        Root { pid: session.root, age: Root::age(session.root, session), seen }
    }

    fn age(pid: u32, session: &mp::Inspection) -> Duration {
        let root = session.processes.iter().find(|process| process.pid == pid);
        root.map(|process| process.age).unwrap_or_default()
    }

    /// Whether it is in what was looked at from `begun` on.
    fn is_in(&self, session: &mp::Inspection, begun: Instant) -> bool {
        self.may_be(Root::age(self.pid, session), begun)
    }

    /// Whether the process that has its pid, and is of that age at `begun` or later, may be the same.
    fn may_be(&self, age: Duration, begun: Instant) -> bool {
        age + AGE_ERROR >= self.age + begun.saturating_duration_since(self.seen)
    }
}

/// Standard output. Each call writes once.
struct Output {
    file: File,
    is_terminal: bool,
    has_shown: bool,
}

impl Output {
    fn open() -> Result<Output, String> {
        let stdout = io::stdout();
        let file = stdout.as_fd().try_clone_to_owned().map_err(|error| said(&error))?;
        Ok(Output { file: file.into(), is_terminal: stdout.is_terminal(), has_shown: false })
    }

    /// Whether there is still somebody to read it: whoever has closed it has seen enough.
    fn write(&mut self, text: &str) -> Result<bool, String> {
        match self.file.write_all(text.as_bytes()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(format!("cannot write: {}", said(&error))),
        }
    }

    fn text(&mut self, text: &str) -> Result<bool, String> {
        self.write(&format!("{text}\n"))
    }

    /// Shows a session, on a terminal in place of what was shown before.
    fn table(&mut self, session: &mp::Inspection) -> Result<bool, String> {
        let table = format!("{}  {session}", clock(session.at));
        let is_first = !std::mem::replace(&mut self.has_shown, true);
        let text = match self.is_terminal.then(|| Window::of(&self.file)) {
            Some(window) if is_first => window.scrolled() + &window.frame(&table),
            Some(window) => window.frame(&table),
            None if is_first => table,
            None => format!("\n{table}"),
        };
        self.write(&text)
    }
}

/// The size of a terminal's window in characters.
#[derive(Clone, Copy, Debug)]
struct Window {
    rows: usize,
    columns: usize,
}

impl Window {
    /// That of a terminal; the usual one if it does not say.
    fn of(terminal: &File) -> Window {
        let size = tcgetwinsize(terminal).ok();
        let (rows, columns) = size.map_or((0, 0), |size| (size.ws_row, size.ws_col));
        let or = |size: u16, usual| if size == 0 { usual } else { usize::from(size) };
        Window { rows: or(rows, 24), columns: or(columns, 80) }
    }

    /// What puts all that stands in the window above it, where it can be scrolled back to.
    fn scrolled(self) -> String {
        "\n".repeat(self.rows.saturating_sub(1))
    }

    /// What replaces the contents of the window by `text`, as much of it as there is room for, without clearing it first. The last row
    /// stays free, for the prompt after Ctrl-C.
    fn frame(self, text: &str) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let room = self.rows.saturating_sub(1).max(1);
        let shown = if lines.len() > room { room - 1 } else { lines.len() };
        let mut rest = None;
        if shown < lines.len() {
            rest = Some(format!("({} more lines: see --once)", lines.len() - shown));
        }
        // Upper left corner; no line goes on in the next row, however wide its characters are.
        let mut frame = "\x1b[H\x1b[?7l".to_owned();
        for line in lines[..shown].iter().copied().chain(rest.as_deref()) {
            let end = line.char_indices().nth(self.columns).map_or(line.len(), |(end, _)| end);
            frame += &line[..end];
            // In a row that is full, the cursor is still at the last character.
            if line.chars().nth(self.columns - 1).is_none() {
                frame += "\x1b[K";
            }
            frame.push('\n');
        }
        frame + "\x1b[J\x1b[?7h"
    }
}

/// The time of day in UTC.
fn clock(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02} UTC", since / 3600 % 24, since / 60 % 60, since % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_come_in_any_order_and_wrong_ones_are_named() {
        let expected =
            Options { pid: Some(7), is_once: true, interval: Duration::from_millis(500) };
        assert_eq!(parse("--interval 0.5 7 --once"), Ok(expected));
        assert_eq!(parse("").unwrap().pid, None);
        assert_eq!(parse("--interval 0").unwrap().interval, SHORTEST_INTERVAL);
        for (words, said) in [
            ("x7", "`x7`"),
            ("7 8", "`8`"),
            ("--all", "`--all`"),
            ("--interval -1", "--interval"),
            ("--interval NaN", "--interval"),
            ("\x1b[2J", "`\\u{1b}[2J`"),
        ] {
            assert!(parse(words).unwrap_err().contains(said), "{words}");
        }
    }

    #[test]
    fn a_process_that_is_too_young_is_another_one_with_the_same_pid() {
        let seen = Instant::now();
        let root = Root { pid: 7, age: Duration::from_secs(100), seen };
        let later = seen + Duration::from_secs(10);
        assert!(root.may_be(Duration::from_secs(110), later));
        assert!(root.may_be(Duration::from_secs(115), later), "the look took its time");
        assert!(root.may_be(Duration::from_millis(109_980), later), "ticks are not exact");
        assert!(!root.may_be(Duration::from_secs(109), later));
        assert!(!root.may_be(Duration::from_secs(2), later));
        // It had just been started, and so had the other: both are younger than the time between.
        let young = Root { age: Duration::from_millis(10), ..root };
        assert!(!young.may_be(Duration::from_secs(5), later));
    }

    #[test]
    fn a_frame_fills_the_window_and_no_more_and_never_clears_it_first() {
        let window = Window { rows: 4, columns: 5 };
        assert_eq!(
            window.frame("ab\n\u{e9}cdef\ncdefgh\n"),
            "\x1b[H\x1b[?7lab\x1b[K\n\u{e9}cdef\ncdefg\n\x1b[J\x1b[?7h"
        );
        let frame = Window { rows: 4, columns: 80 }.frame("a\nb\nc\nd\n");
        assert!(
            frame.contains("la\x1b[K\nb\x1b[K\n(2 more lines: see --once)\x1b[K\n"),
            "{frame:?}"
        );
        assert!(frame.matches('\n').count() < 4, "nothing is scrolled: {frame:?}");
        for tiny in [Window { rows: 1, columns: 1 }, Window { rows: 0, columns: 1 }] {
            assert!(tiny.frame("ab\ncd").contains("l(\n"), "{tiny:?}");
        }
    }
}
