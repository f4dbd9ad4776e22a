//! What is right builds; it makes trybuild build the rest too, rather than only check it, which a
//! `const` assertion needs.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    name: String,
}

fn run(job: Job) -> mp::Result<Job> {
    Ok(job)
}

fn ten<T: Default>() -> mp::Result<()> {
    drop(T::default());
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let p = mp::Process::start(run, (Job { name: "mine".to_owned() },))?;
    assert_eq!(p.into_result()?.name, "mine");
    mp::Process::start(|a: u8, b: u8| Ok(a + b), (1, 2))?.join()?;
    mp::Process::start(ten::<String>, ())?.join()?;
    Ok(())
}
