use std::io::Write;

fn bake(cake: String) -> mp::Result<()> {
    log::info!("{cake} into the oven");
    log::debug!("nobody sees this, so it is not even sent");
    Ok(())
}

/// Any logger will do; this one writes as Python's does.
fn set_up_logger() {
    let mut logger = env_logger::builder();
    logger.filter_level(log::LevelFilter::Info).target(env_logger::Target::Stdout);
    logger.format(|line, record| {
        let process = mp::log_origin(record).map_or("MainProcess".into(), |origin| origin.process);
        writeln!(line, "{} [{process}] {}", record.level(), record.args())
    });
    logger.init();
}

#[mp::main]
fn main() -> mp::Result<()> {
    set_up_logger();
    log::info!("open");
    for cake in ["apple", "cheese"] {
        let name = format!("baker of {cake}");
        mp::Process::builder(bake, (cake.to_owned(),)).name(name).start()?.join()?;
    }
    log::info!("closed");
    Ok(())
}
