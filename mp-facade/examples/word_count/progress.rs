//! From the processes to the bar: all write to one pipe, a thread of the parent reads it.
//!
//! A record is the number of bytes and of files that were done since the one before. It is far
//! below `PIPE_BUF`, so the kernel never mixes or tears those of several writers, also when one is
//! killed. The pipe ends with the last process, however that ends.

use std::io::{BufReader, IsTerminal, PipeReader, PipeWriter, Read, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::files::File;

/// How many bytes are worth a record.
const STEP_BYTES: u64 = 1 << 20;

/// The side of the process that counts.
pub(crate) struct Progress {
    pipe: Option<PipeWriter>,
    unsent_bytes: u64,
}

impl Progress {
    /// Tells the reader of `pipe`.
    pub(crate) fn to(pipe: PipeWriter) -> Progress {
        Progress { pipe: Some(pipe), unsent_bytes: 0 }
    }

    /// Tells nobody.
    pub(crate) fn silent() -> Progress {
        Progress { pipe: None, unsent_bytes: 0 }
    }

    /// Some bytes of a file were counted.
    pub(crate) fn add(&mut self, bytes: u64) {
        self.unsent_bytes += bytes;
        if self.unsent_bytes >= STEP_BYTES {
            self.send(0);
        }
    }

    /// A file was counted, or failed.
    pub(crate) fn end_of_file(&mut self) {
        self.send(1);
    }

    fn send(&mut self, files: u64) {
        let bytes = std::mem::take(&mut self.unsent_bytes);
        let record = [bytes.to_le_bytes(), files.to_le_bytes()].concat();
        if let Some(pipe) = &mut self.pipe
            && pipe.write_all(&record).is_err()
        {
            self.pipe = None; // nobody looks; the counts matter more
        }
    }
}

/// The bar on standard error; invisible unless that is a terminal.
#[derive(Clone)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new() -> Bar {
        Bar(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden()))
    }

    /// Moves with the records of `pipe`, and goes away with the last writer.
    pub(crate) fn follow(&self, files: &[File], pipe: PipeReader) -> mp::Thread<()> {
        self.0.set_length(files.iter().map(|file| file.len_bytes).sum());
        let template = "{wide_bar} {bytes}/{total_bytes} {msg} files {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        self.0.set_message(format!("0/{}", files.len()));
        if std::io::stderr().is_terminal() {
            self.0.set_draw_target(ProgressDrawTarget::stderr());
        }
        let (bar, total) = (self.0.clone(), files.len());
        mp::Thread::start(move || {
            let mut pipe = BufReader::new(pipe);
            let (mut bytes, mut files, mut done) = ([0; 8], [0; 8], 0);
            while pipe.read_exact(&mut bytes).and_then(|()| pipe.read_exact(&mut files)).is_ok() {
                done += u64::from_le_bytes(files);
                bar.set_message(format!("{done}/{total}"));
                bar.inc(u64::from_le_bytes(bytes));
            }
            bar.finish_and_clear();
            Ok(())
        })
    }

    /// Writes to standard error without touching the bar.
    pub(crate) fn write(&self, text: &[u8]) -> std::io::Result<()> {
        self.0.suspend(|| std::io::stderr().write_all(text))
    }
}
