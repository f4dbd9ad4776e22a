//! The child's side: from the control socket on standard input to the exit code.

use std::ffi::CString;
use std::os::unix::net::UnixStream;

use mp_reduction::Message;
use mp_remote_exception::{Origin, RemoteException};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::current::{AuthKey, Identity, Parent};
use crate::handshake::{self, Bootstrap, Call};
use crate::logging::uplink::{self, Uplink};
use crate::state::ending::Report;
use crate::sys::image::{self, Entry, FailureHook};
use crate::sys::lifeline::Lifeline;
use crate::sys::zero_sized;
use crate::target::Target;
use crate::{executable, exit, panic};

/// The entry function of target `F` with arguments `Args`.
pub(crate) fn entry<F, Args>(message: Message) -> Report
where
    F: Target<Args>,
    Args: DeserializeOwned,
    F::Output: Serialize,
{
    // Whatever the user's code does here, the destructor of a value and the text of an error
    // included, a panic in it is the child's report.
    panic::catch(|| call::<F, Args>(message)).unwrap_or_else(Report::Raised)
}

fn call<F, Args>(message: Message) -> Report
where
    F: Target<Args>,
    Args: DeserializeOwned,
    F::Output: Serialize,
{
    let arguments: Args = match message.decode() {
        Ok(arguments) => arguments,
        Err(error) => return Report::ArgumentsUndecodable(error.to_string()),
    };
    // The target alone decides how long the descriptors in its arguments stay open.
    drop(message);
    match __mp_begin_short_backtrace(zero_sized::value::<F>(), arguments) {
        Ok(value) => match mp_reduction::encode(&value) {
            Ok(message) => Report::Returned(message),
            Err(error) => Report::ResultUnencodable(error.to_string()),
        },
        Err(error) => Report::Raised(RemoteException::from_raised(&error, Origin::current())),
    }
}

/// Marks the place in a stack from which on it is the user's; see `Frames`.
#[inline(never)]
fn __mp_begin_short_backtrace<F: Target<Args>, Args>(
    target: F,
    arguments: Args,
) -> mp_remote_exception::Result<F::Output> {
    let outcome = target.call(arguments);
    // Keeps this frame on the stack: the call above must not become a jump.
    std::hint::black_box(());
    outcome
}

/// Runs the call that waits in `socket` and ends the process.
pub(crate) fn run(socket: UnixStream) -> ! {
    let code = match set_up(&socket) {
        Ok((entry, on_failure, arguments)) => {
            uplink::set(Uplink::new(socket));
            panic::install(on_failure.is_none(), report_panic_before_abort);
            exit::register();
            let report = entry(arguments);
            let code = finish(&report, on_failure);
            // Before `exit`, in which a second thread that exits would be parked for ever.
            exit::finish();
            code
        }
        Err(reason) => refuse(&socket, &reason),
    };
    std::process::exit(code)
}

/// Tells the parent why this child will not run its call, and ends.
pub(crate) fn refuse(socket: &UnixStream, reason: &str) -> ! {
    // If the parent is gone, nobody is there to be told.
    let _sent = handshake::send_report(socket, &Report::Refused(reason.to_owned()));
    std::process::exit(1)
}

fn set_up(socket: &UnixStream) -> Result<(Entry, Option<FailureHook>, Message), String> {
    let Call { bootstrap, lifeline, arguments } = handshake::receive_bootstrap(socket)?;
    let lifeline = Lifeline::arm(lifeline)
        .map_err(|error| format!("cannot tie its life to its parent's: {error}"))?;
    let Bootstrap { build, entry, on_failure, name, daemon, may_have_children, .. } = bootstrap;
    if build != *mp_reduction::image().build_id() {
        return Err("it is another build of the program than its parent".to_owned());
    }
    let entry = image::entry_at(entry).ok_or("its target lies outside the program")?;
    let on_failure = match on_failure {
        Some(offset) => Some(image::hook_at(offset).ok_or("its hook lies outside the program")?),
        None => None,
    };
    if let Some(cpus) = &bootstrap.cpus {
        pin(cpus)?;
    }
    // What `ps` and `top` show; without it, the name of the link that was executed.
    let _named = CString::new(name.replace('\0', "")).map(|name| rustix::thread::set_name(&name));
    Identity {
        name: name.into(),
        identity: bootstrap.identity,
        daemon,
        may_have_children,
        authkey: AuthKey::new(bootstrap.authkey),
        parent: Some(Parent { name: bootstrap.parent_name, pid: bootstrap.parent_pid, lifeline }),
    }
    .set()?;
    executable::inherit(bootstrap.executable);
    mp_shared_memory::session::inherit(&bootstrap.session);
    uplink::forward_from(bootstrap.log_level);
    Ok((entry, on_failure, arguments))
}

/// Binds the process to processors, before it has a second thread.
fn pin(cpus: &[usize]) -> Result<(), String> {
    let mut set = rustix::thread::CpuSet::new();
    for &cpu in cpus {
        if cpu >= rustix::thread::CpuSet::MAX_CPU {
            return Err(format!("there is no processor {cpu}"));
        }
        set.set(cpu);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot run on the processors {cpus:?}: {error}"))
}

/// Tells the parent how the target ended, after the child's own hook has run; gives the exit code.
fn finish(report: &Report, on_failure: Option<FailureHook>) -> i32 {
    if let Report::Raised(remote) = report {
        match on_failure {
            Some(hook) => drop(panic::catch(|| hook(remote))),
            // A panic has been printed when it happened.
            None if !remote.is_panic() => panic::print("", remote),
            None => {}
        }
    }
    uplink::report(report);
    i32::from(!matches!(report, Report::Returned(_)))
}

/// The last chance to tell the parent, in a program that does not unwind.
fn report_panic_before_abort(remote: RemoteException) {
    uplink::report(&Report::Raised(remote));
}
