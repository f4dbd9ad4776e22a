//! Too little memory is an error that says how much there is, never a signal; nothing is taken then.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::passes_with_mounts;
use mp_shared_memory::{RawArray, RawValue, SharedMemory, SharedMemoryError as Error};
use mp_testing::system::holdings;
use rustix::process::{Resource, Rlimit, setrlimit};

mp::enable_test_support!();

const MIB: usize = 1 << 20;

/// What was asked for and available, if that is what went wrong.
fn no_space<T: std::fmt::Debug>(result: Result<T, Error>) -> mp::Result<(u64, u64)> {
    match result {
        Err(Error::NoSpace { asked, available }) => Ok((asked, available)),
        other => mp::bail!("{other:?}"),
    }
}

/// Runs a scenario in a process of its own, for it changes the limits of its process.
fn alone(scenario: impl mp::Target<(), Output = ()>) {
    mp::Process::start(scenario, ()).unwrap().into_result().unwrap();
}

fn limit(resource: Resource, current: Option<u64>) -> mp::Result<()> {
    Ok(setrlimit(resource, Rlimit { current, maximum: None })?)
}

#[test]
fn the_file_size_limit_is_an_error() {
    alone(|| {
        let array = RawArray::<u8>::zeroed(3 * MIB)?;
        limit(Resource::Fsize, Some(2 * MIB as u64))?;
        let before = holdings();
        for _ in 0..100 {
            let (asked, available) = no_space(SharedMemory::create(3 * MIB))?;
            mp::ensure!(asked == 3 * MIB as u64 && available <= 2 * MIB as u64);
            no_space(SharedMemory::create_named("mp-test-fsize", 3 * MIB))?;
            no_space(RawArray::<u64>::zeroed(MIB))?;
        }
        mp::ensure!(holdings() == before);
        array.set(3 * MIB - 1, 1)?;
        SharedMemory::create(MIB)?;
        SharedMemory::create_named("mp-test-fsize", MIB)?.unlink()?;
        limit(Resource::Fsize, Some(100))?;
        no_space(SharedMemory::create(MIB))?;
        no_space(SharedMemory::create_named("mp-test-fsize", 4096))?;
        Ok(())
    });
}

#[test]
fn the_file_size_limit_is_an_error_for_the_first_object_too() {
    alone(|| {
        limit(Resource::Fsize, Some(100))?;
        no_space(RawValue::new(1_u8))?;
        limit(Resource::Fsize, None)?;
        mp::ensure!(RawValue::new(1_u8)?.get() == 1);
        Ok(())
    });
}

#[test]
fn the_limit_of_the_address_space_is_an_error() {
    alone(|| {
        RawValue::new(1_u8)?;
        let used = std::fs::read_to_string("/proc/self/statm")?;
        let pages: u64 = used.split(' ').next().unwrap_or("0").parse()?;
        limit(Resource::As, Some(pages * 4096 + 8 * MIB as u64))?;
        for _ in 0..100 {
            no_space(SharedMemory::create(16 * MIB))?;
            no_space(SharedMemory::create_named("mp-test-as", 16 * MIB))?;
        }
        SharedMemory::create(MIB)?;
        // Many small objects end in the error as well, and work again when some are gone.
        let mut arrays = Vec::new();
        let last = loop {
            match RawArray::<u8>::zeroed(10_000) {
                Ok(array) => arrays.push(array),
                Err(error) => break error,
            }
        };
        arrays.truncate(10);
        limit(Resource::As, None)?;
        no_space(Err::<(), _>(last))?;
        RawArray::<u8>::zeroed(10_000)?;
        Ok(())
    });
}

#[test]
fn more_than_the_system_has_is_an_error() {
    for size in [1 << 45, 1 << 62, isize::MAX as usize, usize::MAX] {
        let name = format!("mp-test-absurd-{}", std::process::id());
        for result in [SharedMemory::create(size), SharedMemory::create_named(&name, size)] {
            let (asked, available) = no_space(result).unwrap();
            assert!(asked == size as u64 && available > 0 && available < asked);
        }
    }
}

#[test]
fn a_small_dev_shm_is_an_error_for_names_and_no_limit_for_the_rest() {
    passes_with_mounts("mount -t tmpfs -o size=1m none /dev/shm", "with_1_mib_of_dev_shm");
}

#[test]
#[ignore = "run with a small /dev/shm by a_small_dev_shm_is_an_error"]
fn with_1_mib_of_dev_shm() {
    let named = |n: usize, size| SharedMemory::create_named(&format!("mp-test-{n}"), size);
    for _ in 0..10 {
        let (asked, available) = no_space(named(0, MIB + 1)).unwrap();
        assert_eq!((asked, available), (MIB as u64 + 1, MIB as u64));
        let blocks: Vec<_> = (0..4).map(|n| named(n, MIB / 4).unwrap()).collect();
        assert_eq!(no_space(named(4, 1)).unwrap(), (1, 0));
        for block in &blocks {
            block.write_at(0, &vec![7; MIB / 4]).unwrap();
            block.unlink().unwrap();
        }
    }
    named(5, MIB).unwrap().unlink().unwrap();
    let anonymous = SharedMemory::create(10 * MIB).unwrap();
    anonymous.write_at(0, &vec![7; 10 * MIB]).unwrap();

    // Another program's file that is longer than there is room: an error, instead of a signal later.
    let file = std::fs::File::create("/dev/shm/sparse").unwrap();
    file.set_len(2 * MIB as u64).unwrap();
    no_space(SharedMemory::open("sparse")).unwrap();
    file.set_len(MIB as u64 / 2).unwrap();
    let sparse = SharedMemory::open("sparse").unwrap();
    no_space(named(6, MIB)).unwrap();
    sparse.write_at(0, &vec![7; MIB / 2]).unwrap();
    sparse.unlink().unwrap();
}
