struct Stock {
    pieces: u32,
}

#[mp::managed]
impl Stock {
    pub fn new(pieces: u32) -> Self {
        Stock { pieces }
    }

    pub fn take(&mut self, n: u32) -> mp::Result<u32> {
        mp::ensure!(n <= self.pieces, "only {} left", self.pieces);
        self.pieces -= n;
        Ok(self.pieces)
    }
}

fn sell(stock: StockProxy) -> mp::Result<()> {
    for _ in 0..10 {
        stock.take(1)?;
    }
    Ok(())
}

#[mp::main]
fn main() -> mp::Result<()> {
    let server = mp::ServerProcess::start()?;
    let stock = server.create(Stock::args(100))?;
    let sellers = [0; 3].map(|_| mp::Process::start(sell, (stock.clone(),)));
    for p in sellers {
        p?.join()?;
    }
    println!("left: {}", stock.take(0)?);
    match stock.take(71) {
        Err(mp::ManagerError::Exception(error)) => println!("{}", error.message()),
        other => println!("{other:?}"),
    }
    Ok(())
}
