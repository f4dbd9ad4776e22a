//! Running commands, in the root of the repository, with their output going straight to the user.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::parts::Outcome;

/// Makes the root of the repository the working directory.
pub(crate) fn enter_root() -> Result<(), String> {
    let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").to_owned());
    let root = Path::new(&here).parent().unwrap_or(Path::new("."));
    std::env::set_current_dir(root).map_err(|error| format!("{}: {error}", root.display()))
}

/// The cargo that runs this program; `words` are its arguments, separated by spaces.
pub(crate) fn cargo(words: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(words.split_whitespace());
    command
}

/// Shows the command, runs it, and waits for its end.
pub(crate) fn run(command: &mut Command) -> Outcome {
    eprintln!("$ {}", shown(command));
    match command.status() {
        Ok(status) if status.success() => Outcome::Passed,
        Ok(status) => {
            eprintln!("{}: {status}", shown(command));
            Outcome::Failed
        }
        Err(error) => {
            eprintln!("{}: {error}", shown(command));
            Outcome::Failed
        }
    }
}

/// Whether the command succeeds; shows nothing.
pub(crate) fn works(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// What a command prints on standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{}: {error}", shown(command)))?;
    if !output.status.success() {
        return Err(format!("{}: {}", shown(command), output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{}: {error}", shown(command)))
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let mut line = String::new();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            line += &format!("{}='{}' ", key.display(), value.display());
        }
    }
    let program = Path::new(command.get_program());
    line += &program.file_name().unwrap_or_default().to_string_lossy();
    for word in command.get_args() {
        line += &format!(" {}", word.display());
    }
    line
}
