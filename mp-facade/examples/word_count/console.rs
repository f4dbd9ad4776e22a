//! The log on standard error: who says it, and above the bar rather than through it.

use std::io::{self, Write};

use env_logger::fmt::Formatter;

use crate::progress::Bar;

/// Shows log records of this process and of those that count; `RUST_LOG` says which.
pub(crate) fn init(bar: &Bar) {
    let filter = env_logger::Env::default().default_filter_or("info");
    let above_the_bar = env_logger::Target::Pipe(Box::new(AboveTheBar(bar.clone())));
    env_logger::Builder::from_env(filter).format(format).target(above_the_bar).init();
}

fn format(line: &mut Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let level = record.level();
    match mp::log_origin(record) {
        Some(origin) => {
            writeln!(line, "{level:5} [{} {}] {}", origin.process, origin.pid, record.args())
        }
        None => writeln!(line, "{level:5} {}", record.args()),
    }
}

/// What the logger writes to: a whole record at a time.
struct AboveTheBar(Bar);

impl Write for AboveTheBar {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.write(text).map(|()| text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
