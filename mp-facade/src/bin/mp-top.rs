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
  --interval SECONDS  shows it again after so long (1 by default, 0.05 at least, 86400 at most), until the root of the
                      session ends; a terminal shows as much of it as its window has room for: something of everything,
                      dead locks and what is in use first

Exit status: 0 if all is well, also when the session has ended; 1 for a failure, or if --once without PID found
several sessions; 2 if --once has seen a dead lock.";

/// Asking more often would load the machine more than it tells.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// A day; far less than what a clock has room for.
const LONGEST_INTERVAL: Duration = Duration::from_secs(86_400);

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
                    let seconds = words.next().ok_or("--interval needs a number of seconds")?;
                    options.interval = interval(&seconds)?;
                }
                pid if options.pid.is_none() && !pid.starts_with('-') => {
                    let number = pid.parse();
                    options.pid =
                        Some(number.map_err(|_| format!("`{}` is no pid", pid.escape_debug()))?);
                }
                more if !more.starts_with('-') => {
                    let more = more.escape_debug();
                    return Err(format!("`{more}` is too much: the pid of one process is enough"));
                }
                other => {
                    return Err(format!("`{}` is no option\n\n{USAGE}", other.escape_debug()));
                }
            }
        }
        Ok(options)
    }
}

/// How long to wait between two looks.
fn interval(seconds: &str) -> Result<Duration, String> {
    let number = seconds.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let said = seconds.escape_debug();
    let number =
        number.ok_or_else(|| format!("--interval needs a number of seconds, not `{said}`"))?;
    let interval = Duration::try_from_secs_f64(number).ok();
    let interval = interval.filter(|interval| *interval <= LONGEST_INTERVAL);
    let most = LONGEST_INTERVAL.as_secs();
    let interval = interval
        .ok_or_else(|| format!("--interval {said} is too long: a day, {most}, is the most"))?;
    Ok(interval.max(SHORTEST_INTERVAL))
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
        out.text(format!("{first:#}").trim_end())?;
        let status = if first.dead_locks.is_empty() { 0 } else { DEAD_LOCK };
        return Ok(ExitCode::from(status));
    }
    let root = Root::of(&first);
    let mut is_read = out.table(&first)?;
    let mut next = Instant::now();
    while is_read {
        next = (next + options.interval).max(Instant::now());
        std::thread::sleep(next - Instant::now());
        let session = match mp::inspect_session(root.pid) {
            Ok(session) if root.is_in(&session) => session,
            Ok(_) => break,
            // It has been seen, so it has ended, or is a zombie, of which nothing can be seen.
            Err(
                mp::InspectError::NoProcess { .. }
                | mp::InspectError::NoSession { .. }
                | mp::InspectError::NotPermitted { .. },
            ) => break,
            Err(error) => return Err(said(&error)),
        };
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
    start_tick: Option<u64>,
}

impl Root {
    fn of(session: &mp::Inspection) -> Root {
        let pid = session.root;
        let root = session.processes.iter().find(|process| process.pid == pid);
        Root { pid, start_tick: root.map(|root| root.start_tick) }
    }

