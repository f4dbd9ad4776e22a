use mp::ShareableItem;

fn fill(block: mp::SharedMemory, row: mp::ShareableList) -> mp::Result<()> {
    block.write_at(0, b"hello")?;
    if let ShareableItem::Int(n) = row.get(0)? {
        row.set(0, n + 1)?;
    }
    row.set(2, "done")?;
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let block = mp::SharedMemory::create(4096)?;
    let row = mp::ShareableList::new([ShareableItem::from(41), 0.5.into(), "to do".into()])?;
    mp::Process::start(fill, (block.clone(), row.clone()))?.join()?;
    let mut text = [0; 5];
    block.read_at(0, &mut text)?;
    println!("{}", std::str::from_utf8(&text)?);
    println!("{:?}", row.to_vec()?);
    Ok(())
}
