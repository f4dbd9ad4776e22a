//! What is right builds. And because there is a case that has to, trybuild builds the others too:
//! that a target captures nothing is asserted only then.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Job {
    name: String,
}

fn run(job: Job) -> mp::Result<Job> {
    Ok(job)
}

fn default<T: Default>() -> mp::Result<T> {
    Ok(T::default())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let p = mp::Process::start(run, (Job { name: "mine".to_owned() },))?;
    assert_eq!(p.into_result()?.name, "mine");
    let p = mp::Process::start(|a: u8, b: u8| Ok(a + b), (1, 2))?;
    assert_eq!(p.into_result()?, 3);
    let p = mp::Process::start(default::<String>, ())?;
    assert_eq!(p.into_result()?, "");
    Ok(())
}
