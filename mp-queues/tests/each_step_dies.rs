//! A process is killed at each single instruction of put and get, and the next one finds everything in order.
//!
//! A debugger's single steps reach what no timer does: a store that is made, and the one behind it that is not.
#![expect(unsafe_code, reason = "a debugger's calls")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{Queue, QueueError, RawArray};
use mp_testing::limits::{LONG, comes_true};
use mp_testing::storm::{Dice, kills};
use mp_testing::system::ends_within;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

/// What a process does step by step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Call {
    Put,
    PutMany,
    Get,
    GetMany,
}

/// A call, and the queue for it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Scene {
    maxsize: usize,
    /// How many blocks were full, and are empty again.
    drained: usize,
    /// How many items there are before the call.
    count: usize,
    /// Their length.
    len: usize,
    call: Call,
}

/// The words in which a process and its debugger talk.
const IS_READY: usize = 0;
const MAY_GO: usize = 1;
const IS_DONE: usize = 2;

/// How many items a call for many is about.
const MANY: usize = 3;
const SHORT_LEN: usize = 8;
/// The length of an item that fills a block, with what belongs to it.
const BLOCK_LEN: usize = (32 << 10) - 16;

fn item(number: usize, len: usize) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); len]
}

fn encoded(number: u64) -> Vec<u8> {
    mp_reduction::encode(&number).unwrap().bytes().to_vec()
}

/// Numbers for a call for many.
fn many(first: usize) -> Vec<u64> {
    (first..first + MANY).map(|number| number as u64).collect()
}

fn acts(queue: Queue<u64>, words: RawArray<u64>, call: Call) -> mp::Result<()> {
    // All that a first call does beside its work is done before.
    let own = Queue::<u64>::new()?;
    own.put_bytes(&item(1, SHORT_LEN))?;
    own.get_bytes(&mut Vec::new())?;
    own.put_many(&many(1))?;
    own.get_many(MANY)?;
    let mut bytes = Vec::with_capacity(1 << 20);
    let numbers = many(200);
    let item = item(200, SHORT_LEN);
    words.set(IS_READY, 1)?;
    while words.get(MAY_GO)? == 0 {}
    match call {
        Call::Put => queue.put_bytes(&item)?,
        Call::PutMany => queue.put_many(&numbers)?,
        Call::Get => queue.get_bytes(&mut bytes)?,
        Call::GetMany => drop(queue.get_many(MANY)?),
    }
    words.set(IS_DONE, 1)?;
    loop {
        std::thread::park();
    }
}

/// A process that is stopped before each instruction.
struct Stepped<'a>(&'a mp::Process<()>);

impl Stepped<'_> {
    fn request(&self, request: libc::c_uint) {
        let pid = libc::pid_t::try_from(self.0.pid()).unwrap();
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: none of the requests made here reads or writes memory of this process.
        let rc = unsafe { libc::ptrace(request, pid, none, none) };
        assert_eq!(rc, 0, "{}", std::io::Error::last_os_error());
    }

    /// Stops the process; `None` if that is forbidden here.
    fn stop(process: &mp::Process<()>) -> Option<Stepped<'_>> {
        let pid = libc::pid_t::try_from(process.pid()).unwrap();
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above.
        let rc = unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid, none, none) };
        if rc != 0 {
            eprintln!("skipped: {}", std::io::Error::last_os_error());
            return None;
        }
        let stepped = Stepped(process);
        stepped.request(libc::PTRACE_INTERRUPT);
        stepped.wait();
        Some(stepped)
    }

    fn wait(&self) {
        let pid = libc::pid_t::try_from(self.0.pid()).unwrap();
        let mut status = 0;
        // SAFETY: `status` is a place for it.
        let rc = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) };
        assert!(rc == pid && libc::WIFSTOPPED(status), "it ended: {status:#x}");
    }

    fn step(&self) {
        self.request(libc::PTRACE_SINGLESTEP);
        self.wait();
    }
}

impl Scene {
    fn queue(self) -> Queue<u64> {
        let queue = Queue::bounded(self.maxsize).unwrap();
        (0..self.drained).for_each(|_| queue.put_bytes(&item(1, BLOCK_LEN)).unwrap());
        (0..self.drained).for_each(|_| queue.get_bytes(&mut Vec::new()).unwrap());
        if self.drained > 0 {
            // Only then the blocks are not kept any more for another burst of items.
            std::thread::sleep(Duration::from_millis(60));
        }
        (0..self.count).for_each(|n| queue.put_bytes(&self.item(n)).unwrap());
        queue
    }

