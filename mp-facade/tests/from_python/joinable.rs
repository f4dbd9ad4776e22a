fn work(tasks: mp::JoinableQueue<i64>, total: mp::Value<i64>) -> mp::Result<()> {
    loop {
        let n = tasks.get()?;
        *total.lock()? += n * n;
        tasks.task_done()?;
    }
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (tasks, total) = (mp::JoinableQueue::new()?, mp::Value::new(0)?);
    for _ in 0..2 {
        mp::Process::builder(work, (tasks.clone(), total.clone())).daemon(true).start()?;
    }
    for n in 1..=10 {
        tasks.put(&n)?;
    }
    tasks.join()?;
    println!("all done: {}", total.get()?);
    Ok(())
}
