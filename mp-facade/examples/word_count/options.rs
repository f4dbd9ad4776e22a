//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(crate) const HELP: &str = "\
Counts lines, words and bytes of files in several processes.

usage: word_count [--check] [--processes N] [PATH...]

  PATH            a file, or a directory, of which all files count but hidden ones and what is in
                  `target` and `__pycache__`; default: the sources of this repository
  --processes N   how many processes count; default: one per processor
  --check         count once more in a single process and compare

RUST_LOG=debug shows each file, and who counts it, as it is counted.
";

/// What the user asked for.
pub(crate) struct Options {
    pub(crate) check: bool,
    pub(crate) processes: usize,
    pub(crate) paths: Vec<PathBuf>,
}

impl Options {
    /// Reads the arguments behind the name of the program; `None` if the user asks for help.
    pub(crate) fn parse(
        mut arguments: impl Iterator<Item = OsString>,
    ) -> mp::Result<Option<Options>> {
        let mut options = Options { check: false, processes: mp::cpu_count(), paths: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("-h" | "--help") => return Ok(None),
                Some("--check") => options.check = true,
                Some("--processes") => {
                    let number = arguments.next().unwrap_or_default();
                    options.processes = number.to_str().and_then(|n| n.parse().ok()).unwrap_or(0);
                    mp::ensure!(options.processes > 0, "--processes needs a number from 1 on");
                }
                Some("--") => options.paths.extend(arguments.by_ref().map(PathBuf::from)),
                Some(other) if other.starts_with('-') => mp::bail!("unknown option {other}"),
                _ => options.paths.push(argument.into()),
            }
        }
        if options.paths.is_empty() {
            let facade = Path::new(env!("CARGO_MANIFEST_DIR"));
            options.paths.push(facade.parent().unwrap_or(facade).to_owned());
        }
        Ok(Some(options))
    }
}
