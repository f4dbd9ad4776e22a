//! [`Order`]: what a worker is to do with encoded arguments.

use mp_context::__private::{Job, offset_of_job};
use mp_reduction::Offset;
use serde::{Deserialize, Serialize};

use crate::error::PoolError;
use crate::message::Limits;
use crate::options::TaskOptions;

/// Which function of this program a task calls, and how it is to be run; a value for processes of the same build.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Order {
    pub(crate) job: Offset,
    pub(crate) limits: Limits,
    pub(crate) retries: u32,
    pub(crate) idempotent: bool,
}

impl Order {
    pub(crate) fn new(job: Offset, options: &TaskOptions) -> Order {
        let TaskOptions { limits, retries, idempotent, .. } = *options;
        Order { job, limits, retries, idempotent }
    }
}

/// Where a job is, which calls a function of that type.
pub(crate) fn place_of(job: Job, function: &'static str) -> Result<Offset, PoolError> {
    offset_of_job(job).ok_or(PoolError::FunctionOutsideProgram { function })
}
