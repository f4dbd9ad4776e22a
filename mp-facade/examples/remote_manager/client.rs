//! Uses the manager of `remote_manager_server`, from another machine or this one.

mod board;

use board::Board;

#[mp::main]
fn main() -> mp::Result<()> {
    let mut words = std::env::args().skip(1);
    let host = words.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let port: u16 = words.next().unwrap_or_else(|| "5000".to_owned()).parse()?;
    let manager: mp::Manager = mp::ServerProcess::connect((host, port), board::KEY)?.into();

    // A type of both programs, and one that every manager has.
    let board = manager.create(Board::args())?;
    board.pin("weather", "rain in the evening".to_owned())?;
    println!("{} notes on the weather", board.pin("weather", "wind".to_owned())?);
    println!("{:?}", board.read("weather")?);
    if let Err(error) = board.read("sports") {
        println!("{error}");
    }
    let scores = manager.dict::<String, u32>()?;
    scores.insert("one".to_owned(), 1)?;
    println!("{:?}", scores.items()?);

    for object in manager.debug_info()? {
        println!("in {}: {object}", manager.name());
    }
    manager.shutdown()?;
    Ok(())
}
