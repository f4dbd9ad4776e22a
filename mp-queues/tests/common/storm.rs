//! Storms: a crew of processes under load, of whom one after the other is killed at a random instant and
//! replaced.

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mp::RawArray;
use mp_testing::system::is_asleep;
use rustix::fs::{FlockOperation, flock};

use super::{LONG, comes_true};

/// The time within which survivors go on after a death, if the system lets them run.
pub(crate) const LIMIT: Duration = Duration::from_millis(200);
/// What is allowed beyond that, because a crew has more processes than there are processors.
pub(crate) const MARGIN: Duration = Duration::from_millis(100);

/// Nobody goes on after so long because its turn has come at last: it hangs. Between the two limits one in a
/// hundred may be, where processes of others keep the processors from the crew.
const HANG: Duration = Duration::from_secs(1);

/// Random numbers that a seed repeats.
pub(crate) struct Dice(u64);

impl Dice {
    /// Prints the seed; `MP_STORM_SEED` gives one.
    pub(crate) fn of_this_storm() -> Dice {
        let given = std::env::var("MP_STORM_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or_else(|| u64::from(now.subsec_nanos()) ^ now.as_secs() << 20);
        eprintln!("MP_STORM_SEED={seed}");
        Dice(seed)
    }

    pub(crate) fn with_seed(seed: u64) -> Dice {
        Dice(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }

    /// A time shorter than `limit`, slept or computed away.
    pub(crate) fn pass_less_than(&mut self, limit: Duration) {
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
pub(crate) fn kills(usual: usize) -> usize {
    std::env::var("MP_STORM").ok().and_then(|kills| kills.parse().ok()).unwrap_or(usual)
}

/// Where one of the crew is, as it says itself.
pub(crate) const OUT: u64 = 0;
pub(crate) const INSIDE: u64 = 1;

/// The words of each place on the board.
const PHASE: usize = 0;
const ROUNDS: usize = 1;
const IS_BORN: usize = 2;
const WORDS: usize = 3;

/// Where the crew tells what it does. Each place is written by its process alone.
#[derive(Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Board(RawArray<u64>);

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

    pub(crate) fn phase(&self, place: usize) -> u64 {
        self.get(place, PHASE)
    }

    pub(crate) fn set_phase(&self, place: usize, phase: u64) {
        self.set(place, PHASE, phase);
    }

    /// How often this place has come round, in all of its lives.
    pub(crate) fn rounds(&self, place: usize) -> u64 {
        self.get(place, ROUNDS)
    }

    pub(crate) fn count_round(&self, place: usize) {
        self.set(place, ROUNDS, self.rounds(place) + 1);
        self.set(place, IS_BORN, 1);
    }

    pub(crate) fn is_over(&self) -> bool {
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
pub(crate) struct Crew<'a> {
    pub(crate) board: Board,
    members: Vec<mp::Process<()>>,
    start: Box<dyn Fn(Board, usize) -> mp::Process<()> + 'a>,
    /// The longest time from a kill until a survivor had come round.
    longest: Duration,
    /// How many stalls there were, and how many of them were over the limit.
    stalls: (usize, usize),
    /// The same without the time that it, or another, waited for a processor.
    longest_net: Duration,
}

static TURN: Mutex<()> = Mutex::new(());

/// That no other storm is on, here or in another program.
pub(crate) struct Turn {
    _file: File,
    _here: MutexGuard<'static, ()>,
}

/// Waits until no other storm is on: two of them on few processors would measure each other, and count what the other
/// holds.
#[must_use = "the turn ends when this is dropped"]
pub(crate) fn take_turn() -> Turn {
    let here = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/storm");
    let file = File::options().create(true).append(true).open(path).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    Turn { _file: file, _here: here }
}

impl<'a> Crew<'a> {
    pub(crate) fn start(
        places: usize,
        start: impl Fn(Board, usize) -> mp::Process<()> + 'a,
    ) -> Crew<'a> {
        let crew = Crew::start_any(places, start);
        assert!(comes_true(|| (0..places).all(|place| crew.is_born(place))), "nobody comes round");
        crew
    }

    /// The same, for those who do not come round by themselves.
    pub(crate) fn start_any(
        places: usize,
        start: impl Fn(Board, usize) -> mp::Process<()> + 'a,
    ) -> Crew<'a> {
        let board = Board::new(places);
        let members = (0..places).map(|place| start(board.clone(), place)).collect();
        let (longest, longest_net) = (Duration::ZERO, Duration::ZERO);
        let start = Box::new(start);
        let stalls = (0, 0);
        Crew { board, members, start, longest, stalls, longest_net }
    }

    pub(crate) fn is_born(&self, place: usize) -> bool {
        self.board.get(place, IS_BORN) != 0
    }

    /// All but one who have come round at least once since they were started.
    fn born_without(&self, place: usize) -> Vec<usize> {
        (0..self.len()).filter(|&other| other != place && self.is_born(other)).collect()
    }

    /// Chooses somebody to be killed, who may have just been started, while at least two others work.
    pub(crate) fn choose(&self, dice: &mut Dice) -> usize {
        let victim = dice.index(self.len());
        assert!(
            comes_true(|| self.born_without(victim).len() >= 2),
            "the others do not come round"
        );
        victim
    }

    /// Whether one is where `phase` says, and asleep.
    pub(crate) fn sleeps_in(&self, place: usize, phase: u64) -> bool {
        let pid = self.pid(place);
        self.board.phase(place) == phase && is_asleep(pid, pid)
    }

    /// Whether everybody is where `phase` says, and asleep.
    pub(crate) fn all_sleep_in(&self, phase: u64) -> bool {
        (0..self.len()).all(|place| self.sleeps_in(place, phase))
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn pid(&self, place: usize) -> u32 {
        self.members[place].pid()
    }

    /// Kills a member, and waits until it has ended.
    pub(crate) fn kill(&mut self, place: usize) -> Killed {
        let queued_here = queued(std::process::id());
        let queued = (0..self.len()).map(|place| self.queued(place)).collect();
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

    pub(crate) fn all_rounds(&self) -> Vec<u64> {
        (0..self.len()).map(|place| self.board.rounds(place)).collect()
    }

    /// Waits until all others have come round twice, so that one whole round began after the death.
    pub(crate) fn go_on_without(&mut self, killed: &Killed) {
        self.come_round_without(killed, 2);
    }

    /// Waits until all others have come round so often since the death.
    pub(crate) fn come_round_without(&mut self, killed: &Killed, times: u64) {
        let survivors = self.born_without(killed.place);
        assert!(!survivors.is_empty(), "there are none to be asked");
        let came = |place: usize| self.board.rounds(place) - killed.rounds[place];
        let mut stalls = vec![None; self.len()];
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

    /// Notes a stall, of which some time may have gone by in waiting for a processor, at most `all`.
    fn note(&mut self, stall: Duration, queued: Duration, all: Duration) {
        let net = stall.saturating_sub(queued);
        assert!(stall.saturating_sub(all) <= HANG, "{stall:?}, of which {all:?} for a processor");
        self.stalls.0 += 1;
        self.stalls.1 += usize::from(net > LIMIT + MARGIN);
        self.longest = self.longest.max(stall);
        self.longest_net = self.longest_net.max(net);
    }

    fn queued_since(&self, killed: &Killed, place: usize) -> Duration {
        self.queued(place).saturating_sub(killed.queued[place])
    }

    pub(crate) fn replace(&mut self, place: usize) {
        self.board.set_phase(place, OUT);
        self.board.set(place, IS_BORN, 0);
        self.members[place] = (self.start)(self.board.clone(), place);
    }

    /// Tells everybody to end.
    pub(crate) fn tell_to_end(&self) {
        self.board.0.set(self.board.0.len() - 1, 1).unwrap();
    }

    /// Waits until these have ended, as they must, and well.
    pub(crate) fn wait_for(&self, places: std::ops::Range<usize>) {
        for member in &self.members[places] {
            assert!(member.join_timeout(LONG).unwrap(), "one hangs at the end");
        }
    }

    /// Waits until everybody has ended, and sees that nobody had to wait too long meanwhile.
    pub(crate) fn end(self) {
        self.wait_for(0..self.len());
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
pub(crate) struct Killed {
    pub(crate) place: usize,
    pub(crate) at: Instant,
    rounds: Vec<u64>,
    /// How long everybody had waited for a processor, and this process.
    queued: Vec<Duration>,
    queued_here: Duration,
}

impl Killed {
    fn queued_here_since(&self) -> Duration {
        queued(std::process::id()).saturating_sub(self.queued_here)
    }
}
