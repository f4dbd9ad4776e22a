//! What can be said of a process before it starts: name, environment, directory, output and more.

use std::io::Read;
use std::process::Stdio;

fn describe_yourself() -> mp::Result<usize> {
    println!("I am {}", mp::current_process().name());
    println!("I greet {}", std::env::var("GREETED")?);
    println!("I work in {}", std::env::current_dir()?.display());
    log::info!("not sent: my level is `warn`");
    log::warn!("sent");
    Ok(42)
}

fn fail() -> mp::Result<()> {
    mp::bail!("as told")
}

#[mp::main]
fn main() -> mp::Result<()> {
    env_logger::builder().filter_level(log::LevelFilter::Info).init();
    let p = mp::Process::builder(describe_yourself, ())
        .name("narcissus")
        .env("GREETED", "the world")
        .current_dir("/")
        .stdout(Stdio::piped())
        .log_level(log::LevelFilter::Warn)
        .start()?;
    println!("{p:?}");
    let mut said = String::new();
    if let Some(mut stdout) = p.take_stdout() {
        stdout.read_to_string(&mut said)?;
    }
    print!("{said}");
    println!("{p:?} and returned {}", p.result()?);

    // The hook runs in the child, in place of printing the trace there.
    let p = mp::Process::builder(fail, ())
        .on_failure(|error| println!("{} regrets: {error}", error.process_name()))
        .start()?;
    if let Err(error) = p.join() {
        println!("{error}");
    }
    Ok(())
}
