//! A session as a table for people, who read it in a terminal: what matters most stands within the first 80 columns.
//!
//! Names come from the programs that are looked at, so nothing of theirs is written as it is: see [`safe`].

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::report::{
    Holder, Inspection, PoolReport, ProcessReport, QueueReport, ServerReport, SyncReport,
    WaitReport, WaitsFor,
};

/// So many objects of a server, and of its types, are listed.
const MOST_OBJECTS: usize = 40;
/// So many locks and so many queues are listed.
const MOST_ROWS: usize = 60;
/// So many holders or waiters are listed.
const MOST_LISTED: usize = 5;
/// A longer cell does not make its column wider.
const WIDEST: usize = 40;

/// Rows of cells under a heading, with lines of text under each. A column is as wide as it has to be; the last cell of a row is not
/// filled up.
struct Table {
    title: &'static str,
    columns: Vec<Cow<'static, str>>,
    rows: Vec<Row>,
    left_out: usize,
}

struct Row {
    cells: Vec<String>,
    notes: Vec<String>,
}

impl Table {
    fn new(title: &'static str, columns: &[&'static str]) -> Table {
        let columns = columns.iter().map(|&column| Cow::Borrowed(column)).collect();
        Table { title, columns, rows: Vec::new(), left_out: 0 }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        let cells = cells.iter().map(|cell| safe(cell).into_owned()).collect();
        self.rows.push(Row { cells, notes: Vec::new() });
    }

    /// Puts a line under the row that was added last.
    fn note(&mut self, note: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(safe(note).into_owned());
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n{}", self.title)?;
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                let length = cell.chars().count();
                *width = if length > WIDEST { *width } else { length.max(*width) };
            }
        }
        line(f, &self.columns, &widths)?;
        for row in &self.rows {
            line(f, &row.cells, &widths)?;
            for note in &row.notes {
                writeln!(f, "      {note}")?;
            }
        }
        if self.left_out > 0 {
            writeln!(f, "  and {} more", self.left_out)?;
        }
        Ok(())
    }
}

/// One row, without the empty cells at its end.
fn line(f: &mut Formatter<'_>, cells: &[impl AsRef<str>], widths: &[usize]) -> fmt::Result {
    let Some(last) = cells.iter().rposition(|cell| !cell.as_ref().is_empty()) else {
        return writeln!(f);
    };
    for (cell, width) in cells[..last].iter().zip(widths) {
        write!(f, "  {:width$}", cell.as_ref())?;
    }
    writeln!(f, "  {}", cells[last].as_ref())
}

/// The text without anything in it that a terminal would obey, or that looks like a line of its own.
///
/// Characters that cannot be seen are written as Rust writes them. Doing it twice changes nothing.
fn safe(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    // `escape_debug` knows what can be seen; but quotes and backslashes are to stay.
    for part in text.split_inclusive(['"', '\'', '\\']) {
        let seen = part.trim_end_matches(['"', '\'', '\\']);
        safe.extend(seen.escape_debug());
        safe.push_str(&part[seen.len()..]);
    }
    Cow::Owned(safe)
}

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let root = self.processes.iter().find(|process| process.pid == self.root);
        let name = safe(root.map_or("unknown", |root| &root.name));
        let (root, count) = (self.root, self.processes.len());
        write!(f, "session of process '{name}' (pid {root})")?;
        if !self.dead_locks.is_empty() {
            write!(f, ", dead locks: {}", self.dead_locks.len())?;
        }
        writeln!(f, ", processes: {count}")?;
        for circle in &self.dead_locks {
            writeln!(f, "\nDEAD LOCK: each waits for what the next one has")?;
            for wait in circle {
                let WaitReport { pid, process, thread, waited, waits_for, held_by, .. } = wait;
                write!(f, "  process '{}' (pid {pid})", safe(process))?;
                if !thread.is_empty() {
                    write!(f, ", thread {}", safe(thread))?;
                }
                writeln!(f, "\n    waits {} for {waits_for}", time(*waited))?;
                if !held_by.is_empty() {
                    writeln!(f, "    held by {}", list(held_by))?;
                }
            }
        }
        write!(f, "{}", processes(&self.processes))?;
        write!(f, "{}", locks(&self.locks))?;
        write!(f, "{}", queues(&self.queues))?;
        write!(f, "{}", pools(&self.pools))?;
        for server in &self.servers {
            write!(f, "{server}")?;
        }
        let mut unseen = Table::new("NOT SEEN", &["PID", "WHAT", "WHY"]);
        for missing in &self.unseen {
            unseen.row([missing.pid.to_string(), missing.what.clone(), missing.reason.clone()]);
        }
        write!(f, "{unseen}")
    }
}

