//! One thread serves everybody: it waits for new clients, for what they say, and for the end of processes.

use mp::Connection;
use mp::connection::{Address, Client, Listener, Waitable, wait};

/// Asks the server for the squares of some numbers.
fn ask(address: Address, first: u64) -> mp::Result<u64> {
    let key = mp::current_process().authkey();
    let server = Client::connect(address, Some(key.as_bytes()))?;
    let mut sum = 0;
    for n in first..first + 3 {
        server.send(&n)?;
        sum += server.recv::<u64>()?;
    }
    Ok(sum)
}

#[mp::main]
fn main() -> mp::Result<()> {
    let key = mp::current_process().authkey();
    let listener = Listener::new(Some(key.as_bytes()))?;
    let mut workers = (0..3)
        .map(|n| mp::Process::start(ask, (listener.address().clone(), 10 * n)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut clients: Vec<Connection> = Vec::new();
    let (mut answers, mut total) = (0, 0);

    while !workers.is_empty() {
        let mut objects: Vec<&dyn Waitable> = vec![&listener];
        objects.extend(clients.iter().map(|client| client as &dyn Waitable));
        objects.extend(workers.iter().map(|worker| worker as &dyn Waitable));
        let first_worker = 1 + clients.len();
        // From the back, for those that have ended are removed.
        for index in wait(&objects, None)?.into_iter().rev() {
            if index >= first_worker {
                total += workers.remove(index - first_worker).into_result()?;
            } else if index > 0 {
                match clients[index - 1].recv::<u64>() {
                    Ok(n) => {
                        clients[index - 1].send(&(n * n))?;
                        answers += 1;
                    }
                    Err(_) => drop(clients.remove(index - 1)),
                }
            } else {
                clients.push(listener.accept()?);
            }
        }
    }
    println!("{answers} answers, and the sum of all squares is {total}");
    Ok(())
}
