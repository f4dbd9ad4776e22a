//! What the tests of this crate share: children that hold still, and private file systems for names.
#![allow(dead_code, reason = "no test needs all of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::process::{Command, Output};

use mp_reduction::DupFd;
use mp_testing::limits::LONG;
use mp_testing::system::ends_within;

/// Says that the process is ready, and never returns.
pub(crate) fn hold_still(ready: DupFd) -> ! {
    let mut ready = ready.into::<std::io::PipeWriter>();
    ready.write_all(b"r").unwrap();
    loop {
        std::thread::park();
    }
}

/// Starts `start`, which is given a descriptor to say that it is ready, and waits for that.
pub(crate) fn start_and_wait<T: 'static>(
    start: impl FnOnce(DupFd) -> Result<mp::Process<T>, mp::ProcessError>,
) -> mp::Process<T> {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let process = start(writer.into()).unwrap();
    reader.read_exact(&mut [0]).expect("the child said that it is ready");
    process
}

/// A child that a test which fails does not wait for.
pub(crate) fn daemon<F, Args>(
    target: F,
    args: Args,
) -> Result<mp::Process<F::Output>, mp::ProcessError>
where
    F: mp::Target<Args>,
    Args: serde::Serialize + serde::de::DeserializeOwned,
    F::Output: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    mp::Process::builder(target, args).daemon(true).start()
}

/// Kills a process with SIGKILL and sees that it is that what ended it.
pub(crate) fn kill_9<T>(process: &mp::Process<T>) {
    process.kill();
    assert_eq!(process.join().map_err(|e| e.to_string().contains("SIGKILL")), Err(true));
    assert!(ends_within(process.pid(), LONG).unwrap());
}

/// Runs an ignored test of this binary with other mounts; `None` if the system does not allow that.
pub(crate) fn run_with_mounts(mounts: &str, test: &str) -> Option<Output> {
    let exe = std::env::current_exe().unwrap();
    for flags in ["-m", "-rm"] {
        let unshare = |script: &str| {
            let mut command = Command::new("unshare");
            command.args([flags, "sh", "-c", script, "sh"]).arg(&exe);
            command.args(["--exact", test, "--ignored", "--nocapture"]).output()
        };
        if unshare(mounts).ok().is_some_and(|output| output.status.success()) {
            return Some(unshare(&format!("{mounts} && exec \"$@\"")).unwrap());
        }
    }
    eprintln!("skipped: this system has no mount namespaces for us");
    None
}

/// Runs an ignored test of this binary, which has to pass, with other mounts.
pub(crate) fn passes_with_mounts(mounts: &str, test: &str) {
    if let Some(output) = run_with_mounts(mounts, test) {
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}
