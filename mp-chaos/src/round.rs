//! One round from its start to its end, and what must hold after each, whatever was played.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

use crate::company::Company;
use crate::holdings::Holdings;
use crate::options::Options;
use crate::plan::Plan;
use crate::report;
use crate::sabotage::Sabotage;
use crate::scenes::Playing;
use crate::scenes::memory::NAMED;
use crate::strike::{Striker, Struck};
use crate::watchdog::{Watchdog, descendants};

/// What became of a round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) processes: usize,
    pub(crate) struck: Vec<Struck>,
    /// How far everybody came.
    pub(crate) board: String,
    /// Of a round that hangs: what everybody waits for.
    pub(crate) seen: String,
    /// What does not hold.
    pub(crate) problems: Vec<String>,
}

impl Outcome {
    pub(crate) fn of_problem(problem: &str) -> Outcome {
        Outcome { problems: vec![problem.to_owned()], ..Outcome::default() }
    }
}

/// How long the system has to take back what a round has used.
const SETTLING: Duration = Duration::from_secs(5);
/// The time between two looks at what goes away at once, and at what takes a while.
const BRIEFLY: Duration = Duration::from_micros(200);
const A_MOMENT: Duration = Duration::from_millis(10);

const KILLED: i32 = Signal::KILL.as_raw();
const TERMINATED: i32 = Signal::TERM.as_raw();

/// Plays a round, and looks at what is left.
pub(crate) fn play(plan: &Plan, options: &Options, base: &Holdings) -> Outcome {
    let mut outcome = Outcome::default();
    let names_before = names();
    if let Err(error) = act_out(plan, options, &mut outcome) {
        outcome.problems.push(format!("the director cannot go on: {error:#?}"));
    }
    let problems = &mut outcome.problems;
    let deadline = Instant::now() + SETTLING;
    let left = settle(
        deadline,
        BRIEFLY,
        || {
            reap_orphans(problems);
            descendants()
        },
        Vec::is_empty,
    );
    for pid in left {
        problems.push(format!("process {pid} is left: {}", report::command_line(pid)));
    }
    // Threads end in the kernel's own time, which announces nothing.
    let held = settle(deadline, BRIEFLY, Holdings::now, |held| !held.is_more_than(base));
    if held.is_more_than(base) {
        problems.push(format!("the director holds {held:#?}, at the start {base:#?}"));
    }
    // What was parked for a queue that is gone is given back once a second.
    let shared = settle(deadline, A_MOMENT, shared, String::is_empty);
    if !shared.is_empty() {
        problems.push(format!("shared objects are left:\n{shared}"));
    }
    // Other programs have names there for a moment.
    let new = || names().difference(&names_before).cloned().collect::<Vec<_>>();
    let left = settle(deadline, A_MOMENT, new, Vec::is_empty);
    if !left.is_empty() {
        problems.push(format!("names are left: {left:?}"));
    }
    outcome
}

/// Looks again and again until all is settled or the deadline has come; what was seen last.
fn settle<T>(
    deadline: Instant,
    pause: Duration,
    mut look: impl FnMut() -> T,
    is_settled: impl Fn(&T) -> bool,
) -> T {
    loop {
        let seen = look();
        if is_settled(&seen) || Instant::now() >= deadline {
            return seen;
        }
        std::thread::sleep(pause);
    }
}

