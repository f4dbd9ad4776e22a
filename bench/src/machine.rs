//! What the figures were taken on: commit, toolchain, processor, load.

use std::fs;
use std::process::Command;

/// Prints it, a line each.
pub(crate) fn print() {
    let changed =
        if said("git", &["status", "--porcelain"]).is_some() { " and changes" } else { "" };
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    println!("commit  {}{changed}", or_unknown(commit));
    println!("rustc   {}", or_unknown(said("rustc", &["--version"])));
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!("cpu     {} x {}", cpus, or_unknown(field("/proc/cpuinfo", "model name")));
    let load = fs::read_to_string("/proc/loadavg").ok();
    let averages = load.map(|load| load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    println!("load    {}", or_unknown(averages));
}

/// The memory that can be taken without swapping, in bytes.
pub(crate) fn available_bytes() -> Option<u64> {
    let text = field("/proc/meminfo", "MemAvailable")?;
    Some(text.strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The value of the first line `name : value` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

/// What a command printed; `None` if it failed or printed nothing.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let folder = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(program).args(args).current_dir(folder).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn or_unknown(text: Option<String>) -> String {
    text.unwrap_or_else(|| "unknown".to_owned())
}
