//! No order of join, drop, get and exit dead-locks, however much is in the queue.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use mp::Queue;
use mp_testing::limits::{LONG, ends_in_time};
use mp_testing::system::raise;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

/// What is done by the process that made the queue and started the others.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Step {
    /// Waits for the end of the first or the second of the others.
    Join(usize),
    /// Takes all items, or those that are left.
    Get,
    /// Takes half of the items.
    GetHalf,
    /// Puts all items.
    Put,
    /// Drops its handles to the queues.
    Drop,
    /// Ends their use.
    Close,
    /// Lets go of the processes without waiting for them.
    Forget,
    /// Ends at once.
    Exit,
}

/// What one of the others does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Role {
    /// Puts all items, and ends in one of several ways.
    Puts(End),
    /// Gets all items.
    Gets,
    /// Gets half of the items, and ends with the others in the queue.
    GetsHalf,
    /// Gets all items and puts them into the second queue.
    Passes,
    /// Never touches the queue.
    Idles,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum End {
    Returns,
    Exits,
    IsKilled,
}

/// So many items of such a length.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Load {
    count: usize,
    len: usize,
}

type Queues = (Queue<()>, Queue<()>);

fn put_all(queue: &Queue<()>, load: Load) -> mp::Result<()> {
    let mut bytes = vec![1; load.len];
    for number in 0..load.count {
        if let Some(first) = bytes.first_mut() {
            *first = u8::try_from(number % 256)?;
        }
        queue.put_bytes(&bytes)?;
    }
    Ok(())
}

fn get_between(queue: &Queue<()>, load: Load, start: usize, end: usize) -> mp::Result<()> {
    let mut bytes = Vec::new();
    for number in start..end {
        queue.get_bytes_timeout(&mut bytes, LONG)?;
        mp::ensure!(bytes.len() == load.len);
        mp::ensure!(bytes.first().is_none_or(|first| usize::from(*first) == number % 256));
    }
    Ok(())
}

fn other((first, second): Queues, role: Role, load: Load) -> mp::Result<()> {
    match role {
        Role::Puts(end) => {
            put_all(&first, load)?;
            match end {
                End::Returns => {}
                End::Exits => std::process::exit(0),
                End::IsKilled => raise(Signal::KILL),
            }
        }
        Role::Gets => get_between(&first, load, 0, load.count)?,
        Role::GetsHalf => get_between(&first, load, 0, load.count / 2)?,
        Role::Passes => {
            let mut bytes = Vec::new();
            for _ in 0..load.count {
                first.get_bytes(&mut bytes)?;
                second.put_bytes(&bytes)?;
            }
        }
        Role::Idles => {}
    }
    Ok(())
}

/// Who takes part, from which queue the maker gets, and what it does.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Case {
    roles: Vec<Role>,
    gets_second: bool,
    steps: Vec<Step>,
    load: Load,
}

fn maker(case: Case) -> mp::Result<()> {
    let Case { roles, gets_second, steps, load } = case;
    let mut queues = Some((Queue::new()?, Queue::new()?));
    let mut others = roles
        .into_iter()
        .map(|role| Ok(mp::Process::start(other, (queues.clone().unwrap(), role, load))?))
        .collect::<mp::Result<Vec<_>>>()?;
    let mut got = 0;
    for step in steps {
        let source = queues.as_ref().map(|(a, b)| if gets_second { b } else { a });
        match (step, source) {
            (Step::Join(number), _) => drop(others[number].join()),
            (Step::Get, Some(source)) => get_between(source, load, got, load.count)?,
            (Step::GetHalf, Some(source)) => {
                get_between(source, load, got, load.count / 2)?;
                got = load.count / 2;
            }
            (Step::Put, _) => put_all(&queues.as_ref().unwrap().0, load)?,
            (Step::Drop, _) => queues = None,
            (Step::Close, _) => queues.iter().for_each(|(a, b)| (a.close(), b.close()).1),
            (Step::Forget, _) => others.clear(),
            (Step::Exit, _) => std::process::exit(0),
            (Step::Get | Step::GetHalf, None) => mp::bail!("a mistake in the table"),
        }
    }
    Ok(())
}

/// The sizes that every order is tried with.
const LOADS: [Load; 4] = [
    Load { count: 5000, len: 0 },
    Load { count: 5000, len: 1 << 10 },
    Load { count: 48, len: 1 << 20 },
    Load { count: 3, len: 64 << 20 },
];
/// A gigabyte.
const MOST: Load = Load { count: 16, len: 64 << 20 };

/// The same load, or as much of it as the machine has memory for, beside what the processes need themselves.
fn affordable(load: Load) -> Load {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    let available = 1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap();
    let own = (1 << 28) + 8 * load.len;
    let count = available.saturating_sub(own) / 2 / load.len.max(1);
    if count >= load.count {
        return load;
    }
    eprintln!("{count} items instead of {}: {available} bytes are available", load.count);
    Load { count, ..load }
}

