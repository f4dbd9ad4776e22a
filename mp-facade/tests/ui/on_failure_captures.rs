//! The hook for failures captures a value: it runs in the child as well.

fn fail() -> mp::Result<()> {
    mp::bail!("as told")
}

#[mp::main]
fn main() -> mp::Result<()> {
    let prefix: &'static str = "child";
    mp::Process::builder(fail, ())
        .on_failure(move |error| eprintln!("{prefix}: {error}"))
        .start()?;
    Ok(())
}
