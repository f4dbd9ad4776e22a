//! Bytes of shared memory are used when the memory is gone.

#[mp::main]
fn main() -> mp::Result<()> {
    let memory = mp::SharedMemory::create(8)?;
    let bytes = memory.bytes();
    drop(memory);
    println!("{}", bytes.len());
    Ok(())
}
