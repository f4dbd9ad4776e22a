//! A logger that keeps what it is given.

use std::sync::{Mutex, MutexGuard, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

/// A record as it came out of the logger.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its level.
    pub level: log::Level,
    /// Its target.
    pub target: String,
    /// Its message.
    pub message: String,
    /// Its file and line.
    pub place: Option<(String, u32)>,
    /// Its key-values, as text.
    pub values: Vec<(String, String)>,
    /// Where it came from, if not from this process.
    pub origin: Option<mp::LogOrigin>,
}

struct Keeper(Mutex<Vec<Kept>>);

static KEEPER: Keeper = Keeper(Mutex::new(Vec::new()));

/// Makes the keeper the logger of this process, from `level` on; whether it was the first logger.
pub fn install(level: LevelFilter) -> bool {
    let is_first = log::set_logger(&KEEPER).is_ok();
    if is_first {
        log::set_max_level(level);
    }
    is_first
}

/// The records of the process named `process`, in the order in which they came.
pub fn kept_of(process: &str) -> Vec<Kept> {
    let is_from = |kept: &&Kept| kept.origin.as_ref().is_some_and(|o| o.process == process);
    records().iter().filter(is_from).cloned().collect()
}

fn records() -> MutexGuard<'static, Vec<Kept>> {
    KEEPER.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() != "muted"
    }

    fn log(&self, record: &Record<'_>) {
        assert!(record.target() != "panics", "a logger that panics");
        let mut values = Values(Vec::new());
        let _collected = record.key_values().visit(&mut values);
        records().push(Kept {
            level: record.level(),
            target: record.target().to_owned(),
            message: record.args().to_string(),
            place: record.file().map(ToOwned::to_owned).zip(record.line()),
            values: values.0,
            origin: mp::log_origin(record),
        });
    }

    fn flush(&self) {}
}

struct Values(Vec<(String, String)>);

impl<'kvs> log::kv::VisitSource<'kvs> for Values {
    fn visit_pair(
        &mut self,
        key: log::kv::Key<'kvs>,
        value: log::kv::Value<'kvs>,
    ) -> Result<(), log::kv::Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}