fn processes(processes: &[ProcessReport]) -> Table {
    let columns = ["PID", "PARENT", "NAME", "STATE", "AGE", "CPU", "MEMORY", "THREADS"];
    let mut table = Table::new("PROCESSES", &columns);
    for process in processes {
        let daemon = if process.is_daemon == Some(true) { " (daemon)" } else { "" };
        table.row([
            process.pid.to_string(),
            process.parent.to_string(),
            format!("{}{daemon}", process.name),
            process.state.clone(),
            time(process.age),
            time(process.cpu),
            bytes(process.memory_bytes),
            process.threads.to_string(),
        ]);
        for wait in &process.waits {
            table.note(&brief(wait));
        }
    }
    table
}

/// A wait in one line of a terminal; where the thing was made, and which threads have it, stands with the locks and queues.
fn brief(wait: &WaitReport) -> String {
    let mut text = String::new();
    if !wait.thread.is_empty() {
        text = format!("{}: ", wait.thread);
    }
    text += &format!("{} for ", time(wait.waited));
    text += &match &wait.waits_for {
        WaitsFor::Sync { id, kind, .. } => format!("{kind} {id}"),
        WaitsFor::Queue { id, what, .. } => format!("{what} of Queue {id}"),
        other => other.to_string(),
    };
    if !wait.held_by.is_empty() {
        let holders = joined(&wait.held_by, |holder| {
            let dead = if holder.is_alive { "" } else { ", dead" };
            format!("'{}' (pid {}{dead})", holder.process, holder.pid)
        });
        text += &format!(", held by {holders}");
    }
    text
}

fn locks(locks: &[SyncReport]) -> Table {
    let columns = ["ID", "KIND", "STATE", "MADE AT", "HANDLES", "BY"];
    let mut table = Table::new("LOCKS", &columns);
    let is_busy = |lock: &&SyncReport| !lock.holders.is_empty() || !lock.waiters.is_empty();
    for lock in busy_first(locks, is_busy) {
        table.row([
            lock.id.clone(),
            lock.kind.clone(),
            lock.state.clone(),
            lock.place.clone(),
            lock.handles.to_string(),
            lock.made_by.clone(),
        ]);
        if !lock.holders.is_empty() {
            table.note(&format!("held by {}", list(&lock.holders)));
        }
        if !lock.waiters.is_empty() {
            table.note(&format!("waited for by {}", waiters(&lock.waiters)));
        }
    }
    table.left_out = locks.len().saturating_sub(MOST_ROWS);
    table
}

fn queues(queues: &[QueueReport]) -> Table {
    let columns = ["ID", "ITEMS", "MADE AT", "BYTES", "EVER PUT", "NOT DONE", "HANDLES", "BY"];
    let mut table = Table::new("QUEUES", &columns);
    let of = |now: String, most: Option<String>| match most {
        Some(most) => format!("{now} of {most}"),
        None => now,
    };
    let is_busy = |queue: &&QueueReport| {
        queue.items > 0
            || queue.unfinished.is_some_and(|count| count > 0)
            || !queue.waiters.is_empty()
    };
    for queue in busy_first(queues, is_busy) {
        table.row([
            queue.id.clone(),
            of(queue.items.to_string(), queue.max_items.map(|most| most.to_string())),
            queue.place.clone(),
            of(bytes(queue.bytes), queue.max_bytes.map(bytes)),
            queue.put.to_string(),
            queue.unfinished.map(|count| count.to_string()).unwrap_or_default(),
            queue.handles.to_string(),
            queue.made_by.clone(),
        ]);
        if !queue.waiters.is_empty() {
            table.note(&format!("waited for by {}", waiters(&queue.waiters)));
        }
    }
    table.left_out = queues.len().saturating_sub(MOST_ROWS);
    table
}

/// The things that somebody has, wants or has left something in, then the others; as many as are listed.
fn busy_first<T>(all: &[T], is_busy: impl Fn(&&T) -> bool + Copy) -> impl Iterator<Item = &T> {
    let idle = all.iter().filter(move |thing| !is_busy(thing));
    all.iter().filter(is_busy).chain(idle).take(MOST_ROWS)
}

