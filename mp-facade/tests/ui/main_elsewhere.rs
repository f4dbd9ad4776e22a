//! `#[mp::main]` on a function that is not `main`.

#[mp::main]
fn run() -> mp::Result<()> {
    Ok(())
}

fn main() -> mp::Result<()> {
    run()
}
