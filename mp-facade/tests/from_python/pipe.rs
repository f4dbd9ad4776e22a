fn shout(conn: mp::Connection) -> mp::Result<()> {
    loop {
        match conn.recv::<String>() {
            Ok(word) => conn.send(&word.to_uppercase())?,
            Err(mp::ConnectionError::EndOfFile) => break,
            Err(other) => return Err(other.into()),
        }
    }
    println!("nobody is there any more");
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let (ours, theirs) = mp::Pipe::duplex()?;
    let p = mp::Process::start(shout, (theirs,))?; // `theirs` has moved, and is closed here
    for word in ["hello", "world"] {
        ours.send(word)?;
        println!("{}", ours.recv::<String>()?);
    }
    ours.close();
    Ok(p.join()?)
}
