//! A session as a table for people.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::report::{
    Holder, Inspection, PoolReport, ProcessReport, QueueReport, ServerReport, SyncReport,
    WaitReport, WaitsFor,
};

/// So many objects of a server, and of its types, are listed.
const MOST_OBJECTS: usize = 40;

/// Rows of cells under a heading; columns are as wide as they have to be, and the last one is not filled up.
struct Table {
    title: &'static str,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(title: &'static str, columns: &[&str]) -> Table {
        Table { title, rows: vec![columns.iter().map(|&column| column.to_owned()).collect()] }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.rows.len() == 1 {
            return Ok(());
        }
        writeln!(f, "\n{}", self.title)?;
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("  {cell:width$}"));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

impl Display for Inspection {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let root = self.processes.iter().find(|process| process.pid == self.root);
        let name = root.map_or("unknown", |root| root.name.as_str());
        let (root, count) = (self.root, self.processes.len());
        writeln!(f, "session of process '{name}' (pid {root}), processes: {count}")?;
        for circle in &self.dead_locks {
            writeln!(f, "\nDEAD LOCK: each waits for what the next one has")?;
            for wait in circle {
                writeln!(f, "  process '{}' (pid {}) {wait}", wait.process, wait.pid)?;
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
    let columns = ["PID", "PARENT", "NAME", "STATE", "AGE", "CPU", "MEMORY", "THREADS", "WAITS"];
    let mut table = Table::new("PROCESSES", &columns);
    for process in processes {
        let mut waits = process.waits.iter();
        let first = waits.next().map(WaitReport::to_string);
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
            first.unwrap_or_default(),
        ]);
        for wait in waits {
            let mut cells = [const { String::new() }; 9];
            cells[8] = wait.to_string();
            table.row(cells);
        }
    }
    table
}

fn locks(locks: &[SyncReport]) -> Table {
    let columns = ["ID", "KIND", "MADE AT", "BY", "HANDLES", "STATE", "HELD BY", "WAITERS"];
    let mut table = Table::new("LOCKS", &columns);
    for lock in locks {
        table.row([
            lock.id.clone(),
            lock.kind.clone(),
            lock.place.clone(),
            lock.made_by.clone(),
            lock.handles.to_string(),
            lock.state.clone(),
            list(&lock.holders),
            waiters(&lock.waiters),
        ]);
    }
    table
}

fn queues(queues: &[QueueReport]) -> Table {
    let columns =
        ["ID", "MADE AT", "BY", "HANDLES", "ITEMS", "BYTES", "EVER PUT", "NOT DONE", "WAITERS"];
    let mut table = Table::new("QUEUES", &columns);
    let of = |now: String, most: Option<String>| match most {
        Some(most) => format!("{now} of {most}"),
        None => now,
    };
    for queue in queues {
        table.row([
            queue.id.clone(),
            queue.place.clone(),
            queue.made_by.clone(),
            queue.handles.to_string(),
            of(queue.items.to_string(), queue.max_items.map(|most| most.to_string())),
            of(bytes(queue.bytes), queue.max_bytes.map(bytes)),
            queue.put.to_string(),
            queue.unfinished.map(|count| count.to_string()).unwrap_or_default(),
            waiters(&queue.waiters),
        ]);
    }
    table
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
        writeln!(f, "\nSERVER '{name}' (pid {pid}) at {address}")?;
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
            write!(f, "{}: ", self.thread)?;
        }
        write!(f, "{} for {}", time(self.waited), self.waits_for)?;
        if !self.held_by.is_empty() {
            write!(f, ", held by {}", list(&self.held_by))?;
        }
        Ok(())
    }
}

impl Display for WaitsFor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            WaitsFor::Sync { id, kind, place } => write!(f, "{kind} {id} ({place})"),
            WaitsFor::Queue { id, what, place } => write!(f, "{what} of Queue {id} ({place})"),
            WaitsFor::Process { pid, name } => write!(f, "the end of process '{name}' (pid {pid})"),
            WaitsFor::Pool => f.write_str("work of a pool"),
            WaitsFor::Server => f.write_str("a call of a server, or its answer"),
            WaitsFor::Unknown => f.write_str("something that is gone"),
        }
    }
}

impl Display for Holder {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Holder { pid, process, thread, is_alive, times } = self;
        write!(f, "'{process}' (pid {pid}")?;
        if let Some(thread) = thread {
            write!(f, ", thread {thread}")?;
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
    holders.iter().map(Holder::to_string).collect::<Vec<_>>().join(", ")
}

fn waiters(waits: &[WaitReport]) -> String {
    let wait = |wait: &WaitReport| {
        let what = match &wait.waits_for {
            WaitsFor::Queue { what, .. } => format!(" for {what}"),
            _ => String::new(),
        };
        format!("'{}' (pid {}, {}{what})", wait.process, wait.pid, time(wait.waited))
    };
    waits.iter().map(wait).collect::<Vec<_>>().join(", ")
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
    use super::*;

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
        assert_eq!(table.to_string(), "\nT\n  A       B  C\n  longer  x\n");
    }
}
