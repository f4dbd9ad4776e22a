//! A session as a table for people, who read it in a terminal: what matters most stands within the first 80 columns.
//!
//! Names come from the programs that are looked at, so nothing of theirs is written as it is: see [`safe`].

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::layout::{Page, Rank, Section};
use crate::report::{
    Holder, Inspection, ObjectReport, PoolReport, QueueReport, ServerReport, SyncReport,
    WaitReport, WaitsFor,
};

/// A longer cell does not make its column wider.
const WIDEST: usize = 40;

/// How much is listed; the rest is counted.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// How many locks, and how many queues.
    rows: usize,
    /// How many objects of a server.
    objects: usize,
    /// How many holders or waiters of one thing.
    listed: usize,
}

impl Limits {
    const USUAL: Limits = Limits { rows: 60, objects: 40, listed: 5 };
    const NONE: Limits = Limits { rows: usize::MAX, objects: usize::MAX, listed: usize::MAX };
    /// Rows are for the window to cut, lines are cut at its edge.
    const WINDOW: Limits = Limits { listed: Limits::USUAL.listed, ..Limits::NONE };

    /// Those of what is written: none for `{:#}`.
    fn of(f: &Formatter<'_>) -> Limits {
        if f.alternate() { Limits::NONE } else { Limits::USUAL }
    }
}

/// Rows of cells under a heading, with lines of text under each. A column is as wide as it has to be; the last cell of a row is not
/// filled up.
struct Table {
    title: &'static str,
    columns: Vec<Cow<'static, str>>,
    rows: Vec<Row>,
    left_out: usize,
}

struct Row {
    rank: Rank,
    cells: Vec<String>,
    notes: Vec<String>,
}

impl Table {
    fn new(title: &'static str, columns: &[&'static str]) -> Table {
        let columns = columns.iter().map(|&column| Cow::Borrowed(column)).collect();
        Table { title, columns, rows: Vec::new(), left_out: 0 }
    }

    fn row<const N: usize>(&mut self, is_busy: bool, cells: [String; N]) {
        let cells = cells.iter().map(|cell| safe(cell).into_owned()).collect();
        let rank = if is_busy { Rank::Busy } else { Rank::Idle };
        self.rows.push(Row { rank, cells, notes: Vec::new() });
    }

    /// Puts a line under the row that was added last.
    fn note(&mut self, note: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(safe(note).into_owned());
        }
    }

    fn into_section(self) -> Section {
        let mut widths: Vec<usize> = self.columns.iter().map(|column| column.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                let length = cell.chars().count();
                *width = if length > WIDEST { *width } else { length.max(*width) };
            }
        }
        let head = vec![self.title.to_owned(), line(&self.columns, &widths)];
        let mut section = Section::new(self.title, head);
        for row in &self.rows {
            section.row(row.rank, line(&row.cells, &widths));
            for note in &row.notes {
                section.note(row.rank, format!("      {note}"));
            }
        }
        section.leave_out(self.left_out);
        section
    }
}

/// One row, without the empty cells at its end.
fn line(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let mut line = String::new();
    let Some(last) = cells.iter().rposition(|cell| !cell.as_ref().is_empty()) else {
        return line;
    };
    for (cell, width) in cells[..last].iter().zip(widths) {
        line += &format!("  {:width$}", cell.as_ref());
    }
    line + "  " + cells[last].as_ref()
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
        page(self, Limits::of(f)).fmt(f)
    }
}

impl Inspection {
    /// The table for a window: in so many lines at most, each of which ends with a line break.
    ///
    /// Where there is not room for all, each part of it has its share, a row at least, and says how many more there are. Dead locks
    /// have all they need; what is held, waited for or not empty goes before what is idle. Parts for which there is no
    /// room at all are named in the last line. A line may be wider than the window: what matters most stands on its left.
    pub fn fitted(&self, rows: usize) -> String {
        page(self, Limits::WINDOW).fitted(rows)
    }
}

