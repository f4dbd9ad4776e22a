//! `mp-top`: looks into a running session, by the pid of its root or of any other process of it.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

const USAGE: &str = "\
usage: mp-top [PID] [--once] [--interval SECONDS]

Shows the processes of the session that process PID is in, what their threads wait for, its locks with
their holders and waiters, its queues, pools and servers, and dead locks. Without PID: the sessions there are,
or the only one.

  --once              prints it once
  --interval SECONDS  shows it again after so long (1 by default), until the session ends";

/// Clears the screen and goes to its upper left corner.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

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
                    options.interval = interval.ok_or("--interval needs a number of seconds")?;
                }
                pid if options.pid.is_none() && !pid.starts_with('-') => {
                    let number = pid.parse().map_err(|_| format!("`{pid}` is no pid"))?;
                    options.pid = Some(number);
                }
                other => return Err(format!("`{other}` is no option\n\n{USAGE}")),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|word| word == "--help" || word == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    match Options::parse(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("mp-top: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let Some(pid) = options.pid.map_or_else(the_only_session, |pid| Ok(Some(pid)))? else {
        return Ok(());
    };
    let mut has_seen = false;
    loop {
        let begun = Instant::now();
        let session = match mp::inspect_session(pid) {
            Ok(session) => session,
            Err(mp::InspectError::NoProcess { .. }) if has_seen => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        has_seen = true;
        let clear = if options.is_once { "" } else { CLEAR };
        let time = if options.is_once { String::new() } else { clock(session.at) };
        let shown =
            write!(io::stdout(), "{clear}{time}{session}").and_then(|()| io::stdout().flush());
        match shown {
            Ok(()) if options.is_once => return Ok(()),
            Ok(()) => std::thread::sleep(options.interval.saturating_sub(begun.elapsed())),
            // Whoever read this has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("cannot write: {error}")),
        }
    }
}

/// The root of the only session; if there are several, or none, says so.
fn the_only_session() -> Result<Option<u32>, String> {
    let roots = mp::inspect::sessions().map_err(|error| error.to_string())?;
    match roots.as_slice() {
        [] => Err("there is no session of this user".to_owned()),
        [pid] => Ok(Some(*pid)),
        _ => {
            println!("There are several sessions; mp-top PID shows one:");
            for pid in roots {
                // One that has ended meanwhile is none.
                if let Ok(session) = mp::inspect_session(pid) {
                    let name = session.processes.first().map_or("", |process| &process.name);
                    println!("  {pid}  {name}, processes: {}", session.processes.len());
                }
            }
            Ok(None)
        }
    }
}

/// The time of day in UTC.
fn clock(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02} UTC  ", since / 3600 % 24, since / 60 % 60, since % 60)
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
        for (words, said) in
            [("x7", "`x7`"), ("7 8", "`8`"), ("--all", "`--all`"), ("--interval -1", "--interval")]
        {
            assert!(parse(words).unwrap_err().contains(said), "{words}");
        }
    }
}
