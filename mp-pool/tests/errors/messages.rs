//! What this process logs, kept for tests to look at.

use std::sync::{Mutex, Once};

use mp_testing::limits::comes_true;

/// Keeps the messages of this process.
struct Messages(Mutex<Vec<String>>);

static MESSAGES: Messages = Messages(Mutex::new(Vec::new()));

impl log::Log for Messages {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{}: {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}

pub(crate) fn keep_messages() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&MESSAGES).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// Whether a message with these words is, or will be, there.
pub(crate) fn is_logged(words: [&str; 2]) -> bool {
    comes_true(|| {
        let messages = MESSAGES.0.lock().unwrap();
        messages.iter().any(|message| words.iter().all(|word| message.contains(word)))
    })
}
