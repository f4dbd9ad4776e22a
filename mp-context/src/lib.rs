#![doc = include_str!("../README.md")]

mod builder;
mod child;
mod context;
mod current;
mod error;
mod executable;
mod exit;
mod handshake;
mod init;
mod logging;
#[doc(hidden)]
pub mod look;
mod panic;
mod prim;
mod process;
mod state;
mod supervisor;
mod sys;
mod target;
mod thread;
mod wait;
mod waitable;

pub use builder::ProcessBuilder;
pub use context::{
    MP_SPAWN_CTX, SpawnContext, get_all_start_methods, get_context, get_start_method,
};
pub use current::{
    AuthKey, ChildInfo, CurrentProcess, ParentProcess, cpu_count, current_process, parent_process,
};
pub use error::{
    ProcessError, ProcessId, StartError, ThreadError, Timeout, TransferError, UnknownName,
};
pub use executable::set_executable;
pub use init::init;
pub use logging::origin::{LogOrigin, log_origin};
pub use mp_remote_exception::{Error, RemoteException, Result, bail, ensure};
pub use process::{Process, active_children};
pub use target::Target;
pub use thread::{Thread, ThreadBuilder};
pub use wait::{
    ALL_COMPLETED, AsCompleted, FIRST_COMPLETED, FIRST_EXCEPTION, ReturnWhen, Worker, as_completed,
    wait,
};

#[doc(hidden)]
pub mod __private {
    pub use crate::exit::{finish, is_finishing};
    pub use crate::init::init_before_main;
    pub use crate::panic::{__mp_begin_short_backtrace, catch, discard, text_of};
    pub use crate::state::completion::{Completion, End};
    pub use crate::sys::constructors::{Constructor, ConstructorArguments};
    pub use crate::sys::image::{Job, job_at, offset_of_job};
    pub use crate::sys::signal::{ignore_interrupt, name as signal_name};
    pub use crate::sys::zero_sized::{assert_captures_nothing, value as captureless};
}