fn pools(pools: &[PoolReport]) -> Table {
    let columns = ["PID", "NAME", "WORKERS", "TASKS IN FLIGHT", "WAITING", "DONE"];
    let mut table = Table::new("POOLS", &columns);
    for pool in pools {
        table.row([
            pool.pid.to_string(),
            pool.name.clone(),
            format!("{} of {}", pool.workers, pool.processes),
            pool.in_flight.to_string(),
            pool.waiting.to_string(),
            pool.done.to_string(),
        ]);
    }
    table
}

impl Display for ServerReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ServerReport { name, pid, address, clients, objects } = self;
        writeln!(f, "\nSERVER '{}' (pid {pid}) at {}", safe(name), safe(address))?;
        let clients: Vec<String> = clients.iter().map(u32::to_string).collect();
        writeln!(
            f,
            "  clients: {}",
            if clients.is_empty() { "none".to_owned() } else { clients.join(", ") }
        )?;
        let mut table = Table::new("  objects", &["  ID", "TYPE", "REFERENCES"]);
        for object in objects.iter().take(MOST_OBJECTS) {
            let id = format!("  {}", object.id);
            table.row([id, object.type_name.clone(), object.references.to_string()]);
        }
        write!(f, "{}", table.to_string().trim_start_matches('\n'))?;
        if objects.len() > MOST_OBJECTS {
            writeln!(f, "    and {} more", objects.len() - MOST_OBJECTS)?;
        }
        Ok(())
    }
}

impl Display for WaitReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.thread.is_empty() {
            write!(f, "{}: ", safe(&self.thread))?;
        }
        write!(f, "{} for {}", time(self.waited), self.waits_for)?;
        if !self.held_by.is_empty() {
            write!(f, ", held by {}", list(&self.held_by))?;
        }
        // It ends then, whatever happens.
        f.write_str(if self.has_deadline { ", until a deadline" } else { "" })
    }
}

impl Display for WaitsFor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Sync { id, kind, place } => {
                write!(f, "{} {} ({})", safe(kind), safe(id), safe(place))
            }
            WaitsFor::Queue { id, what, place } => {
                write!(f, "{} of Queue {} ({})", safe(what), safe(id), safe(place))
            }
            WaitsFor::Process { pid, name } => {
                write!(f, "the end of process '{}' (pid {pid})", safe(name))
            }
            WaitsFor::Pool => f.write_str("work of a pool"),
            WaitsFor::Server => f.write_str("a call of a server, or its answer"),
            WaitsFor::Unknown => f.write_str("something that is gone"),
        }
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Holder { pid, process, thread, is_alive, times } = self;
        write!(f, "'{}' (pid {pid}", safe(process))?;
        if let Some(thread) = thread {
            write!(f, ", thread {}", safe(thread))?;
        }
        if !is_alive {
            f.write_str(", dead")?;
        }
        if *times > 1 {
            write!(f, ", {times} times")?;
        }
        f.write_str(")")
    }
}

fn list(holders: &[Holder]) -> String {
    joined(holders, Holder::to_string)
}

fn waiters(waits: &[WaitReport]) -> String {
    joined(waits, |wait| {
        let what = match &wait.waits_for {
            WaitsFor::Queue { what, .. } => format!(" for {what}"),
            _ => String::new(),
        };
        format!("'{}' (pid {}, {}{what})", wait.process, wait.pid, time(wait.waited))
    })
}

/// The first few of them in a line, and how many there are more.
fn joined<T>(all: &[T], text: impl Fn(&T) -> String) -> String {
    let mut line = all.iter().take(MOST_LISTED).map(text).collect::<Vec<_>>().join(", ");
    if all.len() > MOST_LISTED {
        line += &format!(" and {} more", all.len() - MOST_LISTED);
    }
    line
}

