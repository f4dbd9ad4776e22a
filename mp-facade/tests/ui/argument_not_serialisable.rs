//! An argument has no serde implementation.

struct Job {
    name: String,
}

fn run(job: Job) -> mp::Result<usize> {
    Ok(job.name.len())
}

#[mp::main]
fn main() -> mp::Result<()> {
    mp::Process::start(run, (Job { name: "mine".to_owned() },))?.join()?;
    Ok(())
}
