//! Storms: a crew of processes under load, of whom one after the other is killed at a random instant and
//! replaced.

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that cannot go on panics, and says why"
)]
#![allow(missing_debug_implementations, reason = "no test prints these")]

use std::fs::File;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mp::RawArray;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use crate::limits::{LONG, comes_true};
use crate::system::{is_asleep, is_stopped, signal};

/// The time within which survivors go on after a death, if the system lets them run.
pub const LIMIT: Duration = Duration::from_millis(200);
/// What is allowed beyond that, because a crew has more processes than there are processors.
pub const MARGIN: Duration = Duration::from_millis(100);

/// A survivor that did not go on at once after a death. Nobody goes on after long because its turn has come at last:
/// it hangs. Shorter stalls over the limit one in a hundred may have, where processes of others keep the processors
/// from the crew.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// All of it.
    pub time: Duration,
    /// Without the time that it, or another, waited for a processor.
    pub net: Duration,
    /// Without the time that any of them did.
    pub net_of_all: Duration,
}

/// Random numbers that a seed repeats.
pub struct Dice(u64);

impl Dice {
    /// Prints the seed; `MP_STORM_SEED` gives one.
    pub fn of_this_storm() -> Dice {
        let given = std::env::var("MP_STORM_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or_else(|| u64::from(now.subsec_nanos()) ^ now.as_secs() << 20);
        eprintln!("MP_STORM_SEED={seed}");
        Dice(seed)
    }

    /// One that repeats.
    pub fn with_seed(seed: u64) -> Dice {
        Dice(seed)
    }

    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// A position among `len`.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// A time shorter than `limit`, slept or computed away.
    pub fn pass_less_than(&mut self, limit: Duration) {
        let time = Duration::from_nanos(self.below(limit.as_nanos().try_into().unwrap()));
        if time > Duration::from_micros(500) {
            return std::thread::sleep(time);
        }
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }
}

/// How many kills a storm has: `usual`, or what `MP_STORM` says.
pub fn kills(usual: usize) -> usize {
    std::env::var("MP_STORM").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}

/// How long a storm of so many kills may take.
pub fn limit_of(kills: usize) -> Duration {
    LONG * u32::try_from(1 + kills / 200).unwrap()
}

/// Where one of the crew is, as it says itself: it wants nothing.
pub const OUT: u64 = 0;
/// It asks for it.
pub const ENTERING: u64 = 1;
/// It has it.
pub const INSIDE: u64 = 2;
/// It gives it back.
pub const LEAVING: u64 = 3;

/// The words of each place on the board.
const PHASE: usize = 0;
const ROUNDS: usize = 1;
const IS_BORN: usize = 2;
const WORDS: usize = 3;

/// Where the crew tells what it does. Each place is written by its process alone.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub struct Board(RawArray<u64>);

impl Board {
    fn new(places: usize) -> Board {
        // The last word tells everybody to end.
        Board(RawArray::zeroed(places * WORDS + 1).unwrap())
    }

    fn get(&self, place: usize, word: usize) -> u64 {
        self.0.get(place * WORDS + word).unwrap()
    }

    fn set(&self, place: usize, word: usize, value: u64) {
        self.0.set(place * WORDS + word, value).unwrap();
    }

    /// Where the one at this place is.
    pub fn phase(&self, place: usize) -> u64 {
        self.get(place, PHASE)
    }

    /// Tells where the one at this place is.
    pub fn set_phase(&self, place: usize, phase: u64) {
        self.set(place, PHASE, phase);
    }

    /// How often this place has come round, in all of its lives.
    pub fn rounds(&self, place: usize) -> u64 {
        self.get(place, ROUNDS)
    }

    /// Tells that the one at this place has come round.
    pub fn count_round(&self, place: usize) {
        self.set(place, ROUNDS, self.rounds(place) + 1);
        self.set(place, IS_BORN, 1);
    }

