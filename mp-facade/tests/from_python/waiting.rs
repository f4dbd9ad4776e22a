fn race(start: mp::Event) -> mp::Result<()> {
    Ok(start.wait()?)
}

fn names<W: mp::Worker>(runners: &[W]) -> Vec<&str> {
    runners.iter().map(|runner| runner.name()).collect()
}

#[mp::main]
fn main() -> mp::Result<()> {
    let starts = [mp::Event::new()?, mp::Event::new()?, mp::Event::new()?];
    let mut runners = Vec::new();
    for (name, start) in ["a", "b", "c"].into_iter().zip(&starts) {
        runners.push(mp::Process::builder(race, (start.clone(),)).name(name).start()?);
    }

    starts[1].set();
    let (done, running) = mp::wait(&runners, None, mp::FIRST_COMPLETED);
    println!("{:?} is there, {:?} are on their way", names(&done), names(&running));

    starts[2].set();
    for runner in mp::as_completed(running, None) {
        println!("{} is there", runner?.name());
        starts[0].set();
    }
    Ok(())
}
