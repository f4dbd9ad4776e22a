//! A pool of calls that may crash: each crash costs the call that crashed, and nothing else. In threads, the first one
//! would end the program.

/// Stands for a function of a C library that corrupts its heap, and is ended by its allocator, for some inputs.
fn decode_in_c(image: u32) -> mp::Result<u32> {
    if image % 10 == 7 {
        std::process::abort();
    }
    Ok(image * 2)
}

fn decode(image: u32) -> mp::Result<u32> {
    mp::ensure!(image != 5, "image {image} has no header"); // an error, and the worker goes on
    decode_in_c(image)
}

#[mp::main]
fn main() -> mp::Result<()> {
    // A library that leaks as well: after a thousand images a worker makes way for a fresh one.
    let pool =
        mp::Pool::builder().processes(2).max_tasks_per_child(1000).name("decoders").start()?;

    let (mut decoded, mut failed) = (0, Vec::new());
    for (image, outcome) in pool.imap(decode, 0..40)?.enumerate() {
        match outcome {
            Ok(_) => decoded += 1,
            Err(mp::PoolError::WorkerDied { exitcode, pid, .. }) => {
                println!("image {image} crashed worker {pid}: exit code {exitcode:?}");
                failed.push(image);
            }
            Err(mp::PoolError::Exception(error)) => {
                println!("image {image} at {}: {error}", error.location().unwrap_or("?"));
                failed.push(image);
            }
            Err(other) => return Err(other.into()),
        }
    }
    println!("{decoded} images decoded, {} not", failed.len());
    mp::ensure!(failed == [5, 7, 17, 27, 37] && decoded == 35, "others failed: {failed:?}");

    pool.close();
    pool.join()?;
    Ok(())
}
