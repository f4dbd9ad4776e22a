//! The handle of a process is dropped and then asked.

#[mp::main]
fn main() -> mp::Result<()> {
    let p = mp::Process::start(|| Ok(5), ())?;
    p.join()?;
    drop(p);
    p.terminate();
    Ok(())
}