    fn item(self, number: usize) -> Vec<u8> {
        match self.call {
            Call::GetMany => encoded(number as u64),
            _ => item(number, self.len),
        }
    }

    /// Lets a process make the call, and kills it after so many steps of it, or when it is told to; how many it took,
    /// which is fewer as well if it came to the end. `None` if that is forbidden here.
    fn run(
        self,
        queue: &Queue<u64>,
        most: usize,
        is_time: impl Fn(&Queue<u64>) -> bool,
    ) -> Option<usize> {
        let words = RawArray::zeroed(3).unwrap();
        let arguments = (queue.clone(), words.clone(), self.call);
        let process = mp::Process::builder(acts, arguments).daemon(true).start().unwrap();
        assert!(comes_true(|| words.get(IS_READY).unwrap() == 1));
        let stepped = Stepped::stop(&process)?;
        words.set(MAY_GO, 1).unwrap();
        let mut steps = 0;
        while steps < most && words.get(IS_DONE).unwrap() == 0 && !is_time(queue) {
            stepped.step();
            steps += 1;
        }
        process.kill();
        assert!(ends_within(process.pid(), LONG).unwrap());
        process.join().unwrap_err();
        Some(steps)
    }

    /// Sees that the queue is in order after a death, with the items that it had, and what the call may have done.
    fn check(self, queue: &Queue<u64>, is_over: bool) -> Result<bool, String> {
        let ensure = |is_right: bool, what: &str| {
            if is_right { Ok(()) } else { Err(format!("{what}: {queue:?}")) }
        };
        let (size, is_empty, is_full) = (queue.qsize(), queue.is_empty(), queue.is_full());
        let mut bytes = Vec::new();
        let mut got = Vec::new();
        // One more after the death, which has its place behind all of them.
        let last = item(255, 20);
        let has_room = match queue.put_bytes_nowait(&last) {
            Ok(()) => true,
            Err(QueueError::Full) => false,
            Err(error) => return Err(format!("{error:?}")),
        };
        loop {
            match queue.get_bytes_nowait(&mut bytes) {
                Ok(()) => got.push(bytes.clone()),
                Err(QueueError::Empty) => break,
                Err(error) => return Err(format!("{error:?}")),
            }
        }
        ensure(!has_room || got.pop() == Some(last.clone()), "the next item is lost")?;
        let expect = |gone: usize, more: usize| {
            let before = (gone..self.count).map(|n| self.item(n));
            let numbers = many(200);
            let new = (0..more).map(|n| match self.call {
                Call::Put => item(200, SHORT_LEN),
                _ => encoded(numbers[n]),
            });
            got.iter().cloned().eq(before.chain(new))
        };
        let is_done = match self.call {
            Call::Put if expect(0, 1) => true,
            Call::PutMany if expect(0, MANY) => true,
            Call::Get if expect(1, 0) => true,
            Call::GetMany if expect(MANY, 0) => true,
            _ if expect(0, 0) => false,
            _ => {
                return Err(format!(
                    "{} items: {:?}",
                    got.len(),
                    got.iter().map(Vec::len).collect::<Vec<_>>()
                ));
            }
        };
        ensure(is_done || !is_over, "what was done is not there")?;
        ensure(is_empty == got.is_empty(), "it said wrongly whether there is nothing")?;
        ensure(
            has_room == (self.maxsize == 0 || got.len() < self.maxsize),
            "there is room or not",
        )?;
        // All is right from here on.
        ensure(queue.is_empty() && queue.qsize() == 0 && !queue.is_full(), "not empty")?;
        for round in 0..3 {
            let count = if self.maxsize == 0 { 10 } else { self.maxsize };
            for n in 0..count {
                let put = queue.put_bytes_nowait(&item(round + n, 5000 * round));
                ensure(put.is_ok(), "no room")?;
            }
            ensure(queue.is_full() == (self.maxsize > 0), "is_full")?;
            for n in 0..count {
                ensure(queue.get_bytes_nowait(&mut bytes).is_ok(), "nothing there")?;
                ensure(bytes == item(round + n, 5000 * round), "another item")?;
            }
        }
        ensure(queue.is_empty() && queue.qsize() == 0, "not empty at the end")?;
        ensure(
            size == got.len(),
            &format!("its size was told as {size} instead of {}", got.len()),
        )?;
        let expects_full = self.maxsize > 0 && got.len() >= self.maxsize;
        ensure(is_full == expects_full, "it said wrongly whether there is no room")?;
        Ok(is_done)
    }
}