/// A time as people say it, to a tenth of a second.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::report::{ObjectReport, Unseen};

    #[test]
    fn quantities_are_written_as_people_say_them() {
        assert_eq!(time(Duration::from_millis(1240)), "1.2 s");
        assert_eq!(time(Duration::from_secs(61)), "1 min 1 s");
        assert_eq!(time(Duration::from_secs(7260)), "2 h 1 min");
        assert_eq!(
            (bytes(1023), bytes(1024), bytes(5 << 20)),
            ("1023 B".to_owned(), "1.0 KiB".to_owned(), "5.0 MiB".to_owned())
        );
        assert_eq!(bytes((1 << 20) - 1), "1.0 MiB");
    }

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new("T", &["A", "B", "C"]);
        assert_eq!(table.to_string(), "", "nothing is said of nothing");
        table.row(["longer".to_owned(), "x".to_owned(), String::new()]);
        table.note("below");
        assert_eq!(table.to_string(), "\nT\n  A       B  C\n  longer  x\n      below\n");
    }

    #[test]
    fn neither_a_last_cell_nor_a_long_one_fills_up_the_others() {
        let mut table = Table::new("T", &["A", "B"]);
        let long = "long ".repeat(10);
        table.row([long.clone(), "x".to_owned()]);
        table.row(["a".to_owned(), "y".repeat(1000)]);
        table.row(["b".to_owned(), "z".to_owned()]);
        let lines: Vec<String> = table.to_string().lines().skip(2).map(str::to_owned).collect();
        assert_eq!(lines[0], "  A  B");
        assert_eq!(lines[1], format!("  {long}  x"));
        assert_eq!(lines[2], format!("  a  {}", "y".repeat(1000)));
        assert_eq!(lines[3], "  b  z");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_so_that_it_can_be_seen() {
        let evil = "evil\x1b[31m\nPROCESSES";
        let shown = "evil\\u{1b}[31m\\nPROCESSES";
        assert_eq!(safe(evil), shown);
        assert_eq!(safe(shown), shown, "twice is as once");
        assert_eq!(safe("it's \"C:\\\" \u{e9}t\u{e9}"), "it's \"C:\\\" \u{e9}t\u{e9}");
        assert_eq!(safe("'\u{9b}2J\u{202e}\u{2028}\0"), "'\\u{9b}2J\\u{202e}\\u{2028}\\0");

        // Wherever a text of the session may stand.
        let text = || evil.to_owned();
        let holder =
            Holder { pid: 1, process: text(), thread: Some(text()), is_alive: true, times: 1 };
        let waits_for = [
            WaitsFor::Sync { id: text(), kind: text(), place: text() },
            WaitsFor::Queue { id: text(), what: text(), place: text() },
            WaitsFor::Process { pid: 1, name: text() },
        ];
        let waits = waits_for.map(|waits_for| WaitReport {
            thread: text(),
            ..wait(evil, waits_for, vec![holder.clone()])
        });
        let waits = waits.to_vec();
        let mut session = session();
        session.processes[0].name = text();
        session.processes[0].state = text();
        session.processes[0].waits = waits.clone();
        session.dead_locks = vec![waits.clone()];
        session.locks = vec![SyncReport {
            id: text(),
            kind: text(),
            place: text(),
            made_by: text(),
            holders: vec![holder],
            state: text(),
            waiters: waits.clone(),
            ..lock(0)
        }];
        let queue =
            QueueReport { id: text(), place: text(), made_by: text(), waiters: waits, ..queue(0) };
        session.queues = vec![queue];
        let (workers, waiting, in_flight, done) = (1, 0, 0, 0);
        session.pools = vec![PoolReport {
            name: text(),
            pid: 1,
            processes: 1,
            workers,
            waiting,
            in_flight,
            done,
        }];
        let object = ObjectReport { id: 1, type_name: text(), references: 1 };
        session.servers = vec![ServerReport {
            name: text(),
            pid: 1,
            address: text(),
            clients: vec![1],
            objects: vec![object],
        }];
        session.unseen = vec![Unseen { pid: 1, what: text(), reason: text() }];
        let table = session.to_string();
        assert!(table.chars().all(|c| c == '\n' || !c.is_control()), "{table}");
        assert_eq!(
            table.lines().filter(|line| line.starts_with("PROCESSES")).count(),
            1,
            "{table}"
        );
    }

    #[test]
    fn a_dead_lock_and_who_holds_what_can_be_read_in_80_columns() {
        let place = "a-crate/src/workers/file.rs:1234".to_owned();
        let holder = |process: &str| Holder {
            pid: 4_194_303,
            process: process.to_owned(),
            thread: Some("main".to_owned()),
            is_alive: true,
            times: 1,
        };
        let waits_for = WaitsFor::Sync {
            id: "cac1.1".to_owned(),
            kind: "Lock".to_owned(),
            place: place.clone(),
        };
        let waits = wait("SpawnProcess-12", waits_for, vec![holder("SpawnProcess-13")]);
        let mut session = session();
        session.processes[0].waits = vec![waits.clone()];
        session.dead_locks = vec![vec![waits.clone()]];
        let holders = vec![holder("SpawnProcess-13")];
        session.locks = vec![SyncReport { holders, waiters: vec![waits], place, ..lock(1) }];
        let table = session.to_string();
        assert!(table.starts_with(
            "session of process 'MainProcess' (pid 7), dead locks: 1, processes: 1\n\nDEAD LOCK"
        ));
        let too_long: Vec<&str> = table.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(too_long.is_empty(), "{too_long:#?}");
        let held = "held by 'SpawnProcess-13' (pid 4194303";
        assert_eq!(table.matches(held).count(), 3, "in the circle, by process, by lock: {table}");
    }

    #[test]
    fn what_is_held_waited_for_or_not_empty_comes_first_and_the_rest_is_counted() {
        let mut session = session();
        session.locks = (0..100).map(lock).collect();
        let holder =
            Holder { pid: 1, process: "h".to_owned(), thread: None, is_alive: true, times: 1 };
        session.locks[98].holders = vec![holder; 7];
        let unknown = || wait("w", WaitsFor::Unknown, Vec::new());
        session.locks[99].waiters = vec![unknown()];
        session.queues = (0..61).map(queue).collect();
        session.queues[60].items = 1;
        let table = session.to_string();
        let ids = |of: &str| {
            let row = |line: &&str| line.trim_start().starts_with(of);
            let id = |line: &str| line.split_whitespace().next().unwrap().to_owned();
            table.lines().filter(row).map(id).collect::<Vec<_>>()
        };
        assert_eq!(ids("lock.")[..3], ["lock.98", "lock.99", "lock.0"]);
        assert_eq!(ids("queue.")[..2], ["queue.60", "queue.0"]);
        assert_eq!((ids("lock.").len(), ids("queue.").len()), (60, 60));
        assert!(table.contains("\n  and 40 more\n\nQUEUES"), "{table}");
        assert!(table.ends_with("\n  and 1 more\n"), "{table}");
        let held = table.lines().find(|line| line.contains("held by")).unwrap();
        assert_eq!(held.matches("'h'").count(), 5);
        assert!(held.ends_with(" and 2 more"), "{held}");
    }

    fn session() -> Inspection {
        let root = ProcessReport {
            pid: 7,
            parent: 1,
            name: "MainProcess".to_owned(),
            is_daemon: Some(false),
            state: "sleeping".to_owned(),
            cpu: Duration::ZERO,
            memory_bytes: 0,
            threads: 1,
            age: Duration::ZERO,
            waits: Vec::new(),
        };
        Inspection {
            at: SystemTime::UNIX_EPOCH,
            root: 7,
            processes: vec![root],
            dead_locks: Vec::new(),
            locks: Vec::new(),
            queues: Vec::new(),
            pools: Vec::new(),
            servers: Vec::new(),
            unseen: Vec::new(),
        }
    }

    fn wait(name: &str, waits_for: WaitsFor, held_by: Vec<Holder>) -> WaitReport {
        WaitReport {
            pid: 4_194_302,
            process: name.to_owned(),
            thread: "main".to_owned(),
            waited: Duration::from_secs(61),
            has_deadline: false,
            waits_for,
            held_by,
        }
    }

    fn lock(number: u32) -> SyncReport {
        SyncReport {
            id: format!("lock.{number}"),
            kind: "Lock".to_owned(),
            place: "src/main.rs:1".to_owned(),
            made_by: "MainProcess".to_owned(),
            handles: 0,
            holders: Vec::new(),
            state: "free".to_owned(),
            waiters: Vec::new(),
        }
    }

    fn queue(number: u32) -> QueueReport {
        QueueReport {
            id: format!("queue.{number}"),
            place: "src/main.rs:1".to_owned(),
            made_by: "MainProcess".to_owned(),
            handles: 0,
            items: 0,
            max_items: None,
            bytes: 0,
            max_bytes: None,
            put: 0,
            unfinished: None,
            waiters: Vec::new(),
        }
    }
}
