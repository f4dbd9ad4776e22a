fn take_part(
    (everybody, changed): (mp::Barrier, mp::Condition),
    ready: mp::RawValue<u64>,
    closing: mp::Event,
) -> mp::Result<()> {
    everybody.wait()?; // nobody goes on before the third is there
    {
        let guard = changed.acquire()?;
        ready.set(ready.get() + 1);
        guard.notify(1);
    }
    Ok(closing.wait()?)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let meeting = (mp::Barrier::new(3)?, mp::Condition::new()?);
    let (ready, closing) = (mp::RawValue::new(0)?, mp::Event::new()?);
    let start = || mp::Process::start(take_part, (meeting.clone(), ready.clone(), closing.clone()));
    let processes = [start()?, start()?, start()?];
    meeting.1.acquire()?.wait_for(|| ready.get() == 3)?;
    println!("all three are ready");
    closing.set();
    for p in processes {
        p.join()?;
    }
    println!("all three have gone");
    Ok(())
}
