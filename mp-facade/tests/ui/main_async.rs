//! `#[mp::main]` on an `async fn main`.

#[mp::main]
async fn main() -> mp::Result<()> {
    Ok(())
}
