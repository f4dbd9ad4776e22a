//! A barrier lets its parties go on together, in whatever processes, or tells all of them why it cannot.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use mp::{Array, Barrier, BarrierError, Broken, Lock, RawArray, RawValue, SyncError};
use mp_testing::limits::{LONG, SHORT, at_once, comes_true, takes_at_least};
use mp_testing::peer::{Link, Peer, WAYS, Way};
use mp_testing::roles;

mp::enable_test_support!();

roles!(passes_in_step, waits, waits_again_and_again, logs_rounds, comes_late);

/// How many have come to each round so far.
type Arrivals = (Barrier, Lock, RawArray<u32>);

/// Passes as many rounds as there are counters; nobody may pass one before all have come to it.
fn pass_in_step((barrier, lock, counters): &Arrivals) -> mp::Result<Vec<usize>> {
    let parties = u32::try_from(barrier.parties())?;
    let pass = |round: usize| -> mp::Result<usize> {
        let guard = lock.acquire()?;
        counters.set(round, counters.get(round)? + 1)?;
        drop(guard);
        let index = barrier.wait_timeout(LONG)?;
        let come = counters.get(round)?;
        mp::ensure!(come == parties, "round {round} passed by {come}");
        Ok(index)
    };
    (0..counters.len()).map(pass).collect()
}

