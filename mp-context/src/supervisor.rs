//! One thread that serves all children of this process: log records, reports, ends.
//!
//! It sleeps in epoll on the control socket and the pidfd of each child. A child is reaped
//! through its pidfd, here and nowhere else, so its pid cannot be used again before its handle knows of
//! its end. Everything that a child has written is handled before its end is announced. A thread that
//! waits for a child does that child's last service itself if it is first; see [`Child::wait`].
//!
//! A forked copy of this process, made by other code, has no children here: it neither reads
//! nor reaps what belongs to the original.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mp_reduction::Message;
use mp_reduction::wire::{FrameReader, WireError};
use mp_shared_memory::look::Notice;
use mp_sync::parts::Shown;
use parking_lot::{Mutex, MutexGuard};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::current::ChildInfo;
use crate::error::{ProcessError, ProcessId};
use crate::handshake::{self, kind};
use crate::logging::replay::replay;
use crate::state::completion::{Completion, End};
use crate::state::ending::{Evidence, Report, Status};
use crate::sys;

/// A child of this process, from its start until the last handle is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    key: u64,
    info: ChildInfo,
    pidfd: OwnedFd,
    /// `None` once it ended.
    link: Mutex<Option<Link>>,
    ended: OnceLock<Ended>,
    completion: Completion,
}

/// The parent's ends of what ties a living child to it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: UnixStream,
    /// Closed by the end of this process, whatever it is; never written.
    lifeline: OwnedFd,
    pub(crate) start_limit: Duration,
    /// Whether the child leads a process group, which ends with it.
    leads_group: bool,
    reader: FrameReader,
    is_watched: bool,
    took_call: bool,
    report: Option<Report>,
    /// Tells whoever looks into the session of the child.
    _shown: Option<Notice>,
    broken: Option<String>,
    stalled: bool,
}

/// What is known of a child that ended.
#[derive(Debug)]
struct Ended {
    status: Status,
    failure: Option<ProcessError>,
    /// The encoded result, until the handle takes it.
    result: Mutex<Option<Message>>,
}

impl Link {
    pub(crate) fn new(
        socket: UnixStream,
        lifeline: OwnedFd,
        start_limit: Duration,
        leads_group: bool,
        shown: Option<Notice>,
    ) -> Link {
        Link {
            socket,
            lifeline,
            start_limit,
            leads_group,
            reader: FrameReader::new(),
            is_watched: true,
            took_call: true,
            report: None,
            _shown: shown,
            broken: None,
            stalled: false,
        }
    }

    /// Reads and handles what has arrived: one portion, or `all` that is there.
    fn drain(&mut self, child: &Child, all: bool) {
        if self.broken.is_some() {
            return;
        }
        loop {
            let read = self.reader.fill(&self.socket);
            if let Err(reason) = self.handle_frames(child) {
                self.broken = Some(reason);
                self.unwatch();
                return child.signal(Signal::KILL);
            }
            match read {
                Ok(0) => return self.unwatch(),
                Ok(_) if all => {}
                // The rest waits for its turn behind the other children.
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // The kernel says so when bytes were left unread at the other end: the only
                    // ones that are ever sent there are the call.
                    self.took_call = error.kind() != io::ErrorKind::ConnectionReset;
                    return self.unwatch();
                }
            }
        }
    }

    fn handle_frames(&mut self, child: &Child) -> Result<(), String> {
        while let Some(frame) = self.reader.next_frame().map_err(|e: WireError| e.to_string())? {
            if frame.kind == kind::LOG {
                let _serving = Serving::enter();
                replay((&child.info.name, child.info.pid), frame.body.into_owned());
            } else {
                self.report = Some(handshake::report_from(frame)?);
            }
        }
        Ok(())
    }

    /// Whether part of the call, the only thing that is ever sent there, was not read.
    fn has_unread_call(&self) -> bool {
        sys::socket::unread_by_peer(&self.socket).is_ok_and(|len| len > 0)
    }

    /// Whether the child has read its call, all of it and not as mere bytes.
    ///
    /// Code that reads standard input before `init` loses the lifeline that came along: then
    /// the pipe has no reader left.
    fn has_taken_call(&self) -> bool {
        let mut fds = [PollFd::new(&self.lifeline, PollFlags::empty())];
        let is_lost = poll(&mut fds, Some(&Timespec::default())) == Ok(1)
            && fds[0].revents().contains(PollFlags::ERR);
        !self.has_unread_call() && !is_lost
    }

    /// Takes the socket out of the epoll set; nothing will come from it any more.
    fn unwatch(&mut self) {
        if std::mem::take(&mut self.is_watched) {
            let _gone = Supervisor::get().map(|s| epoll::delete(&s.epoll, &self.socket));
        }
    }
}

