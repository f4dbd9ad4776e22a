use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("there are only {left}")]
struct OutOfStock {
    left: u32,
}

fn order(item: String, wanted: u32) -> mp::Result<u32> {
    let left = match item.as_str() {
        "tea" => 10,
        "coffee" => 2,
        other => mp::bail!("what is {other}?"),
    };
    if wanted > left {
        return Err(mp::Error::typed(OutOfStock { left })); // typed: the value itself crosses
    }
    Ok(left - wanted)
}

#[mp::main]
fn main() -> mp::Result<()> {
    for item in ["tea", "coffee", "cocoa"] {
        let p = mp::Process::builder(order, (item.to_owned(), 3)).name(item).start()?;
        match p.result() {
            Ok(left) => println!("{item}: {left} left"),
            Err(mp::ProcessError::Exception(error)) => match error.downcast::<OutOfStock>() {
                Some(OutOfStock { left }) => println!("{item}: there are only {left}"),
                None => println!("{item}: {}", error.traceback()),
            },
            Err(other) => println!("{item}: {other}"), // killed, exited, never started
        }
    }
    Ok(())
}