/// Says its numbers of arrival.
fn passes_in_step(handles: Arrivals, link: &mut Link) -> mp::Result<()> {
    let indices = pass_in_step(&handles)?;
    link.say(indices.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
    Ok(())
}

/// Waits, and says how that ended.
fn waits(barrier: Barrier, link: &mut Link) -> mp::Result<()> {
    let outcome = outcome(barrier.wait_timeout(LONG));
    link.say(outcome);
    Ok(())
}

fn outcome(waited: Result<usize, BarrierError>) -> String {
    waited.map_or_else(|error| error.to_string(), |index| format!("passed as {index}"))
}

/// As often as it is told to.
fn waits_again_and_again(barrier: Barrier, link: &mut Link) -> mp::Result<()> {
    while link.hear()? == "wait" {
        let outcome = outcome(barrier.wait_timeout(LONG));
        link.say(outcome);
    }
    Ok(())
}

/// Writes down the number of the round, in each of 1000 rounds.
fn logs_rounds(
    (barrier, log, used): (Barrier, Array<u32>, RawValue<u32>),
    _: &mut Link,
) -> mp::Result<()> {
    for round in 0..1000 {
        barrier.wait_timeout(LONG)?;
        let mut log = log.lock()?;
        log[usize::try_from(used.get())?] = round;
        used.set(used.get() + 1);
    }
    Ok(())
}

/// Comes when it is told to, after the others have waited in vain.
fn comes_late(barrier: Barrier, link: &mut Link) -> mp::Result<()> {
    link.hear()?;
    let outcome = outcome(barrier.wait_timeout(Duration::from_millis(500)));
    link.say(outcome);
    Ok(())
}

fn start(way: Way, count: usize, barrier: &Barrier) -> Vec<Peer> {
    (0..count).map(|_| Peer::start(way, waits, barrier)).collect()
}

fn is_broken_by(waited: Result<usize, BarrierError>, by: &Broken) -> bool {
    matches!(waited, Err(BarrierError::Broken(reason)) if reason == *by)
}

#[test]
fn b_01_b_02_b_12_b_14_parties_go_in_step_and_each_round_has_all_numbers() {
    const PARTIES: usize = 4;
    for way in WAYS {
        for rounds in [1, 10, 200] {
            let barrier = Barrier::new(PARTIES).unwrap();
            let counters = RawArray::zeroed(rounds).unwrap();
            let handles = (barrier.clone(), Lock::new().unwrap(), counters);
            let start = |_| Peer::start(way, passes_in_step, &handles);
            let mut peers: Vec<_> = (1..PARTIES).map(start).collect();
            let mine = pass_in_step(&handles).unwrap();
            let numbers = |text: String| text.split(' ').map(|n| n.parse().unwrap()).collect();
            let mut all: Vec<Vec<usize>> =
                peers.iter_mut().map(|peer| numbers(peer.hear())).collect();
            all.push(mine);
            for round in 0..rounds {
                // Whoever had a place in the round before would be missing here.
                let mut indices: Vec<_> = all.iter().map(|indices| indices[round]).collect();
                indices.sort();
                assert_eq!(indices, [0, 1, 2, 3], "round {round} of {rounds}");
            }
            peers.into_iter().for_each(Peer::end);
            assert_eq!((barrier.n_waiting(), barrier.broken()), (0, false));
            assert_eq!(barrier.parties(), PARTIES);
        }
    }
}

#[test]
fn b_02_the_numbers_are_those_of_arrival() {
    for way in WAYS {
        let barrier = Barrier::new(4).unwrap();
        let mut peers = Vec::new();
        for come in 1..=3 {
            peers.push(Peer::start(way, waits, &barrier));
            assert!(comes_true(|| barrier.n_waiting() == come)); // B-12
        }
        assert_eq!(barrier.wait().unwrap(), 3);
        for (index, peer) in peers.iter_mut().enumerate() {
            peer.expect(&format!("passed as {index}"));
        }
        assert_eq!(barrier.n_waiting(), 0);
        peers.into_iter().for_each(Peer::end);
    }
}

/// Counts its calls where the processes of this test find them.
fn counts_in_a_file() -> mp::Result<()> {
    let path = std::env::var("MP_TEST_CALLS")?;
    let mut file = std::fs::File::options().create(true).append(true).open(path)?;
    std::io::Write::write_all(&mut file, b"x")?;
    Ok(())
}

#[test]
fn b_03_the_action_runs_once_per_round_before_anybody_goes() {
    let path = std::env::temp_dir().join(format!("mp-barrier-{}", std::process::id()));
    let calls = path.to_str().unwrap().to_owned();
    let child = |barrier: Barrier, calls: String| {
        for round in 1..=20 {
            barrier.wait_timeout(LONG)?;
            let done = std::fs::metadata(&calls)?.len();
            // The next action needs this party, so there are no more calls yet.
            mp::ensure!(done == round, "{done} calls in round {round}");
        }
        Ok(())
    };
    let barrier = Barrier::builder(3).action(counts_in_a_file).build().unwrap();
    let start = |_| {
        let arguments = (barrier.clone(), calls.clone());
        mp::Process::builder(child, arguments).env("MP_TEST_CALLS", &calls).start().unwrap()
    };
    let children: Vec<_> = (0..3).map(start).collect();
    children.iter().for_each(|child| child.join().unwrap());
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 20);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn b_04_an_action_that_fails_or_panics_breaks_it_and_its_party_gets_the_error() {
    for action in [(|| mp::bail!("no luck")) as fn() -> mp::Result<()>, || panic!("no luck")] {
        let barrier = Barrier::builder(3).action(action).build().unwrap();
        let child = |barrier: Barrier| match barrier.wait_timeout(LONG) {
            Err(BarrierError::Action(error)) => Ok(format!("raised {error}")),
            other => Ok(outcome(other)),
        };
        let start = |_| mp::Process::start(child, (barrier.clone(),)).unwrap();
        let children: Vec<_> = (0..3).map(start).collect();
        let mut outcomes: Vec<_> =
            children.into_iter().map(|child| child.into_result().unwrap()).collect();
        outcomes.sort();
        assert!(outcomes[0].starts_with("raised "), "{outcomes:?}");
        assert!(
            outcomes[1..].iter().all(|text| text.contains("failed in another")),
            "{outcomes:?}"
        );
        assert!(barrier.broken());
    }
}

#[test]
fn b_05_an_abort_reaches_those_who_wait_and_those_who_come() {
    for way in WAYS {
        let barrier = Barrier::new(4).unwrap();
        let mut peers = start(way, 3, &barrier);
        assert!(comes_true(|| barrier.n_waiting() == 3));
        barrier.abort().unwrap();
        peers.iter_mut().for_each(|peer| {
            peer.expect("the barrier is broken: it was aborted");
        });
        peers.into_iter().for_each(Peer::end);
        assert!(barrier.broken());
        assert_eq!(barrier.n_waiting(), 0);
        assert!(is_broken_by(at_once(|| barrier.wait()), &Broken::Aborted));
        assert!(is_broken_by(at_once(|| barrier.wait_timeout(LONG)), &Broken::Aborted));
        assert!(barrier.broken());
    }
}

#[test]
fn b_06_a_reset_sends_those_away_who_wait_and_makes_it_whole() {
    for way in WAYS {
        let barrier = Barrier::new(4).unwrap();
        let mut peers: Vec<_> =
            (0..3).map(|_| Peer::start(way, waits_again_and_again, &barrier)).collect();
        peers.iter_mut().for_each(|peer| peer.say("wait"));
        assert!(comes_true(|| barrier.n_waiting() == 3));
        barrier.reset().unwrap();
        peers.iter_mut().for_each(|peer| {
            peer.expect("the barrier is broken: it was reset while parties waited");
        });
        assert_eq!((barrier.broken(), barrier.n_waiting()), (false, 0));
        peers.iter_mut().for_each(|peer| peer.say("wait"));
        assert!(barrier.wait_timeout(LONG).is_ok());
        for mut peer in peers {
            assert!(peer.hear().starts_with("passed as"));
            peer.say("stop");
            peer.end();
        }
    }
}

#[test]
fn b_07_a_reset_after_an_abort_makes_it_usable() {
    for way in WAYS {
        let barrier = Barrier::new(3).unwrap();
        barrier.abort().unwrap();
        barrier.reset().unwrap();
        assert!(!barrier.broken());
        let mut peers = start(way, 2, &barrier);
        assert!(barrier.wait_timeout(LONG).is_ok());
        peers.iter_mut().for_each(|peer| assert!(peer.hear().starts_with("passed as")));
        peers.into_iter().for_each(Peer::end);
    }
}

#[test]
fn b_08_when_one_comes_late_all_find_it_broken_the_late_one_included() {
    for way in WAYS {
        let barrier = Barrier::new(4).unwrap();
        let start = |_| Peer::start(way, comes_late, &barrier);
        let mut peers: Vec<_> = (0..3).map(start).collect();
        peers[..2].iter_mut().for_each(|peer| peer.say("come"));
        let limit = Duration::from_millis(500);
        let waited = takes_at_least(SHORT, || barrier.wait_timeout(limit));
        assert!(waited.is_err() && barrier.broken());
        peers[2].say("come");
        for peer in &mut peers {
            let outcome = peer.hear();
            assert!(outcome.contains("not all parties came in time"), "{outcome}");
        }
        peers.into_iter().for_each(Peer::end);
    }
}

#[test]
fn b_09_the_limit_of_the_barrier_acts_when_a_wait_gives_none() {
    let default = Duration::from_millis(200);
    let barrier = Barrier::builder(2).timeout(default).build().unwrap();
    let by = |limit| Broken::TimedOut { limit: Some(limit) };
    let waited = takes_at_least(default, || barrier.wait());
    assert!(is_broken_by(waited, &by(default)));
    barrier.reset().unwrap();
    let waited = takes_at_least(2 * default, || barrier.wait_timeout(2 * default));
    assert!(is_broken_by(waited, &by(2 * default)));
    barrier.reset().unwrap();
    // It goes with the handle.
    let child = |barrier: Barrier| Ok(outcome(barrier.wait()));
    let p = mp::Process::start(child, (barrier.clone(),)).unwrap();
    let outcome = p.into_result().unwrap();
    assert!(outcome.contains("not all parties came in time (200ms)"), "{outcome}");
}

#[test]
fn b_10_one_party_never_waits() {
    let barrier = Barrier::new(1).unwrap();
    for _ in 0..100 {
        assert_eq!(at_once(|| barrier.wait_timeout(Duration::ZERO)).unwrap(), 0);
    }
    assert_eq!((barrier.n_waiting(), barrier.broken()), (0, false));
}

#[test]
fn b_11_a_thousand_rounds_of_five_processes_do_not_mix() {
    for way in WAYS {
        let barrier = Barrier::new(5).unwrap();
        let log = Array::zeroed(5000).unwrap();
        let handles = (barrier, log, RawValue::new(0).unwrap());
        let peers: Vec<_> = (0..5).map(|_| Peer::start(way, logs_rounds, &handles)).collect();
        peers.into_iter().for_each(Peer::end);
        let rounds = handles.1.to_vec().unwrap();
        // What is written after round i is passed comes before round i + 1 is full, but a party of
        // round i + 1 may be written down only after all of round i.
        for (position, round) in rounds.iter().enumerate() {
            assert_eq!(*round as usize, position / 5, "at {position}");
        }
    }
}

#[test]
fn b_13_a_wait_without_time_breaks_it_and_idle_resets_and_second_aborts_do_nothing() {
    for way in WAYS {
        let barrier = Barrier::new(2).unwrap();
        barrier.reset().unwrap();
        barrier.reset().unwrap();
        assert!(!barrier.broken());
        let waited = at_once(|| barrier.wait_timeout(Duration::ZERO));
        assert!(is_broken_by(waited, &Broken::TimedOut { limit: Some(Duration::ZERO) }));
        barrier.reset().unwrap();
        let mut peers = start(way, 1, &barrier);
        assert_eq!(barrier.wait_timeout(LONG).is_ok(), peers[0].hear().starts_with("passed"));
        barrier.abort().unwrap();
        barrier.abort().unwrap();
        assert!(barrier.broken());
        peers.into_iter().for_each(Peer::end);
    }
}

#[test]
fn b_15_a_barrier_has_at_least_one_party() {
    for parties in [0, 1025, usize::MAX] {
        let error = Barrier::new(parties).unwrap_err();
        let expected =
            matches!(error, SyncError::InvalidParties { parties: p, .. } if p == parties);
        assert!(expected, "{error}");
    }
    Barrier::new(1024).unwrap();
}

#[test]
fn b_16_when_a_party_is_killed_that_waits_the_others_are_told() {
    for way in WAYS {
        let barrier = Barrier::new(4).unwrap();
        let mut peers = start(way, 3, &barrier);
        assert!(comes_true(|| barrier.n_waiting() == 3));
        let pid = peers.pop().unwrap().kill_9();
        for peer in &mut peers {
            let outcome = peer.hear();
            assert!(outcome.contains(&format!("(pid {pid}) was killed")), "{outcome}");
        }
        peers.into_iter().for_each(Peer::end);
        let Err(BarrierError::Broken(Broken::PartyDied { process })) = barrier.wait() else {
            panic!("it is whole");
        };
        assert_eq!(process.map(|process| process.pid), Some(pid));
        barrier.reset().unwrap();
        let mut peers = start(way, 3, &barrier);
        assert!(barrier.wait_timeout(LONG).is_ok());
        peers.iter_mut().for_each(|peer| assert!(peer.hear().starts_with("passed as")));
        peers.into_iter().for_each(Peer::end);
    }
}

#[test]
fn b_16_when_a_party_is_killed_between_two_rounds_the_others_are_told() {
    for way in WAYS {
        let barrier = Barrier::new(2).unwrap();
        let mut other = Peer::start(way, waits_again_and_again, &barrier);
        other.say("wait");
        barrier.wait_timeout(LONG).unwrap();
        assert!(other.hear().starts_with("passed as"));
        let pid = other.kill_9();
        let error = barrier.wait_timeout(LONG).unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {pid}) was killed")), "{error}");
    }
}

