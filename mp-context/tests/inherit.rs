//! What a child has of its parent: arguments and descriptors that were passed, and nothing else.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::path::PathBuf;
use std::process::Stdio;

use mp_context as mp;
use mp_reduction::DupFd;

mp::enable_test_support!();

fn open_descriptors() -> mp::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}

#[test]
fn p_30_a_descriptor_that_was_not_passed_is_closed_in_the_child() {
    fn is_open(fd: RawFd) -> mp::Result<bool> {
        Ok(std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok())
    }
    let file = File::open("/dev/null").unwrap();
    let high = rustix::io::fcntl_dupfd_cloexec(&file, 700).unwrap();
    for fd in [file.as_raw_fd(), high.as_raw_fd()] {
        // The child may use a low number for something of its own.
        if fd > 50 {
            assert!(!mp::Process::start(is_open, (fd,)).unwrap().into_result().unwrap());
        }
    }
    assert!(high.as_raw_fd() >= 700);
}

#[test]
fn p_31_siblings_all_see_the_same_number_of_descriptors() {
    let counts: Vec<_> =
        (0..5).map(|_| mp::Process::start(open_descriptors, ()).unwrap()).collect();
    let counts: Vec<_> = counts.into_iter().map(|p| p.into_result().unwrap()).collect();
    assert!(counts.iter().all(|n| n == &counts[0]), "{counts:?}");
}

#[test]
fn p_32_p_59_a_pipe_end_that_the_parent_closes_at_once_works_in_the_child() {
    fn writes(writer: DupFd, text: String) -> mp::Result<()> {
        Ok(writer.into::<std::io::PipeWriter>().write_all(text.as_bytes())?)
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    // Moved in: closed here when `start` returns, long before the child has come to `main`.
    let p = mp::Process::start(writes, (writer.into(), "through".to_owned())).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
    p.join().unwrap();
}

#[test]
fn a_descriptor_in_the_arguments_is_closed_when_the_target_drops_it() {
    // The child itself must not keep a copy beside the one that the target has.
    fn sees_the_end(reader: DupFd, writer: DupFd) -> mp::Result<usize> {
        drop(writer);
        Ok(reader.into::<std::io::PipeReader>().read_to_end(&mut Vec::new())?)
    }
    let (reader, writer) = std::io::pipe().unwrap();
    let p = mp::Process::start(sees_the_end, (reader.into(), writer.into())).unwrap();
    assert_eq!(p.result().unwrap(), &0);
}

#[test]
fn a_descriptor_comes_back_as_a_result() {
    fn makes_a_pipe() -> mp::Result<(DupFd, String)> {
        let (reader, mut writer) = std::io::pipe()?;
        writer.write_all(b"from the child")?;
        Ok((reader.into(), "and text beside it".to_owned()))
    }
    let p = mp::Process::start(makes_a_pipe, ()).unwrap();
    let (reader, text) = p.into_result().unwrap();
    let mut read = String::new();
    reader.into::<std::io::PipeReader>().read_to_string(&mut read).unwrap();
    assert_eq!((read.as_str(), text.as_str()), ("from the child", "and text beside it"));
}

#[test]
fn two_hundred_descriptors_arrive_and_too_many_are_an_error_that_says_so() {
    fn count(fds: Vec<DupFd>) -> mp::Result<usize> {
        Ok(fds.len())
    }
    let many = |n| (0..n).map(|_| DupFd::from(File::open("/dev/null").unwrap())).collect();
    let p = mp::Process::start(count, (many(200),)).unwrap();
    assert_eq!(p.result().unwrap(), &200);
    let error = mp::Process::start(count, (many(300),)).unwrap_err().to_string();
    assert!(error.contains("300 descriptors"), "{error}");
}

#[test]
fn p_33_standard_input_is_the_null_device() {
    let link = || Ok(std::fs::read_link("/proc/self/fd/0")?);
    let p = mp::Process::start(link, ()).unwrap();
    assert_eq!(p.result().unwrap(), &PathBuf::from("/dev/null"));
}

#[test]
fn p_34_program_arguments_and_directory_are_those_of_the_parent() {
    let look = || Ok((std::env::args().collect::<Vec<_>>(), std::env::current_dir()?));
    let seen = mp::Process::start(look, ()).unwrap().into_result().unwrap();
    assert_eq!(seen, (std::env::args().collect(), std::env::current_dir().unwrap()));
}

#[test]
fn the_builder_sets_environment_directory_and_output() {
    fn look() -> mp::Result<(String, PathBuf)> {
        println!("to standard output");
        eprintln!("to standard error");
        Ok((std::env::var("MP_TEST_WORD")?, std::env::current_dir()?))
    }
    let p = mp::Process::builder(look, ())
        .env("MP_TEST_WORD", "here")
        .current_dir("/")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .start()
        .unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    p.take_stdout().unwrap().read_to_string(&mut out).unwrap();
    p.take_stderr().unwrap().read_to_string(&mut err).unwrap();
    assert!(p.take_stdout().is_none());
    assert_eq!(p.result().unwrap(), &("here".to_owned(), PathBuf::from("/")));
    assert_eq!((out.as_str(), err.as_str()), ("to standard output\n", "to standard error\n"));
}

#[test]
fn a_directory_that_is_not_there_is_an_error_at_start() {
    let error = mp::Process::builder(|| Ok(()), ()).current_dir("/no/such").start().unwrap_err();
    assert!(error.to_string().contains("in /no/such: No such file"), "{error}");
}

#[test]
fn p_35_p_42_generation_five_has_what_generation_one_has() {
    type Seen = (usize, usize, usize);
    fn descend(depth: u32) -> mp::Result<Vec<Seen>> {
        let mine = (std::env::vars_os().count(), std::env::args_os().count(), open_descriptors()?);
        let mut seen = vec![mine];
        if depth > 1 {
            seen.extend(mp::Process::start(descend, (depth - 1,))?.into_result()?);
        }
        Ok(seen)
    }
    let seen = mp::Process::start(descend, (5,)).unwrap().into_result().unwrap();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|generation| generation == &seen[0]), "{seen:?}");
}