fn page(session: &Inspection, limits: Limits) -> Page {
    let root = session.processes.iter().find(|process| process.pid == session.root);
    let name = safe(root.map_or("unknown", |root| &root.name));
    let (root, count) = (session.root, session.processes.len());
    let mut title = format!("session of process '{name}' (pid {root}), processes: {count}");
    // However narrow a window is, and however long the name, it can be seen that there are some.
    if !session.dead_locks.is_empty() {
        title = format!("dead locks: {}, {title}", session.dead_locks.len());
    }
    let mut unseen = Table::new("NOT SEEN", &["PID", "WHAT", "WHY"]);
    for missing in &session.unseen {
        let cells = [missing.pid.to_string(), missing.what.clone(), missing.reason.clone()];
        unseen.row(true, cells);
    }
    let sections = [
        dead_locks(&session.dead_locks, limits),
        processes(session, limits).into_section(),
        locks(&session.locks, limits).into_section(),
        queues(&session.queues, limits).into_section(),
        pools(&session.pools).into_section(),
        servers(&session.servers, limits),
        unseen.into_section(),
    ];
    Page::new(title, sections)
}

fn dead_locks(circles: &[Vec<WaitReport>], limits: Limits) -> Section {
    // A title, who waits, and for what.
    let mut section = Section::new("DEAD LOCKS", Vec::new()).urgent(4);
    for (index, circle) in circles.iter().enumerate() {
        if index > 0 {
            section.note(Rank::Busy, String::new());
        }
        let title = "DEAD LOCK: each waits for what the next one has";
        section.note(Rank::Busy, title.to_owned());
        for wait in circle {
            let WaitReport { pid, process, thread, waited, waits_for, held_by, .. } = wait;
            let mut who = format!("  process '{}' (pid {pid})", safe(process));
            if !thread.is_empty() {
                who += &format!(", thread {}", safe(thread));
            }
            section.row(Rank::Busy, who);
            section.note(Rank::Busy, format!("    waits {} for {waits_for}", time(*waited)));
            if !held_by.is_empty() {
                section.note(Rank::Busy, format!("    held by {}", list(held_by, limits)));
            }
        }
    }
    section
}

fn processes(session: &Inspection, limits: Limits) -> Table {
    let columns = ["PID", "PARENT", "NAME", "STATE", "AGE", "CPU", "MEMORY", "THREADS"];
    let mut table = Table::new("PROCESSES", &columns);
    // A worker without a task waits as well, but for nothing that anybody has.
    let is_idle = |wait: &WaitReport| matches!(wait.waits_for, WaitsFor::Pool | WaitsFor::Server);
    for process in &session.processes {
        let daemon = if process.is_daemon == Some(true) { " (daemon)" } else { "" };
        let is_busy = process.pid == session.root || !process.waits.iter().all(is_idle);
        let cells = [
            process.pid.to_string(),
            process.parent.to_string(),
            format!("{}{daemon}", process.name),
            process.state.clone(),
            time(process.age),
            time(process.cpu),
            bytes(process.memory_bytes),
            process.threads.to_string(),
        ];
        table.row(is_busy, cells);
        for wait in &process.waits {
            table.note(&brief(wait, limits));
        }
    }
    table
}

/// A wait in one line of a terminal; where the thing was made, and which threads have it, stands with the locks and queues.
fn brief(wait: &WaitReport, limits: Limits) -> String {
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
        let holders = joined(&wait.held_by, limits, |holder| {
            let dead = if holder.is_alive { "" } else { ", dead" };
            format!("'{}' (pid {}{dead})", holder.process, holder.pid)
        });
        text += &format!(", held by {holders}");
    }
    text
}

