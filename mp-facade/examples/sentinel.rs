//! Workers that end when they are told to, by an item that is no work; and a `JoinableQueue` that knows when all is done.

fn work(tasks: mp::JoinableQueue<Option<u32>>, results: mp::SimpleQueue<u32>) -> mp::Result<u32> {
    let mut done = 0;
    loop {
        let task = tasks.get()?;
        let Some(n) = task else {
            tasks.task_done()?;
            return Ok(done);
        };
        results.put(&(n * n))?;
        done += 1;
        tasks.task_done()?;
    }
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (tasks, results) = (mp::JoinableQueue::new()?, mp::SimpleQueue::new()?);
    let workers = (0..4)
        .map(|_| mp::Process::start(work, (tasks.clone(), results.clone())))
        .collect::<Result<Vec<_>, _>>()?;

    tasks.put_many(&(1..=100).map(Some).collect::<Vec<_>>())?;
    tasks.join()?; // all of them are done, and so their results are there
    let mut sum = 0;
    while !results.is_empty() {
        sum += results.get()?;
    }
    println!("the squares of 1 to 100 make {sum}");
    mp::ensure!(sum == 338_350, "a result is missing");

    tasks.put_many(&[None; 4])?;
    let mut done = 0;
    for worker in workers {
        done += worker.into_result()?;
    }
    println!("four workers did {done} tasks and ended");
    mp::ensure!(done == 100, "a task is missing");
    Ok(())
}