fn ends_in_every_order(roles: &[Role], gets_second: bool, orders: &[&[Step]], loads: &[Load]) {
    for load in loads {
        for steps in orders {
            let load = affordable(*load);
            let case = Case { roles: roles.to_vec(), gets_second, steps: steps.to_vec(), load };
            let text = format!("{case:?}");
            let p = mp::Process::builder(maker, (case,)).name(&text).start().unwrap();
            ends_in_time(&p);
            let outcome = p.join();
            assert_eq!(p.exitcode(), Some(0), "{text}: {outcome:?}");
        }
    }
}

use Step::{Close, Drop, Exit, Forget, Get, GetHalf, Join, Put};

/// What can be done about one who puts.
const ORDERS_WITH_ONE_WHO_PUTS: [&[Step]; 13] = [
    &[Join(0), Get, Drop],
    &[Get, Join(0), Drop],
    &[Get, Drop, Join(0)],
    &[GetHalf, Join(0), Get],
    &[GetHalf, Drop, Join(0)],
    &[Drop, Join(0)],
    &[Join(0), Drop],
    &[Close, Join(0)],
    &[Forget, Get],
    &[Forget, Drop],
    &[Drop],
    &[],
    &[Exit],
];

#[test]
fn q_18_q_19_with_one_who_puts_and_returns() {
    ends_in_every_order(&[Role::Puts(End::Returns)], false, &ORDERS_WITH_ONE_WHO_PUTS, &LOADS);
}

#[test]
fn q_18_q_19_with_one_who_puts_and_exits() {
    let loads = &LOADS[1..3];
    ends_in_every_order(&[Role::Puts(End::Exits)], false, &ORDERS_WITH_ONE_WHO_PUTS, loads);
}

#[test]
fn q_21_with_one_who_puts_and_is_killed() {
    let loads = &LOADS[1..3];
    ends_in_every_order(&[Role::Puts(End::IsKilled)], false, &ORDERS_WITH_ONE_WHO_PUTS, loads);
}

#[test]
fn q_17_q_19_with_one_who_gets() {
    let orders: [&[Step]; 5] = [
        &[Put, Join(0), Drop],
        &[Put, Drop, Join(0)],
        &[Put, Close, Join(0)],
        &[Put, Forget],
        &[Put],
    ];
    ends_in_every_order(&[Role::Gets], false, &orders, &LOADS);
    ends_in_every_order(&[Role::GetsHalf], false, &orders, &LOADS);
}

#[test]
fn q_17_q_19_with_one_who_does_nothing() {
    let orders: [&[Step]; 5] = [
        &[Put, Join(0), Drop],
        &[Join(0), Put, Get],
        &[Put, Get, Drop, Join(0)],
        &[Put, Exit],
        &[Put],
    ];
    ends_in_every_order(&[Role::Idles], false, &orders, &LOADS);
}

#[test]
fn q_18_with_one_who_puts_and_one_who_gets() {
    let orders: [&[Step]; 6] = [
        &[Join(0), Join(1), Drop],
        &[Join(1), Join(0), Drop],
        &[Drop, Join(1), Join(0)],
        &[Drop, Forget],
        &[Close],
        &[],
    ];
    let roles = [Role::Puts(End::Exits), Role::Gets];
    ends_in_every_order(&roles, false, &orders, &LOADS);
    let roles = [Role::GetsHalf, Role::Puts(End::IsKilled)];
    ends_in_every_order(&roles, false, &orders, &LOADS[1..3]);
}

/// With pipes behind the queues this is the classic one: both would be full.
#[test]
fn q_17_with_one_who_passes_items_on_to_a_second_queue() {
    let orders: [&[Step]; 6] = [
        &[Put, Join(0), Get],
        &[Put, Get, Join(0)],
        &[Put, GetHalf, Join(0), Drop],
        &[Put, Drop, Join(0)],
        &[Put, Forget],
        &[Put],
    ];
    ends_in_every_order(&[Role::Passes], true, &orders, &LOADS);
    let orders: [&[Step]; 3] = [&[Join(0), Join(1), Get], &[Join(1), Get, Join(0)], &[Get]];
    let roles = [Role::Puts(End::Returns), Role::Passes];
    ends_in_every_order(&roles, true, &orders, &LOADS);
}

#[test]
fn q_18_q_19_with_a_gigabyte() {
    let orders: [&[Step]; 3] = [&[Join(0), Get], &[Get, Join(0)], &[]];
    ends_in_every_order(&[Role::Puts(End::Exits)], false, &orders, &[MOST]);
    ends_in_every_order(&[Role::Gets], false, &[&[Put, Join(0)]], &[MOST]);
}
