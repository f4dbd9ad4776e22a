//! Log records of children and grandchildren come out of the logger of the first process.

use std::io::Write;

fn bake(cake: String) -> mp::Result<()> {
    log::info!(cake = cake.as_str(), minutes = 40; "into the oven");
    log::debug!("nobody sees this: the first process shows no debug records, so none are sent");
    Ok(())
}

fn run_kitchen() -> mp::Result<()> {
    log::warn!("only one oven works");
    for cake in ["apple", "cheese"] {
        let baker = format!("baker of {cake}");
        mp::Process::builder(bake, (cake.to_owned(),)).name(baker).start()?.join()?;
    }
    Ok(())
}

/// Shows who said it, what, and the key-values that it was said with.
fn format(buf: &mut env_logger::fmt::Formatter, record: &log::Record<'_>) -> std::io::Result<()> {
    let who =
        mp::log_origin(record).map_or("me".to_owned(), |o| format!("{} {}", o.process, o.pid));
    write!(buf, "{:5} [{who}] {}", record.level(), record.args())?;
    for key in ["cake", "minutes"] {
        if let Some(value) = record.key_values().get(key.into()) {
            write!(buf, " {key}={value}")?;
        }
    }
    writeln!(buf, " ({}:{})", record.file().unwrap_or("?"), record.line().unwrap_or(0))
}

#[mp::main]
fn main() -> mp::Result<()> {
    env_logger::builder().filter_level(log::LevelFilter::Info).format(format).init();
    log::info!("open");
    mp::Process::builder(run_kitchen, ()).name("kitchen").start()?.join()?;
    log::info!("closed");
    Ok(())
}
