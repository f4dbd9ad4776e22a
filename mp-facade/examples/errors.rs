//! How a process can fail: an error with a value, a panic, an exit and a kill, told apart.

use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
#[error("{wanted} pieces of {item} wanted, {left} left")]
struct OutOfStock {
    item: String,
    wanted: u32,
    left: u32,
}

fn order(item: String, wanted: u32) -> mp::Result<u32> {
    let left = match item.as_str() {
        "tea" => 10,
        "coffee" => 2,
        "glass" => panic!("the {item} broke"),
        "fire" => std::process::exit(3),
        _ => loop {
            std::thread::park();
        },
    };
    take_from_shelf(&item, wanted, left)
}

fn take_from_shelf(item: &str, wanted: u32, left: u32) -> mp::Result<u32> {
    if wanted > left {
        // `typed` lets the other process have the error itself, not only its text.
        return Err(mp::Error::typed(OutOfStock { item: item.to_owned(), wanted, left }));
    }
    Ok(left - wanted)
}

#[mp::main]
fn main() -> mp::Result<()> {
    for item in ["tea", "coffee", "glass", "fire", "patience"] {
        let p = mp::Process::builder(order, (item.to_owned(), 3))
            .name(item)
            .on_failure(|_| {}) // else the child prints the trace as well
            .start()?;
        if item == "patience" {
            p.kill();
        }
        match p.result() {
            Ok(left) => println!("{item}: ordered, {left} left"),
            Err(mp::ProcessError::Exception(error)) if error.is_panic() => {
                println!("{item}: panicked at {}", error.location().unwrap_or("an unknown place"));
            }
            Err(mp::ProcessError::Exception(error)) => {
                if let Some(OutOfStock { wanted, left, .. }) = error.downcast() {
                    println!("{item}: {} pieces too few; raised here:", wanted - left);
                }
                println!("{}", error.traceback());
            }
            Err(mp::ProcessError::Exited { code, .. }) => println!("{item}: exited with {code}"),
            Err(mp::ProcessError::Signaled { signal, .. }) => println!("{item}: signal {signal}"),
            Err(other) => println!("{item}: {other}"),
        }
    }
    Ok(())
}