fn locks(locks: &[SyncReport], limits: Limits) -> Table {
    let columns = ["ID", "KIND", "STATE", "MADE AT", "HANDLES", "BY"];
    let mut table = Table::new("LOCKS", &columns);
    let is_busy = |lock: &SyncReport| !lock.holders.is_empty() || !lock.waiters.is_empty();
    for (is_busy, lock) in busy_first(locks, is_busy).take(limits.rows) {
        let cells = [
            lock.id.clone(),
            lock.kind.clone(),
            lock.state.clone(),
            lock.place.clone(),
            lock.handles.to_string(),
            lock.made_by.clone(),
        ];
        table.row(is_busy, cells);
        if !lock.holders.is_empty() {
            table.note(&format!("held by {}", list(&lock.holders, limits)));
        }
        if !lock.waiters.is_empty() {
            table.note(&format!("waited for by {}", waiters(&lock.waiters, limits)));
        }
    }
    table.left_out = locks.len().saturating_sub(limits.rows);
    table
}

fn queues(queues: &[QueueReport], limits: Limits) -> Table {
    let columns = ["ID", "ITEMS", "MADE AT", "BYTES", "EVER PUT", "NOT DONE", "HANDLES", "BY"];
    let mut table = Table::new("QUEUES", &columns);
    let of = |now: String, most: Option<String>| match most {
        Some(most) => format!("{now} of {most}"),
        None => now,
    };
    let is_busy = |queue: &QueueReport| {
        queue.items > 0
            || queue.unfinished.is_some_and(|count| count > 0)
            || !queue.waiters.is_empty()
    };
    for (is_busy, queue) in busy_first(queues, is_busy).take(limits.rows) {
        let cells = [
            queue.id.clone(),
            of(queue.items.to_string(), queue.max_items.map(|most| most.to_string())),
            queue.place.clone(),
            of(bytes(queue.bytes), queue.max_bytes.map(bytes)),
            queue.put.to_string(),
            queue.unfinished.map(|count| count.to_string()).unwrap_or_default(),
            queue.handles.to_string(),
            queue.made_by.clone(),
        ];
        table.row(is_busy, cells);
        if !queue.waiters.is_empty() {
            table.note(&format!("waited for by {}", waiters(&queue.waiters, limits)));
        }
    }
    table.left_out = queues.len().saturating_sub(limits.rows);
    table
}

/// The things that somebody has, wants or has left something in, then the others; with each, which of them it is.
fn busy_first<T>(all: &[T], is_busy: impl Fn(&T) -> bool) -> impl Iterator<Item = (bool, &T)> {
    let (busy, idle): (Vec<&T>, Vec<&T>) = all.iter().partition(|thing| is_busy(thing));
    busy.into_iter().map(|thing| (true, thing)).chain(idle.into_iter().map(|thing| (false, thing)))
}

fn pools(pools: &[PoolReport]) -> Table {
    let columns = ["PID", "NAME", "WORKERS", "TASKS IN FLIGHT", "WAITING", "DONE"];
    let mut table = Table::new("POOLS", &columns);
    for pool in pools {
        let is_busy = pool.in_flight > 0 || pool.waiting > 0;
        let cells = [
            pool.pid.to_string(),
            pool.name.clone(),
            format!("{} of {}", pool.workers, pool.processes),
            pool.in_flight.to_string(),
            pool.waiting.to_string(),
            pool.done.to_string(),
        ];
        table.row(is_busy, cells);
    }
    table
}

fn servers(servers: &[ServerReport], limits: Limits) -> Section {
    let mut section = Section::new("SERVERS", Vec::new());
    for (index, server) in servers.iter().enumerate() {
        if index > 0 {
            section.note(Rank::Busy, String::new());
        }
        let ServerReport { name, pid, address, clients, objects } = server;
        let row = format!("SERVER '{}' (pid {pid}) at {}", safe(name), safe(address));
        section.row(Rank::Busy, row);
        let clients: Vec<String> = clients.iter().map(u32::to_string).collect();
        let none = || "none".to_owned();
        let clients = if clients.is_empty() { none() } else { clients.join(", ") };
        section.note(Rank::Busy, format!("  clients: {clients}"));
        // Where there is little room, all servers are shown before the objects of one.
        for line in self::objects(objects, limits) {
            section.note(Rank::Idle, line);
        }
    }
    section
}

