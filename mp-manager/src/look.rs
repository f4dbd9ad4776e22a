//! Servers as seen from outside, by one who changes nothing.

use std::time::Duration;

use mp_connection::{Address, Client, ConnectionError};
use mp_shared_memory::look::{Seen, Topic};
use serde::{Deserialize, Serialize};

/// What a server shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The name of its process.
    pub name: String,
    /// Its pid.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
    /// The pids of its clients.
    pub clients: Vec<u32>,
    /// Its objects.
    pub objects: Vec<ObjectView>,
}

/// What a server shows of one of its objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectView {
    /// Its number; later objects have higher ones.
    pub id: u64,
    /// What its type is called.
    pub type_name: String,
    /// How many processes, messages, containers and proxies in the server refer to it.
    pub references: usize,
}

/// Asks the server behind a notice, which has so long to answer; `None` if the notice is not one of a server.
pub fn ask(seen: &Seen, limit: Duration) -> Option<Result<View, ConnectionError>> {
    let is_server = seen.topic == Topic::Server;
    is_server.then(|| {
        let address = Address::Abstract(seen.text.clone().into_bytes());
        let connection = Client::connect(&address, None)?;
        if !connection.poll(Some(limit))? {
            return Err(ConnectionError::EndOfFile);
        }
        connection.recv()
    })
}
