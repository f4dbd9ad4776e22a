//! `cargo run --release [case]`: which cases there are, what is promised for each, and their order.
#![deny(unsafe_code)]

mod bare;
mod duet;
mod logs;
mod machine;
mod manager;
mod pair;
mod peers;
mod pipe;
mod pool;
mod python;
mod queue;
mod start;
mod stream;
mod sync;
mod table;

use std::time::Duration;

use pair::Measured;
use table::{Shown, Wanted};

/// One row of the table.
struct Case {
    name: &'static str,
    shown: Shown,
    wanted: Wanted,
    measure: fn() -> mp::Result<Measured>,
}

const fn timed(name: &'static str, wanted: Wanted, measure: fn() -> mp::Result<Measured>) -> Case {
    Case { name, shown: Shown::Time, wanted, measure }
}

/// Of calls so fast that some together are timed.
const fn calls(name: &'static str, wanted: Wanted, measure: fn() -> mp::Result<Measured>) -> Case {
    Case { name, shown: Shown::OneOf(sync::CALLS), wanted, measure }
}

const CASES: &[Case] = &[
    timed("start/floor", Wanted::TimesAtMost(1.35), start::floor),
    timed("start/floor_4gib", Wanted::TimesAtMost(1.35), start::floor_4gib),
    timed("start/4gib_against_none", Wanted::TimesAtMost(1.1), start::large_against_small_parent),
    timed("start/procspawn", Wanted::FasterTimes(1.0), start::procspawn),
    timed("start/multiprocessing", Wanted::FasterTimes(35.0), start::python_pipe),
    timed("start/multiprocessing_queue", Wanted::FasterTimes(35.0), start::python_queue),
    Case {
        name: "log/multiprocessing",
        shown: Shown::Rate,
        wanted: Wanted::FasterTimes(8.0),
        measure: logs::against_queue_handler,
    },
    Case {
        name: "log/mpservice",
        shown: Shown::Rate,
        wanted: Wanted::FasterTimes(8.0),
        measure: logs::against_mpservice,
    },
    Case {
        name: "log/child_cost",
        shown: Shown::Time,
        wanted: Wanted::AtMost(Duration::from_nanos(1500)),
        measure: logs::child_cost,
    },
    calls("sync/lock_uncontended", Wanted::TimesAtMost(2.0), sync::lock_uncontended),
    calls("sync/lock_contended_robust", Wanted::FasterTimes(1.0), sync::lock_contended_robust),
    calls("sync/lock_contended_python", Wanted::FasterTimes(5.0), sync::lock_contended_python),
    timed("sync/event_ping_pong_python", Wanted::FasterTimes(20.0), sync::event_python),
    timed("sync/condition_ping_pong_python", Wanted::FasterTimes(20.0), sync::condition_python),
    timed("sync/event_ping_pong_one_core", Wanted::TimesAtMost(1.3), sync::event_one_core),
    timed("sync/condition_ping_pong_one_core", Wanted::TimesAtMost(1.3), sync::condition_one_core),
    timed("sync/create_lock", Wanted::AtMost(Duration::from_micros(1)), sync::create_lock),
    calls("queue/u64_python", Wanted::FasterTimes(15.0), queue::u64_python),
    calls("queue/u64_ipc_channel", Wanted::FasterTimes(4.0), queue::u64_ipc_channel),
    calls("queue/u64_iceoryx2", Wanted::FasterTimes(3.0), queue::u64_iceoryx2),
    calls("queue/u64_crossbeam", Wanted::TimesAtMost(2.0), queue::u64_crossbeam),
    calls("queue/many", Wanted::FasterTimes(3.0), queue::many),
    calls("queue/put_many", Wanted::FasterTimes(3.0), queue::put_many),
    calls("queue/get_many", Wanted::FasterTimes(3.0), queue::get_many),
    timed("queue/1kib_ipc_channel", Wanted::FasterTimes(10.0), queue::kib_ipc_channel),
    timed("queue/1mib_bare_ring", Wanted::TimesAtMost(1.25), queue::mib_bare_ring),
    timed("queue/1mib_python", Wanted::FasterTimes(15.0), queue::mib_python),
    timed("queue/ping_pong_bare", Wanted::TimesAtMost(3.0), queue::ping_pong_bare),
    timed("queue/ping_pong_python", Wanted::FasterTimes(20.0), queue::ping_pong_python),
    timed("queue/ping_pong_one_core", Wanted::TimesAtMost(1.5), queue::ping_pong_one_core),
    Case {
        name: "queue/idle",
        shown: Shown::ShareOf(queue::SECOND),
        wanted: Wanted::AtMost(Duration::from_millis(1)),
        measure: queue::idle,
    },
    timed("pipe/ping_pong_socket", Wanted::TimesAtMost(0.5), pipe::ping_pong_socket),
    timed("pipe/ping_pong_python", Wanted::FasterTimes(5.0), pipe::ping_pong_python),
    timed("pipe/ping_pong_one_core", Wanted::TimesAtMost(1.6), pipe::ping_pong_one_core),
    timed("pipe/1mib_socket", Wanted::TimesAtMost(1.5), pipe::mib_socket),
    timed("pipe/1mib_python", Wanted::FasterTimes(5.0), pipe::mib_python),
    calls("pool/map_python", Wanted::FasterTimes(6.0), pool::map_python),
    calls("pool/map_chunk1_python", Wanted::FasterTimes(12.0), pool::map_chunk1_python),
    calls("pool/map_chunk1_procspawn", Wanted::FasterTimes(40.0), pool::map_chunk1_procspawn),
    timed("pool/apply_procspawn", Wanted::FasterTimes(8.0), pool::apply_procspawn),
    timed("pool/apply_python", Wanted::FasterTimes(50.0), pool::apply_python),
    timed("pool/cpu_bound", Wanted::TimesAtMost(1.0526), pool::cpu_bound),
    timed("pool/first_result_start", Wanted::TimesAtMost(2.5), pool::first_result_start),
    timed("pool/first_result_procspawn", Wanted::FasterTimes(1.0), pool::first_result_procspawn),
    timed("manager/call", Wanted::FasterTimes(10.0), manager::call),
    timed("manager/call_mpservice", Wanted::FasterTimes(10.0), manager::call_mpservice),
    timed("manager/list_item", Wanted::FasterTimes(10.0), manager::list_item),
    timed("manager/dict_item", Wanted::FasterTimes(10.0), manager::dict_item),
    timed("manager/one_slow_client", Wanted::TimesAtMost(1.1), manager::one_slow_client),
    timed("manager/create", Wanted::FasterTimes(10.0), manager::create),
    timed("manager/block_64mib", Wanted::FasterTimes(5.0), manager::block_64mib),
    timed("manager/block_64mib_copied", Wanted::TimesAtMost(1.5), manager::block_64mib_copied),
    Case {
        name: "manager/idle",
        shown: Shown::ShareOf(queue::SECOND),
        wanted: Wanted::AtMost(Duration::from_millis(1)),
        measure: manager::idle,
    },
];

fn main() -> mp::Result<()> {
    // Ahead of `mp::init`: this run is the floor that a start is compared with.
    if std::env::args_os().nth(1).is_some_and(|word| word == start::EXIT_AT_ONCE) {
        return Ok(());
    }
    mp::init();
    procspawn::init();
    logs::install();

    let filter = std::env::args().nth(1).unwrap_or_default();
    let chosen: Vec<_> = CASES.iter().filter(|case| case.name.contains(&filter)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
        mp::bail!("no case has '{filter}' in its name; there are {}", names.join(", "));
    }
    machine::print();
    table::print_head();
    for case in chosen {
        table::print_row(case.name, case.shown, case.wanted, &(case.measure)()?);
    }
    table::print_legend();
    Ok(())
}