/// The objects of a server, line by line.
fn objects(objects: &[ObjectReport], limits: Limits) -> Vec<String> {
    let mut table = Table::new("  objects", &["  ID", "TYPE", "REFERENCES"]);
    for object in objects.iter().take(limits.objects) {
        let id = format!("  {}", object.id);
        table.row(false, [id, object.type_name.clone(), object.references.to_string()]);
    }
    let mut lines = table.into_section().into_lines();
    if objects.len() > limits.objects {
        lines.push(format!("    and {} more", objects.len() - limits.objects));
    }
    lines
}

impl Display for ServerReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lines = servers(std::slice::from_ref(self), Limits::of(f)).into_lines();
        lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Display for WaitReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.thread.is_empty() {
            write!(f, "{}: ", safe(&self.thread))?;
        }
        write!(f, "{} for {}", time(self.waited), self.waits_for)?;
        if !self.held_by.is_empty() {
            write!(f, ", held by {}", list(&self.held_by, Limits::of(f)))?;
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

fn list(holders: &[Holder], limits: Limits) -> String {
    joined(holders, limits, Holder::to_string)
}

fn waiters(waits: &[WaitReport], limits: Limits) -> String {
    joined(waits, limits, |wait| {
        let what = match &wait.waits_for {
            WaitsFor::Queue { what, .. } => format!(" for {what}"),
            _ => String::new(),
        };
        format!("'{}' (pid {}, {}{what})", wait.process, wait.pid, time(wait.waited))
    })
}

/// The first of them in a line, and how many there are more.
fn joined<T>(all: &[T], limits: Limits, text: impl Fn(&T) -> String) -> String {
    let listed = all.len().min(limits.listed);
    let mut line = all[..listed].iter().map(text).collect::<Vec<_>>().join(", ");
    if all.len() > listed {
        line += &format!(" and {} more", all.len() - listed);
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
    use crate::report::{ProcessReport, Unseen};

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
        table.row(false, ["longer".to_owned(), "x".to_owned(), String::new()]);
        table.note("below");
        let lines = table.into_section().into_lines();
        assert_eq!(lines, ["T", "  A       B  C", "  longer  x", "      below"]);
        let nothing = Table::new("T", &["A"]).into_section().into_lines();
        assert_eq!(nothing, [""; 0], "nothing is said of nothing");
    }

    #[test]
    fn neither_a_last_cell_nor_a_long_one_fills_up_the_others() {
        let mut table = Table::new("T", &["A", "B"]);
        let long = "long ".repeat(10);
        table.row(false, [long.clone(), "x".to_owned()]);
        table.row(false, ["a".to_owned(), "y".repeat(1000)]);
        table.row(false, ["b".to_owned(), "z".to_owned()]);
        let lines = table.into_section().into_lines().split_off(1);
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
            "dead locks: 1, session of process 'MainProcess' (pid 7), processes: 1\n\nDEAD LOCK"
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

    /// A session in which there is much of everything.
    fn crowd() -> Inspection {
        let mut session = session();
        let root = session.processes[0].clone();
        session.processes.extend((8..40).map(|pid| ProcessReport {
            pid,
            name: format!("worker-{pid}"),
            waits: vec![wait("w", WaitsFor::Pool, Vec::new())],
            ..root.clone()
        }));
        let holder = |pid| Holder {
            pid,
            process: format!("h{pid}"),
            thread: None,
            is_alive: true,
            times: 1,
        };
        session.locks = (0..100).map(lock).collect();
        session.locks[98].holders = (0..7).map(holder).collect();
        session.locks[98].waiters = vec![wait("w", WaitsFor::Unknown, Vec::new()); 9];
        session.queues = (0..61).map(queue).collect();
        let (name, processes, workers) = ("p".to_owned(), 32, 32);
        let pool =
            PoolReport { name, pid: 7, processes, workers, waiting: 0, in_flight: 0, done: 0 };
        session.pools = vec![pool; 3];
        let object = |id| ObjectReport { id, type_name: "T".to_owned(), references: 1 };
        let server = |number| ServerReport {
            name: format!("server-{number}"),
            pid: 8,
            address: "/tmp/s".to_owned(),
            clients: vec![7],
            objects: (0..41).map(object).collect(),
        };
        session.servers = (0..2).map(server).collect();
        let reason = "it is stopped".to_owned();
        session.unseen = vec![Unseen { pid: 9, what: "its objects".to_owned(), reason }];
        let circle = (0..2).map(|_| {
            let place = "src/main.rs:1".to_owned();
            let (id, kind) = ("lock.98".to_owned(), "Lock".to_owned());
            wait("w", WaitsFor::Sync { id, kind, place }, vec![holder(8)])
        });
        session.dead_locks = vec![circle.collect()];
        session
    }

    #[test]
    fn the_alternate_form_leaves_out_nothing() {
        let session = crowd();
        let (usual, whole) = (session.to_string(), format!("{session:#}"));
        for (text, rows, objects, waiters, more) in
            [(&usual, 60, 40, 5, true), (&whole, 100, 41, 9, false)]
        {
            let count = |begin: &str| {
                text.lines().filter(|line| line.trim_start().starts_with(begin)).count()
            };
            assert_eq!(count("lock."), rows, "{text}");
            assert_eq!(count("queue."), rows.min(61), "{text}");
            assert_eq!(text.matches("  T     1").count(), 2 * objects, "{text}");
            let waited = text.lines().find(|line| line.contains("waited for by")).unwrap();
            assert_eq!(waited.matches("'w'").count(), waiters, "{waited}");
            assert_eq!(text.contains(" more"), more, "{text}");
        }
        let mut wait = session.locks[98].waiters[0].clone();
        wait.held_by.clone_from(&session.locks[98].holders);
        assert!(wait.to_string().ends_with(" and 2 more"), "{wait}");
        assert!(format!("{wait:#}").ends_with("'h6' (pid 6)"), "{wait:#}");
        assert_eq!(session.servers[0].to_string().lines().count(), 45);
        assert_eq!(format!("{:#}", session.servers[0]).lines().count(), 45);
    }

    #[test]
    fn in_a_usual_window_something_of_everything_is_shown() {
        let session = crowd();
        let shown = session.fitted(23);
        assert_eq!(shown.lines().count(), 23, "{shown}");
        let titles = ["DEAD LOCK", "PROCESSES", "LOCKS", "QUEUES", "POOLS", "SERVER", "NOT SEEN"];
        for title in titles {
            let at = shown.lines().position(|line| line.starts_with(title));
            let below = at.and_then(|at| shown.lines().nth(at + 1));
            assert!(below.is_some_and(|line| line.starts_with("  ")), "{title} in {shown}");
        }
        assert!(shown.contains("\n  lock.98 "), "what is held: {shown}");
        assert!(shown.contains("\n  … 99 more\nQUEUES\n"), "{shown}");
        assert!(!session.fitted(1000).contains('…'), "rows are not limited");

        // Of a session like that of the example, all that matters.
        let mut session = crowd();
        session.processes.truncate(3);
        session.locks.drain(..96);
        (session.queues, session.pools, session.servers, session.unseen) = Default::default();
        let shown = session.fitted(23);
        assert!(shown.contains("\n      waited for by ") && !shown.contains('…'), "{shown}");
    }

    #[test]
    fn in_a_tiny_window_the_dead_lock_is_seen_and_what_is_not_is_named() {
        let shown = crowd().fitted(9);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[0].starts_with("dead locks: 1, "), "{shown}");
        assert!(lines[1].starts_with("DEAD LOCK: "), "{shown}");
        assert!(lines[2].starts_with("  process 'w' (pid "), "{shown}");
        assert_eq!((lines.len(), lines[8]), (9, "… LOCKS, QUEUES, POOLS, SERVERS, NOT SEEN"));
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
            start_tick: 0,
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