    /// Whether it is among the processes of a session, in which others may have come above it.
    fn is_in(&self, session: &mp::Inspection) -> bool {
        let mut processes = session.processes.iter();
        processes.any(|other| (other.pid, Some(other.start_tick)) == (self.pid, self.start_tick))
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
        let at = clock(session.at);
        let is_first = !std::mem::replace(&mut self.has_shown, true);
        let text = match self.is_terminal.then(|| Window::of(&self.file)) {
            Some(window) => {
                let frame = window.frame(&window.table(session, &at));
                if is_first { window.scrolled() + &frame } else { frame }
            }
            None if is_first => format!("{at}  {session:#}"),
            None => format!("\n{at}  {session:#}"),
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

    /// How many rows there are for text: the last one stays free, for the prompt after Ctrl-C.
    fn room(self) -> usize {
        self.rows.saturating_sub(1).max(1)
    }

    /// A session as it was at a time of day. A narrow window has no room for the time.
    fn table(self, session: &mp::Inspection, at: &str) -> String {
        let table = session.fitted(self.room());
        if self.columns < 40 { table } else { format!("{at}  {table}") }
    }

    /// What replaces the contents of the window by `text`, as much of it as there is room for, without clearing it first.
    fn frame(self, text: &str) -> String {
        // Upper left corner; no line goes on in the next row, however wide its characters are.
        let mut frame = "\x1b[H\x1b[?7l".to_owned();
        for line in text.lines().take(self.room()) {
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
        assert_eq!(parse("--interval 86400").unwrap().interval, LONGEST_INTERVAL);
        for (words, said) in [
            ("x7", "`x7`"),
            ("7 8", "`8` is too much: the pid of one process is enough"),
            ("--all", "`--all` is no option"),
            ("7 --all", "`--all` is no option"),
            ("--interval", "--interval needs a number of seconds"),
            ("--interval -1", "--interval needs a number of seconds, not `-1`"),
            ("--interval NaN", "--interval needs a number of seconds, not `NaN`"),
            ("--interval \x1b[2J", "--interval needs a number of seconds, not `\\u{1b}[2J`"),
            ("--interval 86401", "--interval 86401 is too long: a day, 86400, is the most"),
            ("--interval 1e19", "too long"),
            ("--interval 1e300", "too long"),
            ("--interval inf", "too long"),
            ("\x1b[2J", "`\\u{1b}[2J`"),
        ] {
            assert!(parse(words).unwrap_err().contains(said), "{words}");
        }
    }

    #[test]
    fn a_process_that_was_started_later_is_another_one_with_the_same_pid() {
        let lock = mp::Lock::new().unwrap();
        let session = mp::inspect().unwrap();
        let root = Root::of(&session);
        assert!(root.start_tick.is_some());
        assert!(root.is_in(&mp::inspect().unwrap()), "at any later time");
        let later = root.start_tick.map(|tick| tick + 1);
        assert!(!Root { start_tick: later, ..root }.is_in(&session));
        assert!(!Root { pid: root.pid + 1, ..root }.is_in(&session));
        drop(lock);
    }

    #[test]
    fn a_window_has_the_time_where_it_is_wide_and_never_more_lines_than_rows() {
        let locks: Vec<mp::Lock> = (0..50).map(|_| mp::Lock::new().unwrap()).collect();
        let session = mp::inspect().unwrap();
        for (rows, columns, begins) in [(24, 80, "now  session of"), (10, 30, "session of")] {
            let table = Window { rows, columns }.table(&session, "now");
            assert!(table.starts_with(begins), "{table}");
            assert_eq!(table.lines().count(), rows - 1, "{table}");
            assert!(table.contains("\nLOCKS\n") && table.contains(" more\n"), "{table}");
        }
        drop(locks);
    }

    #[test]
    fn a_frame_fills_the_window_and_no_more_and_never_clears_it_first() {
        let window = Window { rows: 4, columns: 5 };
        assert_eq!(
            window.frame("ab\n\u{e9}cdef\ncdefgh\n"),
            "\x1b[H\x1b[?7lab\x1b[K\n\u{e9}cdef\ncdefg\n\x1b[J\x1b[?7h"
        );
        let frame = Window { rows: 4, columns: 80 }.frame("a\nb\nc\nd\n");
        assert!(frame.ends_with("la\x1b[K\nb\x1b[K\nc\x1b[K\n\x1b[J\x1b[?7h"), "{frame:?}");
        assert!(frame.matches('\n').count() < 4, "nothing is scrolled: {frame:?}");
        for tiny in [Window { rows: 1, columns: 1 }, Window { rows: 0, columns: 1 }] {
            assert!(tiny.frame("ab\ncd").contains("la\n"), "{tiny:?}");
        }
    }
}
