//! The parent's side: a record that arrived goes to the logger of this process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mp_reduction::Message;

use super::record::Incoming;

/// Logs what the child `sender` (name and pid) sent.
///
/// Bytes that are no record are dropped with a warning; a logger that panics has said so by its
/// panic and costs this record, not the thread that serves all children.
pub(crate) fn replay(sender: (&str, u32), body: Vec<u8>) {
    let _logged = catch_unwind(AssertUnwindSafe(|| {
        match Message::from_parts(body, Vec::new()).decode::<Incoming>() {
            Ok(record) => record.log(sender, log::logger()),
            Err(error) => {
                let (name, pid) = sender;
                log::warn!("process '{name}' (pid {pid}) sent an unreadable log record: {error}");
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::logging::record;

    /// Keeps what it is given, and its origin.
    struct Keeper(Mutex<Vec<(String, Option<crate::LogOrigin>)>>);

    impl log::Log for Keeper {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.target() != "muted"
        }

        fn log(&self, record: &log::Record<'_>) {
            let value = |key: &str| record.key_values().get(key.into()).map(|v| v.to_string());
            let values = format!("{:?} {:?}", value("n"), value("user.pid"));
            let text =
                format!("{} {} {:?} {values}", record.target(), record.args(), record.line());
            self.0.lock().unwrap().push((text, crate::log_origin(record)));
        }

        fn flush(&self) {}
    }

    #[test]
    fn a_record_keeps_its_fields_and_the_origin_of_the_first_process() {
        log::set_max_level(log::LevelFilter::Info);
        let keeper = Keeper(Mutex::default());
        let build = |level, target, kvs: [(&str, i64); 2]| {
            let mut builder = log::Record::builder();
            builder.level(level).target(target).line(Some(7)).key_values(&kvs);
            let mut bytes = Vec::new();
            record::encode(&builder.args(format_args!("said {}", 1)).build(), &mut bytes).unwrap();
            Message::from_parts(bytes, Vec::new()).decode::<Incoming>().unwrap()
        };
        let kvs = [("n", 5_i64), ("pid", 8)];
        build(log::Level::Info, "shown", kvs).log(("w", 3), &keeper);
        build(log::Level::Debug, "too low", kvs).log(("w", 3), &keeper);
        build(log::Level::Info, "muted", kvs).log(("w", 3), &keeper);
        let kept = keeper.0.lock().unwrap();
        let [(text, Some(origin))] = kept.as_slice() else { panic!("{kept:?}") };
        assert_eq!(text, "shown said 1 Some(7) Some(\"5\") Some(\"8\")");
        assert_eq!((origin.process.as_str(), origin.pid), ("w", 3));
        assert!(origin.time.elapsed().unwrap().as_secs() < 60);
    }

    #[test]
    fn bytes_that_are_no_record_are_dropped() {
        replay(("w", 3), b"\x93garbage".to_vec());
    }
}
