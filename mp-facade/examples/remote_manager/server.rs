//! A manager that programs on other machines connect to; `remote_manager_client` is such a program.
//!
//! ```text
//! cargo run --example remote_manager_server -- 127.0.0.1 5000
//! cargo run --example remote_manager_client -- 127.0.0.1 5000   # in another terminal
//! ```

mod board;

/// Its types are those of this program that are managed: `Board` is one, though nothing here names it.
#[mp::main]
fn main() -> mp::Result<()> {
    let mut words = std::env::args().skip(1);
    let host = words.next().unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = words.next().unwrap_or_else(|| "5000".to_owned()).parse()?;
    println!("serving at {host}:{port} until a client shuts this down");
    mp::ServerProcess::builder()
        .name("board")
        .address((host, port))
        .authkey(board::KEY)
        .serve_forever()?;
    println!("done");
    Ok(())
}
