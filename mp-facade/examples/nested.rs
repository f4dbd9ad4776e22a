//! Children of children: each process knows itself, its parent and its children.

fn who_am_i() -> String {
    let parent = mp::parent_process().map_or("nobody", |parent| parent.name());
    format!("{}, child of {parent}", mp::current_process().name())
}

/// Sums `1..=n` by halves, each in a process of its own.
fn sum(from: u64, to: u64) -> mp::Result<u64> {
    if to - from < 25 {
        println!("{}: {from} to {to}", who_am_i());
        std::thread::sleep(std::time::Duration::from_millis(100)); // it is not easy
        return Ok((from..=to).sum());
    }
    let middle = from.midpoint(to);
    let lower = mp::Process::start(sum, (from, middle))?;
    let upper = mp::Process::start(sum, (middle + 1, to))?;
    let children: Vec<String> =
        mp::active_children().iter().map(|child| child.name().to_owned()).collect();
    println!("{}: started {}", who_am_i(), children.join(" and "));
    Ok(lower.into_result()? + upper.into_result()?)
}

fn fail_below(depth: u32) -> mp::Result<()> {
    mp::ensure!(depth > 0, "this is the bottom");
    let child = mp::Process::builder(fail_below, (depth - 1,)).on_failure(|_| {}).start()?;
    Ok(child.join()?)
}

#[mp::main]
fn main() -> mp::Result<()> {
    println!("sum: {}", sum(1, 100)?);
    // An error that nobody handles keeps the trace of every process on its way.
    if let Err(error) = fail_below(2) {
        println!("{error:?}");
    }
    Ok(())
}
