//! Python peers: which interpreter runs them, and how a measurement is asked of one.
//!
//! A peer lives as long as its case, so that starting Python itself is never measured, and
//! measures once per request, so that the pairs alternate.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::pair::{Measured, Pairs};

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// A script of `python/` that answers each line of its input with microseconds.
pub(crate) struct Peer {
    script: String,
    process: Child,
    /// `None` once it is told to end.
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub(crate) fn start(python: &Path, script: &str) -> mp::Result<Peer> {
        let mut process = Command::new(python)
            .arg(Path::new(FOLDER).join("python").join(script))
            // Python is faster with the compiled files that it keeps by default.
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            mp::bail!("{script} was started without pipes");
        };
        let (requests, answers) = (Some(requests), BufReader::new(answers));
        Ok(Peer { script: script.to_owned(), process, requests, answers })
    }

    /// One measurement.
    pub(crate) fn ask(&mut self, request: &str) -> mp::Result<Duration> {
        let Peer { script, requests, answers, .. } = self;
        if let Some(requests) = requests {
            writeln!(requests, "{request}")?;
        }
        let mut answer = String::new();
        answers.read_line(&mut answer)?;
        mp::ensure!(!answer.is_empty(), "{script} ended on '{request}'");
        let micros: f64 = answer.trim().parse()?;
        Ok(Duration::try_from_secs_f64(micros / 1e6)?)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.requests.take()); // the end of its input is the end of the script
        let _ended = self.process.wait();
    }
}

/// How a case is measured against a script of the system's Python.
pub(crate) struct Against {
    pub(crate) script: &'static str,
    pub(crate) warm_up: usize,
    pub(crate) rounds: usize,
}

impl Against {
    /// Asks for `job` so many times at once, and shows the time of one of `parts` of it.
    pub(crate) fn measure(
        &self,
        job: &str,
        number: u32,
        parts: u32,
        ours: impl FnMut() -> mp::Result<Duration>,
    ) -> mp::Result<Measured> {
        let Some(python) = plain() else {
            return Ok(Measured::Skipped("python3 not installed".to_owned()));
        };
        let mut peer = Peer::start(&python, self.script)?;
        let request = format!("{job} {number}");
        let other = || Ok(peer.ask(&request)? / parts);
        Pairs::measure(self.warm_up, self.rounds, ours, other)
    }
}

/// The system's Python, if there is one.
pub(crate) fn plain() -> Option<PathBuf> {
    let python = PathBuf::from("python3");
    succeeds(Command::new(&python).args(["-c", ""])).then_some(python)
}

/// A Python that can import `package`, which `requirements.txt` names: installed under `target/` on
/// the first run that finds a way to.
pub(crate) fn with_package(package: &str) -> Option<PathBuf> {
    let home = Path::new(FOLDER).join("target/python");
    let python = home.join("bin/python");
    let import = format!("import {package}");
    let has_package = || succeeds(Command::new(&python).args(["-c", &import]));
    if has_package() {
        return Some(python);
    }
    let requirements = Path::new(FOLDER).join("python/requirements.txt");
    let installed = succeeds(Command::new(plain()?).args(["-m", "venv"]).arg(&home))
        && succeeds(Command::new(&python).args(["-m", "pip", "install", "-r"]).arg(requirements))
        && has_package();
    installed.then_some(python)
}

/// Runs a command silently.
fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
