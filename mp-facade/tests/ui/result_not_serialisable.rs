//! A result has no serde implementation.

struct Answer {
    number: u32,
}

fn run() -> mp::Result<Answer> {
    Ok(Answer { number: 42 })
}

#[mp::main]
fn main() -> mp::Result<()> {
    let answer = mp::Process::start(run, ())?.into_result()?;
    println!("{}", answer.number);
    Ok(())
}
