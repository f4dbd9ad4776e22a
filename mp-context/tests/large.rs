//! Results and arguments of any size cross, whatever the parent does meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

use mp_context as mp;
use serde::{Deserialize, Serialize};

mp::enable_test_support!();

#[derive(Serialize, Deserialize)]
struct Blob(#[serde(with = "serde_bytes")] Vec<u8>);

#[test]
fn p_93_a_result_of_1_gib_arrives_though_the_parent_only_joins() {
    const LEN: usize = 1 << 30;
    let p = mp::Process::start(|| Ok(Blob(vec![7; LEN])), ()).unwrap();
    p.join().unwrap();
    let Blob(bytes) = p.into_result().unwrap();
    assert_eq!(bytes.len(), LEN);
    assert!(bytes.iter().step_by(4093).all(|byte| *byte == 7));
}

#[test]
fn an_argument_of_256_mib_arrives() {
    const LEN: usize = 256 << 20;
    let target = |Blob(bytes): Blob| Ok((bytes.len(), bytes[0], bytes[bytes.len() - 1]));
    let mut bytes = vec![1; LEN];
    bytes[LEN - 1] = 9;
    let p = mp::Process::start(target, (Blob(bytes),)).unwrap();
    assert_eq!(p.into_result().unwrap(), (LEN, 1, 9));
}

#[test]
fn sizes_around_every_border_arrive() {
    for len in [0, 1, 400, 2048, 65_519, 65_520, 65_521, 65_536, 70_000, 212_992, 5 << 20] {
        let echo = |blob: Blob| Ok(blob);
        let p = mp::Process::start(echo, (Blob(vec![3; len]),)).unwrap();
        let Blob(bytes) = p.into_result().unwrap();
        assert!(bytes.len() == len && bytes.iter().all(|byte| *byte == 3), "{len}");
    }
}

#[test]
fn starting_does_not_wait_for_a_child_that_reads_nothing() {
    fn scenario() -> mp::Result<()> {
        mp::set_executable("/bin/sleep"); // exits at once: our arguments are none of its own
        let begun = std::time::Instant::now();
        let p = mp::Process::start(|_: Blob| Ok(()), (Blob(vec![0; 64 << 20]),))?;
        mp::ensure!(p.join().is_err());
        mp::ensure!(begun.elapsed().as_secs() < 10);
        Ok(())
    }
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}
