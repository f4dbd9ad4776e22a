//! A log record on its way between two processes.

use std::time::{SystemTime, UNIX_EPOCH};

use log::kv::{self, Key, Source, VisitSource, VisitValue};
use log::{Level, Record};
use mp_reduction::EncodeError;
use serde::{Deserialize, Serialize};

use super::origin::{self, log_origin};

/// A record as it is sent. Tuples, so that no field names cross.
#[derive(Serialize)]
struct Outgoing<'a>(
    usize,
    &'a str,
    &'a str,
    (Option<&'a str>, Option<&'a str>, Option<u32>),
    (u64, Option<&'a str>, Option<(&'a str, u32)>),
    &'a [(String, Value)],
);

/// A record as it arrives.
#[derive(Deserialize)]
pub(crate) struct Incoming(
    usize,
    String,
    String,
    (Option<String>, Option<String>, Option<u32>),
    (u64, Option<String>, Option<(String, u32)>),
    Vec<(String, Value)>,
);

/// The value of a key of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Null(()),
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    Text(String),
}

/// Appends a record of this process, or one that this process passes on, to `bytes`.
pub(crate) fn encode(record: &Record<'_>, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    let text;
    let message = match record.args().as_str() {
        Some(text) => text,
        None => {
            text = record.args().to_string();
            &text
        }
    };
    let mut values = Values(Vec::new());
    // A source of the user may fail on the way: the record goes without the rest of its values.
    let _collected = record.key_values().visit(&mut values);
    let mut passed_on = None;
    if !values.0.is_empty() {
        passed_on = log_origin(record);
        if passed_on.is_some() {
            values.0.retain(|(key, _)| !origin::is_origin(key));
        } else {
            origin::make_room(values.0.iter_mut().map(|(key, _)| key));
        }
    }
    let current = std::thread::current();
    let from = match &passed_on {
        Some(origin) => {
            let process = (origin.process.as_str(), origin.pid);
            (since_epoch(origin.time), origin.thread.as_deref(), Some(process))
        }
        None => (since_epoch(SystemTime::now()), current.name(), None),
    };
    let place = (record.module_path(), record.file(), record.line());
    let level = record.level() as usize;
    let outgoing = Outgoing(level, record.target(), message, place, from, &values.0);
    mp_reduction::encode_bytes(&outgoing, bytes)
}

fn since_epoch(time: SystemTime) -> u64 {
    let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

impl Incoming {
    /// Hands the record to `logger`; `sender` is the child that it arrived from.
    pub(crate) fn log(&self, sender: (&str, u32), logger: &dyn log::Log) {
        let Incoming(level, target, message, (module, file, line), origin, _) = self;
        let Some(level) = Level::iter().find(|known| *known as usize == *level) else {
            return;
        };
        let metadata = log::Metadata::builder().level(level).target(target).build();
        if level > log::max_level() || !logger.enabled(&metadata) {
            return;
        }
        let (time, thread, process) = origin;
        let (name, pid) = process.as_ref().map_or(sender, |(name, pid)| (name, *pid));
        let source = Replayed { record: self, name, pid, thread: thread.as_deref(), time: *time };
        logger.log(
            &Record::builder()
                .metadata(metadata)
                .args(format_args!("{message}"))
                .module_path(module.as_deref())
                .file(file.as_deref())
                .line(*line)
                .key_values(&source)
                .build(),
        );
    }
}

/// The key-values of a record that arrived: its own, then those that tell its origin.
struct Replayed<'a> {
    record: &'a Incoming,
    name: &'a str,
    pid: u32,
    thread: Option<&'a str>,
    time: u64,
}

impl Source for Replayed<'_> {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        for (key, value) in &self.record.5 {
            visitor.visit_pair(Key::from_str(key), value.into())?;
        }
        visitor.visit_pair(Key::from_str(origin::PROCESS), self.name.into())?;
        visitor.visit_pair(Key::from_str(origin::PID), self.pid.into())?;
        if let Some(thread) = self.thread {
            visitor.visit_pair(Key::from_str(origin::THREAD), thread.into())?;
        }
        visitor.visit_pair(Key::from_str(origin::TIME), self.time.into())
    }
}

impl<'a> From<&'a Value> for kv::Value<'a> {
    fn from(value: &'a Value) -> kv::Value<'a> {
        match value {
            Value::Null(()) => kv::Value::null(),
            Value::Bool(value) => (*value).into(),
            Value::U64(value) => (*value).into(),
            Value::I64(value) => (*value).into(),
            Value::F64(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
        }
    }
}

/// Collects key-values.
struct Values(Vec<(String, Value)>);

impl<'kvs> VisitSource<'kvs> for Values {
    fn visit_pair(&mut self, key: Key<'kvs>, value: kv::Value<'kvs>) -> Result<(), kv::Error> {
        let mut typed = Typed(Value::Null(()));
        value.visit(&mut typed)?;
        self.0.push((key.as_str().to_owned(), typed.0));
        Ok(())
    }
}

/// Finds the type of one value; what has no type of its own crosses as text.
struct Typed(Value);

impl<'v> VisitValue<'v> for Typed {
    fn visit_any(&mut self, value: kv::Value<'_>) -> Result<(), kv::Error> {
        self.0 = Value::Text(value.to_string());
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.0 = Value::Null(());
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = Value::Bool(value);
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = Value::U64(value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = Value::I64(value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.0 = Value::F64(value);
        Ok(())
    }
}
