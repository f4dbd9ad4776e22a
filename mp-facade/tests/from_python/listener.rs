use mp::connection::{Address, Client, Listener};

fn ask(address: Address) -> mp::Result<()> {
    let server = Client::connect(address, Some(b"secret"))?;
    server.send(&[1, 2, 3])?;
    server.send(&format!("thank you for the {}", server.recv::<i32>()?))?;
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let listener = Listener::new(Some(b"secret"))?;
    let p = mp::Process::start(ask, (listener.address().clone(),))?;
    let client = listener.accept()?;
    let numbers: Vec<i32> = client.recv()?;
    println!("sum of {numbers:?}");
    client.send(&numbers.iter().sum::<i32>())?;
    println!("{}", client.recv::<String>()?);
    Ok(p.join()?)
}