fn act_out(plan: &Plan, options: &Options, outcome: &mut Outcome) -> mp::Result<()> {
    let (cues, line) = std::io::pipe()?;
    if options.sabotage == Some(Sabotage::KeepDescriptor) {
        std::mem::forget(std::fs::File::open("/dev/null")?);
    }
    if options.sabotage == Some(Sabotage::KeepMemory) {
        std::mem::forget(mp::RawValue::new(7_u64)?);
    }
    if options.sabotage == Some(Sabotage::ForgetChild) {
        std::process::Command::new("sleep").arg("600").spawn()?;
    }
    let mut company = Company::new(plan, line, options.sabotage)?;
    let striker = Striker::start(plan.strikes.clone(), cues);
    let watchdog = {
        let (plan, board, again) = (plan.clone(), company.notes(), report::again(plan, options));
        let delivered = striker.delivered();
        Watchdog::watch(options.limit, move |seen| {
            let (struck, board) = (delivered(), Company::board(&plan, &board));
            let hang = Outcome { struck, board, seen, ..Outcome::of_problem("the round hangs") };
            report::failure(&plan, &hang, &again);
            std::process::exit(1);
        })
    };
    let scenes = plan.scenes.iter().map(|scene| scene.begin(&mut company));
    let mut scenes: Vec<Box<dyn Playing>> = scenes.collect::<mp::Result<_>>()?;
    company.begin()?;
    let all: Vec<Vec<String>> = std::thread::scope(|scope| {
        let attended: Vec<_> =
            scenes.iter_mut().map(|scene| scope.spawn(|| attend(&mut **scene, &company))).collect();
        attended
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| vec!["the director panicked".to_owned()])
            })
            .collect()
    });
    outcome.problems.extend(all.into_iter().flatten());
    outcome.processes = company.size();
    company.wait_for_everybody();
    let struck = company.close_line(striker);
    company.check(&struck, &mut outcome.problems);
    for scene in &mut scenes {
        if let Err(error) = scene.check(&company, &struck, &mut outcome.problems) {
            outcome.problems.push(format!("a scene cannot be looked at: {error:#?}"));
        }
    }
    outcome.struck = struck;
    outcome.board = Company::board(plan, &company.notes());
    drop(scenes);
    drop(company);
    watchdog.calm();
    Ok(())
}

fn attend(scene: &mut dyn Playing, company: &Company) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(error) = scene.attend(company, &mut problems) {
        problems.push(format!("the director of a scene cannot go on: {error:#?}"));
    }
    problems
}

/// Collects those whose parents have died, and who have ended by now: they are this process's, which nobody else knows.
/// With their parents they are killed, or end by themselves.
fn reap_orphans(problems: &mut Vec<String>) {
    let mine: BTreeSet<u32> = mp::active_children().iter().map(|child| child.pid()).collect();
    for pid in mp_testing::system::children_of(std::process::id()) {
        if mine.contains(&pid) {
            continue;
        }
        let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        if let Ok(Some((_, status))) = waitpid(Some(id), WaitOptions::NOHANG)
            && status.exit_status() != Some(0)
            && !matches!(status.terminating_signal(), Some(KILLED | TERMINATED))
        {
            problems.push(format!("orphan {pid} ended badly: {status:?}"));
        }
    }
}

/// The locks, queues, pools and servers that there are, in words.
fn shared() -> String {
    match mp::inspect() {
        Ok(seen) if seen.locks.is_empty() && seen.queues.is_empty() => {
            let pools = seen.pools.iter().map(|pool| &pool.name);
            pools.chain(seen.servers.iter().map(|server| &server.name)).cloned().collect()
        }
        Ok(seen) => seen.to_string(),
        // Nothing was shared yet.
        Err(mp::InspectError::NoSession { .. }) => String::new(),
        Err(error) => error.to_string(),
    }
}

/// What of ours has a name.
fn names() -> BTreeSet<String> {
    let dirs = ["/dev/shm".into(), std::env::temp_dir()];
    let entries = dirs.into_iter().filter_map(|dir| std::fs::read_dir(dir).ok());
    let names = entries.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    // Those of the tests of the library and of other storms are not of this one.
    let own = format!("{NAMED}{}-", std::process::id());
    let is_ours = |name: &String| {
        (name.starts_with("mp-") || name.starts_with("mp_"))
            && !name.starts_with("mp-test")
            && (name.starts_with(&own) || !name.starts_with(NAMED))
    };
    names.filter(is_ours).collect()
}
