//! Descriptors as arguments: the two ends of a pipe go to two processes, `yes | head`.

use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};

fn count_up(output: mp::DupFd) -> mp::Result<u64> {
    let mut output: PipeWriter = output.into();
    for n in 1.. {
        if let Err(error) = writeln!(output, "{n}") {
            mp::ensure!(error.kind() == io::ErrorKind::BrokenPipe, "cannot write: {error}");
            return Ok(n); // the reader has enough
        }
    }
    mp::bail!("out of numbers")
}

fn sum_of_first(input: mp::DupFd, lines: usize) -> mp::Result<u64> {
    let mut sum = 0;
    for line in BufReader::new(input.into::<PipeReader>()).lines().take(lines) {
        sum += line?.parse::<u64>()?;
    }
    Ok(sum)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (reader, writer) = io::pipe()?;
    // The arguments are gone from this process once `start` returns, so each end is open in one
    // process only, and its neighbour sees when that is gone.
    let from = mp::Process::start(count_up, (mp::DupFd::from(writer),))?;
    let to = mp::Process::start(sum_of_first, (mp::DupFd::from(reader), 100))?;
    println!("sum of the first 100 numbers: {}", to.into_result()?);
    println!("the writer noticed: {}", from.into_result()? > 100);

    // A file opened here is read there, at the position that both share.
    let mut file = tempfile::tempfile()?;
    file.write_all(b"1\n2\n3\n")?;
    io::Seek::rewind(&mut file)?;
    let p = mp::Process::start(sum_of_first, (mp::DupFd::from(file), 3))?;
    println!("sum of a file without a name: {}", p.into_result()?);
    Ok(())
}