/// Kills processes at instructions all over a call.
fn die_at_steps(scene: Scene, usual_kills: usize) {
    let mut dice = Dice::of_this_storm();
    let Some(all) = scene.run(&scene.queue(), usize::MAX, |_| false) else { return };
    let kills = kills(usual_kills).min(all + 1);
    let mut done = 0;
    let mut wrong = Vec::new();
    for number in 0..kills {
        // One in each of as many parts of equal length.
        let (start, end) = (all * number / kills, all * (number + 1) / kills);
        let most = start + dice.index((end - start).max(1));
        let queue = scene.queue();
        let steps = scene.run(&queue, most, |_| false).unwrap();
        match scene.check(&queue, steps < most) {
            Ok(is_done) => done += usize::from(is_done),
            Err(text) => wrong.push(format!("after {steps} of {all} steps: {text}")),
        }
    }
    eprintln!("{kills} kills in {all} steps, {done} after what the call is for");
    assert!(wrong.is_empty(), "{} times\n{}", wrong.len(), wrong.join("\n"));
    assert!(
        done < kills && (done > 0 || kills < 50),
        "none of the kills came before, or none after"
    );
}

const EMPTY: Scene = Scene { maxsize: 0, drained: 0, count: 0, len: 10, call: Call::Put };
/// A step of a debugger takes its time; `MP_STORM` asks for more.
const KILLS: usize = 5;

#[test]
fn q_27_put_may_end_after_any_step() {
    die_at_steps(Scene { count: 5, ..EMPTY }, KILLS);
}

#[test]
fn q_27_put_into_a_limited_queue_may_end_after_any_step() {
    die_at_steps(Scene { maxsize: 4, count: 3, ..EMPTY }, KILLS);
}

#[test]
fn q_27_put_that_makes_the_queue_longer_may_end_after_any_step() {
    die_at_steps(Scene { len: BLOCK_LEN, count: 2, ..EMPTY }, KILLS);
}

#[test]
fn q_27_put_of_many_may_end_after_any_step() {
    die_at_steps(Scene { count: 2, call: Call::PutMany, ..EMPTY }, KILLS);
}

#[test]
fn q_26_get_may_end_after_any_step() {
    die_at_steps(Scene { count: 3, call: Call::Get, ..EMPTY }, KILLS);
}

#[test]
fn q_26_get_from_a_full_queue_may_end_after_any_step() {
    die_at_steps(Scene { maxsize: 3, count: 3, call: Call::Get, ..EMPTY }, KILLS);
}

#[test]
fn q_26_get_that_makes_the_queue_shorter_may_end_after_any_step() {
    die_at_steps(Scene { drained: 8, count: 1, call: Call::Get, ..EMPTY }, KILLS);
}

#[test]
fn q_26_get_of_many_may_end_after_any_step() {
    die_at_steps(Scene { count: MANY + 1, call: Call::GetMany, ..EMPTY }, KILLS);
}

#[test]
fn q_26_get_of_many_from_a_full_queue_may_end_after_any_step() {
    die_at_steps(Scene { maxsize: MANY, count: MANY, call: Call::GetMany, ..EMPTY }, KILLS);
}

/// The size is changed shortly before an item is put or taken off, and stayed so when that did not happen any more.
fn die_when_the_size_has_changed(scene: Scene) {
    let queue = scene.queue();
    let is_time = |queue: &Queue<u64>| queue.qsize() != scene.count;
    if scene.run(&queue, usize::MAX, is_time).is_some() {
        scene.check(&queue, false).unwrap();
    }
}

#[test]
fn q_09_the_size_is_right_when_a_producer_has_died_after_it_counted_its_item() {
    die_when_the_size_has_changed(Scene { count: 2, ..EMPTY });
}

#[test]
fn q_09_the_size_is_right_when_a_consumer_has_died_after_it_counted_its_item() {
    die_when_the_size_has_changed(Scene { count: 2, call: Call::Get, ..EMPTY });
}

#[test]
fn q_09_a_queue_is_not_full_when_a_producer_has_died_after_it_counted_the_last_item() {
    die_when_the_size_has_changed(Scene { maxsize: 3, count: 2, ..EMPTY });
}

#[test]
fn q_09_a_queue_is_full_when_a_consumer_has_died_after_it_counted_its_item() {
    die_when_the_size_has_changed(Scene { maxsize: 2, count: 2, call: Call::Get, ..EMPTY });
}