#[test]
fn b_16_a_party_that_has_ended_well_is_not_missed() {
    for way in WAYS {
        let barrier = Barrier::new(2).unwrap();
        let mut other = Peer::start(way, waits, &barrier);
        barrier.wait_timeout(LONG).unwrap();
        assert!(other.hear().starts_with("passed as"));
        other.end();
        let mut next = Peer::start(way, waits, &barrier);
        barrier.wait_timeout(LONG).unwrap();
        assert!(next.hear().starts_with("passed as"));
        next.end();
    }
}

#[test]
fn b_16_an_action_whose_process_is_killed_in_it_breaks_the_barrier() {
    let dies: fn() -> mp::Result<()> =
        || Ok(mp_testing::system::raise(rustix::process::Signal::KILL));
    let barrier = Barrier::builder(2).action(dies).build().unwrap();
    let child = |barrier: Barrier| Ok(barrier.wait_timeout(LONG).map(drop)?);
    // The last one to come runs it, and that is the child.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| barrier.wait_timeout(LONG));
        assert!(comes_true(|| barrier.n_waiting() == 1));
        let p = mp::Process::start(child, (barrier.clone(),)).unwrap();
        p.join().unwrap_err();
        let error = waiting.join().unwrap().unwrap_err().to_string();
        assert!(error.contains(&format!("(pid {}) was killed", p.pid())), "{error}");
        error
    });
    assert!(barrier.broken(), "{waiting}");
}

#[test]
fn a_barrier_that_has_an_action_gives_no_token() {
    let barrier = Barrier::builder(2).action(|| Ok(())).build().unwrap();
    assert!(matches!(barrier.token(), Err(SyncError::ForeignAction)));
}

#[test]
fn the_text_shows_the_parties_and_whether_it_is_broken() {
    let barrier = Barrier::new(3).unwrap();
    assert_eq!(format!("{barrier:?}"), "<Barrier(parties=3, waiting=0)>");
    barrier.abort().unwrap();
    assert_eq!(format!("{barrier:?}"), "<Barrier(parties=3, waiting=0, broken)>");
}