impl Child {
    pub(crate) fn new(info: ChildInfo, pidfd: OwnedFd, link: Link) -> Child {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        Child {
            key: NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            info,
            pidfd,
            link: Mutex::new(Some(link)),
            ended: OnceLock::new(),
            completion: Completion::new(),
        }
    }

    /// Children are numbered in the order of their start.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    pub(crate) fn info(&self) -> ChildInfo {
        self.info.clone()
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.info.name
    }

    pub(crate) fn pid(&self) -> u32 {
        self.info.pid
    }

    pub(crate) fn is_daemon(&self) -> bool {
        self.info.daemon
    }

    pub(crate) fn completion(&self) -> &Completion {
        &self.completion
    }

    /// Sleeps until the end is announced, at most until `deadline`; whether it was.
    ///
    /// In a logger, which may be called by the very thread that would announce the end, it
    /// does not sleep without a deadline: then it returns at once.
    ///
    /// The caller watches the process itself, and is the one to reap it if it is first: being
    /// woken by the supervisor would cost a second wake-up, which is a good part of a short life.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> bool {
        let is_over = self.completion.end().is_some();
        let _shown = (!is_over).then(|| Shown::process(self.info.pid, deadline.is_some()));
        while self.completion.end().is_none() {
            if deadline.is_none() && is_serving() {
                return false;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut fds, timeout.as_ref()) {
                Ok(0) if left.is_some_and(|left| left.is_zero()) => return false,
                // The poll was interrupted, or ended early: look again.
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) if self.try_reap() == Some(false) => {}
                // Reaped, here or by a thread that still handles what it wrote. Or the system has
                // no memory for a poll, and the supervisor will tell.
                Ok(_) | Err(_) => return self.completion.wait(deadline).is_some(),
            }
        }
        true
    }

    /// Readable from the end of the process on.
    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// `None` while it runs.
    pub(crate) fn status(&self) -> Option<Status> {
        self.ended.get().map(|ended| ended.status)
    }

    /// Why it gave no result; `None` while it runs and when it gave one.
    pub(crate) fn failure(&self) -> Option<&ProcessError> {
        self.ended.get()?.failure.as_ref()
    }

    /// The encoded result, once.
    pub(crate) fn take_result(&self) -> Option<Message> {
        self.ended.get()?.result.lock().take()
    }

    /// Whether it has ended, noticed or not.
    fn has_ended(&self) -> bool {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        self.ended.get().is_some() || poll(&mut fds, Some(&Timespec::default())) == Ok(1)
    }

    /// Sends a signal; does nothing to a process that ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.ended.get().is_none() {
            // Fails only if it has ended in the meantime.
            let _sent = rustix::process::pidfd_send_signal(&self.pidfd, signal);
        }
    }

    /// Whether its start limit is over and it has not taken its call; it is killed then.
    fn kill_if_stalled(&self) {
        if let Some(link) = &mut *self.link.lock()
            && link.report.is_none()
            && !link.has_taken_call()
        {
            link.stalled = true;
            self.signal(Signal::KILL);
        }
    }

    fn on_readable(&self) {
        if let Some(link) = &mut *self.link.lock() {
            link.drain(self, false);
        }
    }

    /// [`reap`](Child::reap), unless another thread is at it or handles what the child wrote.
    ///
    /// That may be the calling thread itself, in a logger of the user.
    fn try_reap(&self) -> Option<bool> {
        self.link.try_lock().map(|link| self.reap(link))
    }

    /// Handles what a child wrote that other code reaped before it could be adopted.
    pub(crate) fn reap_unadopted(&self) {
        self.reap(self.link.lock());
    }

    /// Reaps the process if it has ended, and then tells everybody; whether it has.
    fn reap(&self, mut guard: MutexGuard<'_, Option<Link>>) -> bool {
        let Some(link) = &mut *guard else { return true };
        if is_forked_copy() {
            if !self.has_ended() {
                return false;
            }
            *guard = None;
            return self.announce(Status::Unknown, Err(self.status_unknown()));
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        if link.leads_group {
            // While it is not reaped its pid is its own, and so is the number of its group.
            let unreaped = WaitId::PidFd(self.pidfd.as_fd());
            if let Ok(Some(_)) = rustix::process::waitid(unreaped, options | WaitIdOptions::NOWAIT)
                && let Some(leader) = Pid::from_raw(self.info.pid.cast_signed())
            {
                // Fails if there is nobody else in it.
                let _sent = rustix::process::kill_process_group(leader, Signal::KILL);
            }
        }
        let status = match rustix::process::waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(None) | Err(rustix::io::Errno::INTR) => return false,
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Status::Exited(code),
                (None, Some(signal)) => Status::Signaled { signal, core_dumped: status.dumped() },
                (None, None) => Status::Unknown,
            },
            Err(_) => Status::Unknown,
        };
        let left_call = link.has_unread_call();
        link.drain(self, true);
        link.unwatch();
        let evidence = Evidence {
            report: link.report.take(),
            status,
            took_call: link.took_call && !left_call,
            stalled: link.stalled.then_some(link.start_limit),
            broken: link.broken.take(),
        };
        *guard = None;
        drop(guard);
        if matches!(status, Status::Signaled { .. }) {
            // It may have made some that no root of a session knows of; what is removed is logged.
            let _serving = Serving::enter();
            mp_shared_memory::session::remove_abandoned_names();
        }
        self.announce(status, evidence.decide(self.id()))
    }

    /// Makes the end known; from here on nobody but the handle holds the child.
    fn announce(&self, status: Status, outcome: Result<Message, ProcessError>) -> bool {
        if let Some(supervisor) = Supervisor::get() {
            supervisor.forget(self);
        }
        let (failure, result) = match outcome {
            Ok(message) => (None, Some(message)),
            Err(error) => (Some(error), None),
        };
        let failed = failure.is_some();
        let _first = self.ended.set(Ended { status, failure, result: Mutex::new(result) });
        self.completion.complete(End { failed });
        true
    }

    pub(crate) fn id(&self) -> ProcessId {
        ProcessId::new(Arc::clone(&self.info.name), self.info.pid)
    }

    fn status_unknown(&self) -> ProcessError {
        ProcessError::StatusUnknown { process: self.id() }
    }
}

