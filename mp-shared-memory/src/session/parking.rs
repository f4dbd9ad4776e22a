//! Parking: what belongs to a message that lies in shared memory and cannot lie there itself.
//!
//! A queue has its messages in memory, where no descriptor can be. The root of the session keeps
//! them meanwhile, and gives a ticket for each message; see [`kept`](super::kept) for how long.
//!
//! A parker that is killed before it has written the ticket down leaves what it parked until the queue's memory
//! is used by nobody. Of one that ends before it has the ticket nothing stays.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use mp_reduction::{Attachments, Part};

use super::{SessionName, keep, kind, request};
use crate::error::SharedMemoryError as Error;

/// The memory that something is parked for.
pub(crate) struct Owner<'a> {
    pub(crate) session: SessionName,
    /// What its session calls it.
    pub(crate) nonce: u64,
    /// Set once the session has a descriptor of it.
    pub(crate) is_registered: &'a AtomicU32,
    pub(crate) fd: BorrowedFd<'a>,
}

/// Has the session keep the attachments of a message; gives the ticket for them.
///
/// They stay until they are unparked, but not longer than the memory of the owner is used. What of them is the owner
/// itself is no use of it.
pub(crate) fn park(owner: &Owner<'_>, attachments: &Attachments) -> Result<u64, Error> {
    let parts = attachments.parts().iter().map(|part| to_number(*part));
    let body: Vec<u64> = [owner.nonce].into_iter().chain(parts).collect();
    let fds: Vec<_> = attachments.descriptors().iter().map(AsFd::as_fd).collect();
    let park = || {
        let answer = request(owner.session, kind::PARK, &body, &fds)?;
        answer.number.ok_or(Error::foreign("its session gave no ticket"))
    };
    if owner.is_registered.load(Ordering::Acquire) != 0 {
        match park() {
            Err(Error::Gone) => {} // it was forgotten: whoever set the mark had no lock
            outcome => return outcome,
        }
    }
    keep(owner.is_registered, owner.session, owner.nonce, owner.fd)?;
    park()
}

/// The attachments behind a ticket, as in a message that was just received; they stay parked.
pub(crate) fn fetch(owner: &Owner<'_>, ticket: u64) -> Result<Attachments, Error> {
    let answer = request(owner.session, kind::FETCH, &[owner.nonce, ticket], &[])?;
    Ok(answer.descriptors.into())
}

/// Lets go of what is behind a ticket; nothing happens if that has been done.
pub(crate) fn unpark(owner: &Owner<'_>, ticket: u64) -> Result<(), Error> {
    request(owner.session, kind::UNPARK, &[owner.nonce, ticket], &[]).map(drop)
}

fn to_number(part: Part) -> u64 {
    (part.attachment as u64) << 32 | u64::from(part.byte)
}

