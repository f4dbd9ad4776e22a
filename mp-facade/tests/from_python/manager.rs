type Lengths = mp::DictProxy<String, usize>;

fn measure(word: String, lengths: Lengths, words: mp::ListProxy<String>) -> mp::Result<()> {
    lengths.insert(word.clone(), word.len())?;
    words.push(word)?;
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let manager = mp::Manager::start()?;
    let (lengths, words) = (manager.dict()?, manager.list()?);
    for word in ["one", "three", "eleven"] {
        let arguments = (word.to_owned(), lengths.clone(), words.clone());
        mp::Process::start(measure, arguments)?.join()?;
    }
    for word in &words {
        let word = word?;
        println!("{word} {}", lengths.get(&word)?.unwrap_or(0));
    }

    let shelves = manager.dict_from([("top".to_owned(), words.clone())])?; // a proxy as an item
    if let Some(top) = shelves.get("top")? {
        top.push("twelve".to_owned())?;
    }
    println!("{} words", words.len()?);
    Ok(())
}