    /// Whether everybody is to end.
    pub fn is_over(&self) -> bool {
        self.0.get(self.0.len() - 1).unwrap() != 0
    }
}

/// How long the threads of a process have waited for a processor, in all; nothing where the system does
/// not tell.
fn queued(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let nanos = tasks.filter_map(|task| {
        let told = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        told.split(' ').nth(1)?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// The processes under load; each is started with its place on the board.
pub struct Crew<'a> {
    /// The board.
    pub board: Board,
    members: Vec<mp::Process<()>>,
    start: Box<dyn Fn(Board, usize) -> mp::Process<()> + 'a>,
    /// The longest time from a kill until a survivor had come round.
    longest: Duration,
    /// Which stalls are more than that.
    hangs: fn(&Stall) -> bool,
    /// How many stalls there were, and how many of them were over the limit.
    stalls: (usize, usize),
    /// The same without the time that it, or another, waited for a processor.
    longest_net: Duration,
    _turn: PhantomData<&'a Turn>,
}

static TURN: Mutex<()> = Mutex::new(());

/// That no other storm is on, here or in another program.
#[derive(Debug)]
pub struct Turn {
    _file: File,
    _here: MutexGuard<'static, ()>,
}

/// Waits until no other storm is on: two of them on few processors would measure each other, and count what the other
/// holds.
#[must_use = "the turn ends when this is dropped"]
pub fn take_turn() -> Turn {
    let here = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Beside the programs of the tests.
    let path = std::env::current_exe().unwrap().with_file_name("storm");
    let file = File::options().create(true).append(true).open(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    Turn { _file: file, _here: here }
}

impl<'a> Crew<'a> {
    /// Starts everybody, and waits until all have come round.
    pub fn start(
        turn: &'a Turn,
        places: usize,
        start: impl Fn(Board, usize) -> mp::Process<()> + 'a,
    ) -> Crew<'a> {
        let crew = Crew::start_any(turn, places, start);
        assert!(comes_true(|| (0..places).all(|place| crew.is_born(place))), "nobody comes round");
        crew
    }

    /// The same, for those who do not come round by themselves.
    pub fn start_any(
        _: &'a Turn,
        places: usize,
        start: impl Fn(Board, usize) -> mp::Process<()> + 'a,
    ) -> Crew<'a> {
        let board = Board::new(places);
        let members = (0..places).map(|place| start(board.clone(), place)).collect();
        Crew {
            board,
            members,
            start: Box::new(start),
            longest: Duration::ZERO,
            hangs: |stall| stall.net > Duration::from_secs(2),
            stalls: (0, 0),
            longest_net: Duration::ZERO,
            _turn: PhantomData,
        }
    }

    /// Has other stalls count as hanging than those of two seconds.
    #[must_use]
    pub fn hanging(mut self, hangs: fn(&Stall) -> bool) -> Crew<'a> {
        self.hangs = hangs;
        self
    }

    /// Whether one has come round since it was started.
    pub fn is_born(&self, place: usize) -> bool {
        self.board.get(place, IS_BORN) != 0
    }

    /// All but one who have come round at least once since they were started.
    fn born_without(&self, place: usize) -> Vec<usize> {
        (0..self.size()).filter(|&other| other != place && self.is_born(other)).collect()
    }

    /// Chooses somebody to be killed, who may have just been started, while at least two others work.
    pub fn choose(&self, dice: &mut Dice) -> usize {
        let victim = dice.index(self.size());
        assert!(
            comes_true(|| self.born_without(victim).len() >= 2),
            "the others do not come round"
        );
        victim
    }

    /// Whether one is where `phase` says, and asleep.
    pub fn sleeps_in(&self, place: usize, phase: u64) -> bool {
        let pid = self.pid(place);
        self.board.phase(place) == phase && is_asleep(pid, pid)
    }

    /// Whether everybody is where `phase` says, and asleep.
    pub fn all_sleep_in(&self, phase: u64) -> bool {
        (0..self.size()).all(|place| self.sleeps_in(place, phase))
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The pid of a member.
    pub fn pid(&self, place: usize) -> u32 {
        self.members[place].pid()
    }

    /// Stops a member wherever it is; it may be looked at then.
    pub fn stop(&self, place: usize) {
        signal(self.pid(place), Signal::STOP);
        assert!(comes_true(|| is_stopped(self.pid(place))), "it does not stop");
    }

    /// Kills a member, and waits until it has ended.
    pub fn kill(&mut self, place: usize) -> Killed {
        let queued_here = queued(std::process::id());
        let queued = (0..self.size()).map(|place| self.queued(place)).collect();
        self.members[place].kill();
        self.members[place].join().expect_err("it was killed");
        // On a busy machine a process that is killed needs its time to die.
        let at = Instant::now();
        assert_eq!(self.members[place].exitcode(), Some(-9));
        Killed { place, at, rounds: self.all_rounds(), queued, queued_here }
    }

    /// How long a member has waited for a processor, in all.
    fn queued(&self, place: usize) -> Duration {
        queued(self.pid(place))
    }

    /// How often each has come round.
    pub fn all_rounds(&self) -> Vec<u64> {
        (0..self.size()).map(|place| self.board.rounds(place)).collect()
    }

    /// Waits until all others have come round twice, so that one whole round began after the death.
    pub fn go_on_without(&mut self, killed: &Killed) {
        self.come_round_without(killed, 2);
    }

    /// Waits until all others have come round so often since the death.
    pub fn come_round_without(&mut self, killed: &Killed, times: u64) {
        let survivors = self.born_without(killed.place);
        assert!(!survivors.is_empty(), "there are none to be asked");
        let came = |place: usize| self.board.rounds(place) - killed.rounds[place];
        let mut stalls = vec![None; self.size()];
        let go_on = || {
            for &place in &survivors {
                if stalls[place].is_none() && came(place) > 0 {
                    stalls[place] = Some((killed.at.elapsed(), self.queued_since(killed, place)));
                }
            }
            survivors.iter().all(|&place| came(place) >= times)
        };
        assert!(comes_true(go_on), "the survivors of a kill hang");
        // A survivor may have waited for a processor itself, or for others who waited for one, or this
        // process did, before it did what the survivors wait for or looked at them.
        let queued: Vec<_> = stalls.iter().flatten().map(|(_, queued)| *queued).collect();
        let longest = queued.iter().max().copied().unwrap_or_default();
        let (here, all) = (killed.queued_here_since(), queued.iter().sum::<Duration>());
        for (stall, own) in stalls.into_iter().flatten() {
            self.note(stall, own + longest + here, all + here);
        }
    }

    /// Waits for what the survivors are to do after a death.
    pub fn wait_without(&mut self, killed: &Killed, is_done: impl FnMut() -> bool) {
        assert!(comes_true(is_done), "the survivors of a kill hang");
        let stall = killed.at.elapsed();
        let survivors = self.born_without(killed.place);
        let queued: Duration =
            survivors.iter().map(|&place| self.queued_since(killed, place)).sum();
        let queued = queued + killed.queued_here_since();
        self.note(stall, queued, queued);
    }

    /// Notes a stall, of which so much time may have gone by in waiting for a processor, by itself and another and by
    /// all.
    fn note(&mut self, time: Duration, queued: Duration, all: Duration) {
        let (net, net_of_all) = (time.saturating_sub(queued), time.saturating_sub(all));
        let stall = Stall { time, net, net_of_all };
        assert!(!(self.hangs)(&stall), "{stall:?}");
        self.stalls.0 += 1;
        self.stalls.1 += usize::from(net > LIMIT + MARGIN);
        self.longest = self.longest.max(time);
        self.longest_net = self.longest_net.max(net);
    }

    fn queued_since(&self, killed: &Killed, place: usize) -> Duration {
        self.queued(place).saturating_sub(killed.queued[place])
    }

    /// Starts another in the place of one that was killed.
    pub fn replace(&mut self, place: usize) {
        self.board.set_phase(place, OUT);
        self.board.set(place, IS_BORN, 0);
        self.members[place] = (self.start)(self.board.clone(), place);
    }

    /// Tells everybody to end.
    pub fn tell_to_end(&self) {
        self.board.0.set(self.board.0.len() - 1, 1).unwrap();
    }

    /// Waits until these have ended, as they must, and well.
    pub fn wait_for(&self, places: Range<usize>) {
        for member in &self.members[places] {
            assert!(member.join_timeout(LONG).unwrap(), "one hangs at the end");
        }
    }

    /// Ends everybody, who must end well, and sees that nobody had to wait too long.
    pub fn end(self) {
        self.end_by(|| ());
    }

    /// The same, for those who wait for what `wake` does.
    pub fn end_by(self, wake: impl Fn()) {
        self.tell_to_end();
        for member in &self.members {
            let has_ended = || {
                wake();
                member.join_timeout(Duration::from_millis(10)).unwrap()
            };
            assert!(comes_true(has_ended), "one hangs at the end");
        }
        let (longest, net) = (self.longest, self.longest_net);
        eprintln!("longest stall {longest:?}, {net:?} without waiting for a processor");
        let (all, over) = self.stalls;
        assert!(over <= all / 100, "{over} of {all} survivors went on after more than {LIMIT:?}");
    }
}

impl Drop for Crew<'_> {
    /// A test that fails leaves nobody behind.
    fn drop(&mut self) {
        self.members.iter().for_each(mp::Process::kill);
    }
}

/// One who was killed, and how often everybody had come round by then.
pub struct Killed {
    /// Its place.
    pub place: usize,
    /// When it had ended.
    pub at: Instant,
    rounds: Vec<u64>,
    /// How long everybody had waited for a processor, and this process.
    queued: Vec<Duration>,
    queued_here: Duration,
}

impl Killed {
    /// The same, with how often everybody had come round at another time.
    pub fn since(self, rounds: Vec<u64>) -> Killed {
        Killed { rounds, ..self }
    }

    fn queued_here_since(&self) -> Duration {
        queued(std::process::id()).saturating_sub(self.queued_here)
    }
}