/// The part in a request.
pub(crate) fn from_number(number: u64) -> Part {
    let [b0, b1, b2, b3, index @ ..] = number.to_le_bytes();
    let attachment = u32::from_le_bytes(index) as usize;
    Part { attachment, byte: u32::from_le_bytes([b0, b1, b2, b3]) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::fd::OwnedFd;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use mp_reduction::{DupFd, decode_from, encode_into, wire};
    use mp_testing::system::is_stopped;
    use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
    use serde::Serialize;

    use super::*;
    use crate::RawValue;
    use crate::arena::Arena;
    use crate::bytes::{Bytes, PLAIN};
    use crate::session::{self, ANSWER_LIMIT, connect};
    use crate::sys::lock::{self, Range};
    use crate::sys::memfd;

    /// Stands for one: memory of its own with a block that leads to it.
    type Queue = Bytes<PLAIN>;

    fn queue() -> Queue {
        Queue::create(1 << 20).unwrap()
    }

    /// A message in a queue, whose bytes are elsewhere.
    struct Item {
        bytes: Vec<u8>,
        ticket: u64,
    }

    fn put<T: Serialize>(queue: &Queue, value: &T) -> Result<Item, Error> {
        let mut bytes = Vec::new();
        let attachments = encode_into(value, &mut bytes).unwrap();
        let ticket = park(&queue.as_owner().unwrap(), &attachments)?;
        Ok(Item { bytes, ticket })
    }

    fn look_at<T: serde::de::DeserializeOwned>(queue: &Queue, item: &Item) -> Result<T, Error> {
        let attachments = fetch(&queue.as_owner().unwrap(), item.ticket)?;
        Ok(decode_from(&item.bytes, &attachments).unwrap())
    }

    fn remove(queue: &Queue, item: &Item) {
        unpark(&queue.as_owner().unwrap(), item.ticket).unwrap();
    }

    /// Asks until the answer is yes; nothing announces what it is asked for.
    fn comes_true(mut question: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !question() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Tells whether a value of this process is still there, without keeping it.
    struct Probe {
        bytes: Vec<u8>,
        unlocked: Attachments,
        arena: Arc<Arena>,
    }

    impl Probe {
        fn of(value: &RawValue<u64>) -> Probe {
            let mut bytes = Vec::new();
            let attachments = encode_into(value, &mut bytes).unwrap();
            let fd = memfd::reopen(&attachments.descriptors()[0]).unwrap();
            let arena = Arena::attach(fd.as_fd()).unwrap();
            Probe { bytes, unlocked: vec![fd].into(), arena }
        }

        fn is_gone(&self) -> bool {
            self.arena.sweep();
            decode_from::<RawValue<u64>>(&self.bytes, &self.unlocked).is_err()
        }
    }

    /// A descriptor of the memory of a queue, to ask whether it is in use.
    fn probe_of(queue: &Queue) -> OwnedFd {
        memfd::reopen(queue.as_owner().unwrap().fd).unwrap()
    }

    fn is_used(probe: &OwnedFd) -> bool {
        lock::is_locked_by_other(probe, Range::ALL).unwrap()
    }

    /// A process that runs one of the functions in `role`.
    struct Role {
        process: Child,
        input: ChildStdin,
        output: BufReader<ChildStdout>,
    }

    impl Role {
        fn start(name: &str, words: &[&str]) -> Role {
            let mut process = Command::new("/proc/self/exe")
                .args(["--exact", "session::parking::tests::role", "--ignored", "--nocapture"])
                .env("MP_TEST_ROLE", [&[name], words].concat().join(" "))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let input = process.stdin.take().unwrap();
            let output = BufReader::new(process.stdout.take().unwrap());
            Role { process, input, output }
        }

        /// The next thing that it says.
        fn says(&mut self) -> Vec<String> {
            let mut line = String::new();
            while !line.contains("says ") {
                line.clear();
                assert!(self.output.read_line(&mut line).unwrap() > 0, "it has ended");
            }
            line.split_once("says ").unwrap().1.split_whitespace().map(str::to_owned).collect()
        }

        fn tell(&mut self, what: &str) -> Vec<String> {
            writeln!(self.input, "{what}").unwrap();
            self.says()
        }

        /// The descriptors of a root, after it has closed what exhausted it.
        fn count(&mut self) -> usize {
            self.tell("relieve")[0].parse().unwrap()
        }

        fn signal(&self, signal: Signal) {
            kill_process(Pid::from_child(&self.process), signal).unwrap();
        }

        fn kill_9(mut self) {
            self.signal(Signal::KILL);
            let status = self.process.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        }
    }

    impl Drop for Role {
        fn drop(&mut self) {
            let _killed = self.process.kill();
            let _reaped = self.process.wait();
        }
    }

    fn say(what: &str) {
        println!("\nsays {what}");
    }

    /// Waits until the test has ended, or kills.
    fn hold_still() {
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
    }

    #[test]
    #[ignore = "what the other processes of these tests run"]
    fn role() {
        let words = std::env::var("MP_TEST_ROLE").unwrap_or_default();
        match words.split(' ').collect::<Vec<_>>().as_slice() {
            ["puts", session, queue] => {
                session::inherit(session);
                let queue = Queue::from_token(queue).unwrap();
                let item = put(&queue, &RawValue::new(42_u64).unwrap()).unwrap();
                let bytes: String = item.bytes.iter().map(|byte| format!(" {byte}")).collect();
                say(&format!("{}{bytes}", item.ticket));
                hold_still();
            }
            ["uses", session, queue] => {
                session::inherit(session);
                let _queue = Queue::from_token(queue).unwrap();
                say("so");
                hold_still();
            }
            ["storms", session, queue, value] => {
                session::inherit(session);
                let queue = Queue::from_token(queue).unwrap();
                let value = RawValue::<u64>::from_token(value).unwrap();
                loop {
                    let items = [(); 3].map(|()| put(&queue, &value).unwrap());
                    say("so");
                    look_at::<RawValue<u64>>(&queue, &items[0]).unwrap();
                    remove(&queue, &items[0]);
                }
            }
            ["is", "root"] => {
                let queue = queue();
                say(&queue.token().unwrap());
                obeys();
            }
            _ => {}
        }
    }

    /// A root that is told how many descriptors it may have.
    fn obeys() {
        let mut ballast = Vec::new();
        for line in std::io::stdin().lines() {
            let mut limit = getrlimit(Resource::Nofile);
            limit.current = Some(100);
            match line.unwrap().as_str() {
                "exhaust" => {
                    setrlimit(Resource::Nofile, limit).unwrap();
                    while let Ok(file) = File::open("/dev/null") {
                        ballast.push(file);
                    }
                }
                _ => ballast.clear(),
            }
            let count = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
            say(&count.to_string());
        }
    }

    fn session_and_token(queue: &Queue) -> [String; 2] {
        let token = queue.token().unwrap();
        [session::to_inherit(), token]
    }

    #[test]
    fn a_parked_handle_keeps_its_object_until_it_is_unparked() {
        let queue = queue();
        let (mut reader, writer) = std::io::pipe().unwrap();
        let value = RawValue::new(7_u64).unwrap();
        let probe = Probe::of(&value);
        let item = put(&queue, &(value, DupFd::from(writer))).unwrap();
        assert!(!probe.is_gone());
        for _ in 0..2 {
            let (value, writer): (RawValue<u64>, DupFd) = look_at(&queue, &item).unwrap();
            value.set(value.get() + 1);
            writer.into::<std::io::PipeWriter>().write_all(b"x").unwrap();
        }
        assert_eq!(look_at::<(RawValue<u64>, DupFd)>(&queue, &item).unwrap().0.get(), 9);
        let fetched = fetch(&queue.as_owner().unwrap(), item.ticket).unwrap();
        remove(&queue, &item);
        remove(&queue, &item);
        assert!(!probe.is_gone(), "it is as in a message");
        drop(fetched);
        assert!(probe.is_gone());
        let mut text = Vec::new();
        reader.read_to_end(&mut text).unwrap(); // ends: nobody holds the writer any more
        assert_eq!(text, b"xx");
    }

    #[test]
    fn a_wrong_ticket_gives_nothing() {
        let (queue, other) = (queue(), queue());
        let owner = queue.as_owner().unwrap();
        assert!(matches!(fetch(&owner, 1), Err(Error::Gone)), "nothing was ever parked");
        unpark(&owner, 1).unwrap();
        let item = put(&queue, &RawValue::new(7_u64).unwrap()).unwrap();
        put(&other, &RawValue::new(8_u64).unwrap()).unwrap();
        let other = other.as_owner().unwrap();
        unpark(&other, item.ticket).unwrap();
        assert!(matches!(fetch(&other, item.ticket), Err(Error::Gone)));
        for wrong in [0, item.ticket + 1_000_000, u64::MAX] {
            unpark(&owner, wrong).unwrap();
            assert!(matches!(fetch(&owner, wrong), Err(Error::Gone)));
        }
        assert_eq!(look_at::<RawValue<u64>>(&queue, &item).unwrap().get(), 7);
    }

    #[test]
    fn what_is_parked_goes_with_the_last_user_of_the_queue() {
        let queue = queue();
        let value = RawValue::new(7_u64).unwrap();
        let probe = Probe::of(&value);
        put(&queue, &value).unwrap();
        put(&queue, &(value, &queue)).unwrap(); // the queue itself is no user
        let [session, token] = session_and_token(&queue);
        let mut user = Role::start("uses", &[&session, &token]);
        user.says();
        let looks = Instant::now();
        let memory = probe_of(&queue);
        drop(queue);
        while looks.elapsed() < Duration::from_millis(2500) {
            assert!(!probe.is_gone() && is_used(&memory), "another process uses the queue");
        }
        user.kill_9();
        assert!(comes_true(|| probe.is_gone()));
        assert!(!is_used(&memory));
    }

    #[test]
    fn a_killed_parker_takes_nothing_with_it_and_leaves_nothing() {
        let queue = queue();
        let [session, token] = session_and_token(&queue);
        let mut parker = Role::start("puts", &[&session, &token]);
        let mut said = parker.says().into_iter();
        let ticket = said.next().unwrap().parse().unwrap();
        let item = Item { ticket, bytes: said.map(|byte| byte.parse().unwrap()).collect() };
        parker.kill_9();
        // The creator of the value is dead as well.
        let value: RawValue<u64> = look_at(&queue, &item).unwrap();
        assert_eq!(value.get(), 42);
        let mut bytes = Vec::new();
        let message = encode_into(&value, &mut bytes).unwrap();
        let arena = memfd::reopen(&message.descriptors()[0]).unwrap();
        drop((value, message));
        assert!(is_used(&arena));
        drop(queue);
        assert!(comes_true(|| !is_used(&arena)));
    }

    #[test]
    fn parkers_that_are_killed_at_any_moment_leave_nothing_but_what_they_parked() {
        let queue = queue();
        let (value, mine) = (RawValue::new(1_u64).unwrap(), RawValue::new(2_u64).unwrap());
        let probe = Probe::of(&value);
        let item = put(&queue, &mine).unwrap();
        drop(mine);
        let [session, token] = session_and_token(&queue);
        let value_token = value.token().unwrap();
        let words = [session.as_str(), &token, &value_token];
        let mut parkers = [(); 3].map(|()| Role::start("storms", &words));
        for round in 0..20 {
            let parker = &mut parkers[round % 3];
            for _ in 0..=round {
                parker.says();
            }
            std::mem::replace(parker, Role::start("storms", &words)).kill_9();
        }
        assert_eq!(look_at::<RawValue<u64>>(&queue, &item).unwrap().get(), 2);
        parkers.into_iter().for_each(Role::kill_9);
        drop(value);
        assert!(!probe.is_gone(), "the queue still has it");
        drop(queue);
        assert!(comes_true(|| probe.is_gone()));
    }

    #[test]
    fn a_queue_in_a_queue_lives_and_goes_with_it() {
        let (outer, inner) = (queue(), queue());
        let value = RawValue::new(7_u64).unwrap();
        let probe = Probe::of(&value);
        let value = put(&inner, &value).map(|item| (item, value)).unwrap().0;
        let item = put(&outer, &inner).unwrap();
        let memory = probe_of(&inner);
        drop(inner);
        let looks = Instant::now();
        while looks.elapsed() < Duration::from_millis(2500) {
            assert!(!probe.is_gone() && is_used(&memory));
        }
        let inner: Queue = look_at(&outer, &item).unwrap();
        assert_eq!(look_at::<RawValue<u64>>(&inner, &value).unwrap().get(), 7);
        put(&inner, &outer).unwrap(); // and in each other
        drop(inner);
        let outer_memory = probe_of(&outer);
        drop(outer);
        assert!(comes_true(|| probe.is_gone()));
        assert!(!is_used(&memory) && !is_used(&outer_memory));
    }

    #[test]
    fn a_root_without_descriptors_refuses_and_keeps_nothing() {
        let mut root = Role::start("is", &["root"]);
        let queue = Queue::from_token(&root.says()[0]).unwrap();
        let value = RawValue::new(7_u64).unwrap();
        let probe = Probe::of(&value);
        let item = put(&queue, &value).unwrap();
        let before = root.count();
        root.tell("exhaust");
        let is_refused = |error: &Error| {
            let Error::SessionExhausted { source } = error else { return false };
            source.raw_os_error() == Some(libc::EMFILE) && error.to_string().contains("NOFILE")
        };
        let pipe = || DupFd::from(std::io::pipe().unwrap().0);
        for _ in 0..50 {
            let fds: Vec<DupFd> = (0..20).map(|_| pipe()).collect();
            let error = put(&queue, &(&value, fds)).map(drop).unwrap_err();
            assert!(is_refused(&error), "{error:?}");
        }
        let error = look_at::<RawValue<u64>>(&queue, &item).map(drop).unwrap_err();
        assert!(is_refused(&error), "{error:?}");
        // A connection that it is just closing may be counted, before as well.
        assert!(comes_true(|| root.count() <= before));
        assert_eq!(look_at::<RawValue<u64>>(&queue, &item).unwrap().get(), 7);
        drop(value);
        root.tell("exhaust");
        remove(&queue, &item); // needs none
        assert!(probe.is_gone());
    }

    #[test]
    fn a_stopped_root_is_an_error_and_keeps_nothing_when_it_goes_on() {
        let mut root = Role::start("is", &["root"]);
        let queue = Queue::from_token(&root.says()[0]).unwrap();
        let value = RawValue::new(7_u64).unwrap();
        let item = put(&queue, &value).unwrap();
        root.signal(Signal::STOP);
        assert!(comes_true(|| is_stopped(root.process.id())));
        let parked = Instant::now();
        let other = RawValue::new(8_u64).unwrap();
        let probe = Probe::of(&other);
        let error = put(&queue, &other).map(drop).unwrap_err();
        assert!(matches!(error, Error::SessionUnreachable { .. }), "{error:?}");
        assert!(parked.elapsed() >= ANSWER_LIMIT);
        drop(other);
        assert!(!probe.is_gone(), "the request is on its way");
        root.signal(Signal::CONT);
        assert!(comes_true(|| probe.is_gone()));
        assert_eq!(look_at::<RawValue<u64>>(&queue, &item).unwrap().get(), 7);
        root.kill_9();
        let error = put(&queue, &value).map(drop).unwrap_err();
        assert!(matches!(error, Error::SessionUnreachable { .. }), "{error:?}");
    }

    #[test]
    fn who_breaks_the_protocol_is_cut_off() {
        let queue = queue();
        let value = RawValue::new(7_u64).unwrap();
        let item = put(&queue, &value).unwrap();
        let Owner { session, nonce, fd, .. } = queue.as_owner().unwrap();
        let ends = |kind: u8, body: &[u64], fds: &[BorrowedFd<'_>]| {
            let body: Vec<u8> = body.iter().flat_map(|number| number.to_le_bytes()).collect();
            let mut socket = connect(session).unwrap();
            wire::send_frame(&socket, kind, &body, fds).unwrap();
            let end = socket.read(&mut [0]);
            assert!(matches!(end, Ok(0) | Err(_)), "kind {kind} got an answer");
        };
        let null = File::open("/dev/null").unwrap();
        let (null, far) = (null.as_fd(), 1_u64 << 32);
        for kind in (0..20).chain([u8::MAX]).filter(|kind| *kind != kind::WATCH) {
            ends(kind, &[], &[]);
            ends(kind, &[nonce, 1, 2, far], &[null]);
        }
        ends(kind::REGISTER, &[nonce], &[]);
        ends(kind::REGISTER, &[nonce], &[null]);
        ends(kind::REGISTER, &[nonce + 1], &[fd]);
        ends(kind::RESOLVE, &[nonce], &[null]);
        ends(kind::PARK, &[nonce], &[]);
        ends(kind::PARK, &[nonce, far], &[fd]);
        ends(kind::PARK, &[nonce, 3, 2], &[fd]);
        ends(kind::FETCH, &[nonce], &[]);
        ends(kind::UNPARK, &[nonce, item.ticket], &[null]);
        let mut garbage = connect(session).unwrap();
        garbage.write_all(&[0xab; 200]).unwrap();
        let silent: Vec<_> = (0..40).map(|_| connect(session).unwrap()).collect();
        let half = connect(session).unwrap();
        (&half).write_all(b"\xf7mp1\x06").unwrap();
        assert_eq!(look_at::<RawValue<u64>>(&queue, &item).unwrap().get(), 7);
        drop((silent, half));
    }

    #[test]
    fn twenty_thousand_items_take_one_descriptor_and_few_locks() {
        let output = Command::new("/proc/self/exe")
            .args(["--exact", "session::parking::tests::in_a_process_of_its_own", "--ignored"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "run by the test of twenty thousand items, where nothing else opens anything"]
    fn in_a_process_of_its_own() {
        let queue = queue();
        let values = [1, 2, 3].map(|n| RawValue::new(n).unwrap());
        let last = put(&queue, &values[2]).unwrap();
        let mut bytes = Vec::new();
        let message = encode_into(&values, &mut bytes).unwrap();
        let inode = memfd::identity(&message.descriptors()[0]).unwrap().1;
        let locks = || {
            let locks = std::fs::read_to_string("/proc/locks").unwrap();
            locks.lines().filter(|line| line.contains(&format!(":{inode} "))).count()
        };
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let (before, locked) = (descriptors(), locks());
        let owner = queue.as_owner().unwrap();
        let tickets: Vec<u64> = (0..20_000).map(|_| park(&owner, &message).unwrap()).collect();
        // A connection that the root is just closing may be counted, before as well.
        assert!(comes_true(|| descriptors() <= before));
        assert!(locks() <= locked + 1, "{} locks after {locked}", locks());
        for ticket in tickets {
            let fetched = fetch(&owner, ticket).unwrap();
            assert_eq!(fetched.descriptors().len(), 1);
            unpark(&owner, ticket).unwrap();
        }
        assert!(comes_true(|| descriptors() <= before));
        remove(&queue, &last);
        drop(message);
        let probes = values.each_ref().map(Probe::of);
        drop(values);
        assert!(probes.iter().all(Probe::is_gone));
    }
}