thread_local! {
    /// How many records this thread hands to the user's logger just now.
    static SERVING: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is inside the user's logger with a record of a child.
pub(crate) fn is_serving() -> bool {
    SERVING.get() > 0
}

/// Marks the thread while a record is handed over.
struct Serving;

impl Serving {
    fn enter() -> Serving {
        SERVING.set(SERVING.get() + 1);
        Serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        SERVING.set(SERVING.get() - 1);
    }
}

/// The tables of the thread, shared with the threads that start processes.
#[derive(Debug)]
pub(crate) struct Supervisor {
    epoll: OwnedFd,
    /// The process that the thread runs in.
    pid: u32,
    /// Wakes the thread when its sleep would be too long.
    wake: OwnedFd,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    children: HashMap<u64, (Arc<Child>, Option<Instant>)>,
    /// When to look whether a child has taken its call.
    start_limits: BTreeSet<(Instant, u64)>,
    /// When the thread wakes up by itself, if it sleeps; `None` is never.
    wakes_at: Option<Instant>,
}

static SUPERVISOR: OnceLock<Supervisor> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

/// What an event belongs to: the key of the child, and which of its two descriptors.
fn event_data(key: u64, is_exit: bool) -> epoll::EventData {
    epoll::EventData::new_u64(key << 1 | u64::from(is_exit))
}

/// The event of the wake-up descriptor; no child has the key 0.
const WAKE: u64 = 0;

/// The children of this process whose end was not announced.
pub(crate) fn children() -> Vec<Arc<Child>> {
    Supervisor::get().filter(|_| !is_forked_copy()).map_or_else(Vec::new, |supervisor| {
        supervisor.tables.lock().children.values().map(|(child, _)| Arc::clone(child)).collect()
    })
}

/// Whether other code has forked the process in which the supervisor runs, and this is the copy.
fn is_forked_copy() -> bool {
    Supervisor::get().is_some_and(|supervisor| supervisor.pid != std::process::id())
}

impl Supervisor {
    fn get() -> Option<&'static Supervisor> {
        SUPERVISOR.get()
    }

    /// The running supervisor of this process.
    pub(crate) fn start() -> io::Result<&'static Supervisor> {
        if is_forked_copy() {
            return Err(io::Error::other(
                "this process is a forked copy of one that starts processes",
            ));
        }
        if let Some(running) = Supervisor::get() {
            return Ok(running);
        }
        let _one_at_a_time = STARTING.lock();
        if let Some(running) = Supervisor::get() {
            return Ok(running);
        }
        let supervisor = Supervisor {
            epoll: above_stdio(epoll::create(epoll::CreateFlags::CLOEXEC)?)?,
            pid: std::process::id(),
            wake: above_stdio(rustix::event::eventfd(
                0,
                EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
            )?)?,
            tables: Mutex::default(),
        };
        let data = epoll::EventData::new_u64(WAKE);
        epoll::add(&supervisor.epoll, &supervisor.wake, data, epoll::EventFlags::IN)?;
        // The thread finds the supervisor in the static, which is set before it is let go.
        let (go, wait) = std::sync::mpsc::channel();
        std::thread::Builder::new().name("mp-supervisor".to_owned()).spawn(move || {
            if let Ok(supervisor) = wait.recv() {
                Supervisor::run(supervisor);
            }
        })?;
        let supervisor = SUPERVISOR.get_or_init(|| supervisor);
        let _sent = go.send(supervisor);
        Ok(supervisor)
    }

    /// Serves `child` from now on.
    pub(crate) fn adopt(&self, child: &Arc<Child>) -> io::Result<()> {
        let limit = {
            let guard = child.link.lock();
            let Some(link) = &*guard else { return Ok(()) };
            let limit = Instant::now().checked_add(link.start_limit);
            self.tables.lock().children.insert(child.key, (Arc::clone(child), limit));
            let flags = epoll::EventFlags::IN;
            epoll::add(&self.epoll, &link.socket, event_data(child.key, false), flags)
                .and_then(|()| {
                    epoll::add(&self.epoll, &child.pidfd, event_data(child.key, true), flags)
                })
                .inspect_err(|_| self.forget(child))?;
            limit
        };
        if let Some(limit) = limit {
            let mut tables = self.tables.lock();
            if tables.children.contains_key(&child.key) {
                tables.start_limits.insert((limit, child.key));
            }
            if tables.wakes_at.is_none_or(|wakes_at| limit < wakes_at) {
                tables.wakes_at = Some(limit);
                drop(tables);
                let _woken = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
            }
        }
        Ok(())
    }

    fn run(&self) {
        let mut events = Vec::with_capacity(64);
        loop {
            let timeout = self.serve_start_limits();
            events.clear();
            let spare = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("epoll fails on descriptors of our own: {error}"),
            }
            for event in &events {
                match event.data.u64() {
                    WAKE => {
                        let mut count = [0; 8];
                        let _read = rustix::io::read(&self.wake, &mut count);
                    }
                    data => self.serve(data >> 1, data & 1 == 1),
                }
            }
        }
    }

    fn serve(&self, key: u64, is_exit: bool) {
        let Some(child) = self.child(key) else { return };
        if is_exit {
            child.reap(child.link.lock());
        } else {
            child.on_readable();
        }
    }

    fn child(&self, key: u64) -> Option<Arc<Child>> {
        self.tables.lock().children.get(&key).map(|(child, _)| Arc::clone(child))
    }

    /// Takes a child that has ended out of the tables and out of the epoll set.
    fn forget(&self, child: &Child) {
        if is_forked_copy() {
            return; // the epoll set is the original's
        }
        let _gone = epoll::delete(&self.epoll, &child.pidfd);
        let mut tables = self.tables.lock();
        let forgotten = tables.children.remove(&child.key);
        if let Some((_, Some(limit))) = &forgotten {
            tables.start_limits.remove(&(*limit, child.key));
        }
        drop(tables);
        drop(forgotten);
    }

    /// Kills who has not taken its call in time; how long until the next limit.
    fn serve_start_limits(&self) -> Option<Timespec> {
        loop {
            let mut tables = self.tables.lock();
            let Some((limit, key)) = tables.start_limits.first().copied() else {
                tables.wakes_at = None;
                return None;
            };
            let left = limit.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                tables.wakes_at = Some(limit);
                return Timespec::try_from(left).ok();
            }
            tables.start_limits.pop_first();
            drop(tables);
            if let Some(child) = self.child(key) {
                child.kill_if_stalled();
            }
        }
    }
}

/// A process descriptor for a child that was just spawned; `None` if other code of this program has
/// reaped it already.
pub(crate) fn open_pidfd(pid: u32) -> io::Result<Option<OwnedFd>> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(above_stdio(pidfd)?)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What stands for the pidfd of a child that is gone: readable for ever.
pub(crate) fn ended_pidfd() -> io::Result<OwnedFd> {
    above_stdio(rustix::event::eventfd(1, EventfdFlags::CLOEXEC)?)
}

/// The same descriptor, under another number if this one stands for standard input or output.
///
/// A program that has closed those would otherwise write its output into a socket of ours.
pub(crate) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, 3)?)
}
