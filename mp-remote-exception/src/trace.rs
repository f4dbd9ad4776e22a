//! The text of a trace: one block per process that the error went through, newest line last.

use std::fmt::Write as _;

use crate::frames::Frame;
use crate::origin::Origin;

/// What stands between the block of one process and that of the next.
const RAISED_AGAIN: &str = "\n\nThe above exception was raised again here:\n\n";

/// What one block says.
pub(crate) struct Block<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) frames: &'a [Frame],
    /// File and line where the error was raised; shown last even if no frame could be named.
    pub(crate) place: Option<(&'a str, u32)>,
    pub(crate) type_name: &'a str,
    /// The message and its causes, outermost first.
    pub(crate) texts: &'a [String],
}

/// Formats a block.
pub(crate) fn block(block: &Block<'_>) -> String {
    let mut text = format!("[{}] Traceback (most recent call last):", block.origin.heading());
    let mut place = block.place.filter(|(file, line)| !ends_at(block.frames, file, *line));
    for (at, frame) in block.frames.iter().enumerate() {
        // Without debug information only the place itself is known, and it is in the newest frame.
        let known = match frame.file.as_deref() {
            None if at + 1 == block.frames.len() => place.take(),
            file => file.zip(frame.line),
        };
        let (file, line) = known.unzip();
        push_frame(&mut text, file, line, Some(&frame.function));
    }
    if let Some((file, line)) = place {
        push_frame(&mut text, Some(file), Some(line), None);
    }
    let mut texts = block.texts.iter();
    let message = texts.next().map_or("", String::as_str);
    let _ = write!(text, "\n{}: {message}", block.type_name);
    for cause in texts {
        let _ = write!(text, "\n  caused by: {cause}");
    }
    text
}

/// Puts the block of the process that raised an error again behind what arrived there.
pub(crate) fn join(earlier: &str, block: &str) -> String {
    [earlier, RAISED_AGAIN, block].concat()
}

fn push_frame(text: &mut String, file: Option<&str>, line: Option<u32>, function: Option<&str>) {
    let file = file.map(|file| format!("File \"{}\"", relative(file)));
    let line = line.map(|line| format!("line {line}"));
    let function = function.map(|function| format!("in {function}"));
    let parts: Vec<_> = [file, line, function].into_iter().flatten().collect();
    let _ = write!(text, "\n  {}", parts.join(", "));
}

/// Whether the newest frame is the place itself: one comes from debug information with an
/// absolute path, the other from the compiler with the path it was given.
fn ends_at(frames: &[Frame], file: &str, line: u32) -> bool {
    frames.last().is_some_and(|frame| {
        frame.line == Some(line) && frame.file.as_deref().is_some_and(|path| path.ends_with(file))
    })
}

/// `path` as seen from the working directory, when it lies below it.
fn relative(path: &str) -> &str {
    std::env::current_dir()
        .ok()
        .and_then(|dir| path.strip_prefix(dir.to_str()?)?.strip_prefix('/'))
        .unwrap_or(path)
}