#[test]
fn p_43_processes_in_processes_write_to_one_pipe_in_depth_first_order() {
    fn descend(writer: DupFd, path: Vec<u8>) -> mp::Result<()> {
        let mut pipe = writer.try_clone()?.into::<std::io::PipeWriter>();
        writeln!(pipe, "{path:?}")?;
        if path.len() < 2 {
            for i in 0..2 {
                let deeper = [path.as_slice(), &[i]].concat();
                mp::Process::start(descend, (writer.try_clone()?, deeper))?.join()?;
            }
        }
        Ok(())
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    let p = mp::Process::start(descend, (writer.into(), Vec::new())).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    p.join().unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines, ["[]", "[0]", "[0, 0]", "[0, 1]", "[1]", "[1, 0]", "[1, 1]"]);
}

#[test]
fn p_53_closed_standard_streams_do_not_matter() {
    fn starts_with_closed_streams() -> mp::Result<()> {
        for p in [
            mp::Process::builder(|| Ok(println!("x")), ()).stdout(Stdio::null()).start()?,
            mp::Process::builder(|| Ok(eprintln!("x")), ()).stderr(Stdio::null()).start()?,
        ] {
            p.join()?;
        }
        Ok(())
    }
    mp::Process::start(starts_with_closed_streams, ()).unwrap().join().unwrap();
    // Streams whose reader is gone: printing fails, which `println!` makes a panic, and that is told.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let p = mp::Process::builder(|| Ok(println!("x")), ()).stdout(writer).start().unwrap();
    assert!(p.exception().unwrap().is_some_and(|e| e.is_panic()));
}

#[test]
fn p_38_the_main_thread_of_the_child_is_another() {
    let id = || Ok(rustix::thread::gettid().as_raw_nonzero().get());
    let theirs = mp::Process::start(id, ()).unwrap().into_result().unwrap();
    assert_ne!(theirs, id().unwrap());
}

#[test]
fn operators_see_the_name_in_the_list_of_processes() {
    let comm = || Ok(std::fs::read_to_string("/proc/self/comm")?);
    let p = mp::Process::builder(comm, ()).name("a-worker").start().unwrap();
    assert_eq!(p.result().unwrap(), "a-worker\n");
}
