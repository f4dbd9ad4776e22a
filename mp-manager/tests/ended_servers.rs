//! Proxies of a server that was killed while they were under way: what else is in a message is not lost with it.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp::{ListProxy, ManagerError, ServerProcess, SyncManager};
use rustix::process::{Pid, Signal, kill_process};

mp::enable_test_support!();

fn kill(server: &SyncManager) {
    let pid = server.pid();
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    // Its end is heard by whoever looks: its socket is closed when it is gone.
    server.join().unwrap();
}

fn is_disconnected<T>(result: Result<T, ManagerError>) -> bool {
    matches!(result, Err(ManagerError::Disconnected { .. }))
}

type Item = (ListProxy<u64>, u64);

/// What a process finds that was told of nothing.
fn finds(list: ListProxy<u64>, number: u64, queue: mp::Queue<Item>) -> mp::Result<Item> {
    mp::ensure!(is_disconnected(list.len()), "the server is gone");
    let (of_queue, more) = queue.get()?;
    mp::ensure!(is_disconnected(of_queue.push(1)), "so it is for this one");
    mp::ensure!(of_queue == list, "they are of one object");
    // It can be sent on, as any other.
    queue.put(&(list.clone(), number))?;
    Ok((list, number + more))
}

#[test]
fn items_and_arguments_arrive_whose_server_was_killed_meanwhile() {
    for _ in 0..20 {
        let manager = mp::Manager::start().unwrap();
        let list = manager.list::<u64>().unwrap();
        let queue = mp::Queue::new().unwrap();
        queue.put(&(list.clone(), 2)).unwrap();
        let message = mp_reduction::encode(&(list.clone(), 1_u64, queue.clone())).unwrap();
        kill(&manager);
        // This process is a client of the server; the other never was.
        let (here, number, _): (ListProxy<u64>, u64, mp::Queue<Item>) = message.decode().unwrap();
        assert!(number == 1 && is_disconnected(here.len()));
        let p = mp::Process::start(finds, (list.clone(), 1, queue.clone())).unwrap();
        let (back, sum) = p.into_result().unwrap();
        assert_eq!((sum, back == list), (3, true));
        let (sent_on, number) = queue.get().unwrap();
        assert!(number == 1 && sent_on == list && is_disconnected(sent_on.to_vec()));
        assert!(format!("{sent_on:?}").contains("Proxy"), "it can be shown");
    }
}

#[test]
fn a_handle_to_a_server_arrives_too_and_says_that_it_is_gone() {
    let manager = mp::Manager::start().unwrap();
    let server: ServerProcess = (*manager).clone();
    let queue = mp::Queue::new().unwrap();
    queue.put(&(server, "and this".to_owned())).unwrap();
    kill(&manager);
    let asks = |queue: mp::Queue<(ServerProcess, String)>| {
        let (server, text) = queue.get()?;
        mp::ensure!(is_disconnected(server.debug_info()), "it is gone");
        Ok(text)
    };
    let p = mp::Process::start(asks, (queue,)).unwrap();
    assert_eq!(p.into_result().unwrap(), "and this");
}
