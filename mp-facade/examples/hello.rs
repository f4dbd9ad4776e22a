//! The smallest program: a function in another process.

fn greet(name: String) -> mp::Result<String> {
    log::info!("greeting {name}");
    mp::ensure!(!name.is_empty(), "nobody to greet");
    Ok(format!("hello {name}, this is process {}", std::process::id()))
}

#[mp::main]
fn main() -> mp::Result<()> {
    env_logger::builder().filter_level(log::LevelFilter::Info).init();
    let good = mp::Process::start(greet, ("world".to_owned(),))?;
    let bad = mp::Process::start(greet, (String::new(),))?;
    println!("{}", good.result()?);
    if let Err(error) = bad.result() {
        println!("{error}");
    }
    Ok(())
}
