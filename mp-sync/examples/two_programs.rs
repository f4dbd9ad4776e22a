//! Two programs that nobody has introduced to each other but by a token in the environment: no `mp-context`, no
//! initialisation. Here the second program is this one again.

use std::error::Error;
use std::process::Command;

const TOKENS: &str = "TWO_PROGRAMS_TOKENS";

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::var(TOKENS) {
        Ok(tokens) => second_program(&tokens),
        Err(_) => first_program(),
    }
}

fn first_program() -> Result<(), Box<dyn Error>> {
    let total = mp_sync::Value::new(0_u64)?;
    let go = mp_sync::Event::new()?;
    let tokens = format!("{} {}", total.token()?, go.token()?);
    let mut children = Vec::new();
    for _ in 0..3 {
        children.push(Command::new(std::env::current_exe()?).env(TOKENS, &tokens).spawn()?);
    }
    go.set();
    for mut child in children {
        let status = child.wait()?;
        if !status.success() {
            return Err(format!("a program ended with {status}").into());
        }
    }
    println!("three programs added up to {}", total.get()?);
    Ok(())
}

fn second_program(tokens: &str) -> Result<(), Box<dyn Error>> {
    let (total, go) = tokens.split_once(' ').ok_or("two tokens are expected")?;
    let total = mp_sync::Value::<u64>::from_token(total)?;
    mp_sync::Event::from_token(go)?.wait()?;
    for n in 1..=1000 {
        total.update(|total| *total += n)?;
    }
    Ok(())
}
