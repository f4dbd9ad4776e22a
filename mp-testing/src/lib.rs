//! What the tests of the workspace share.
#![forbid(unsafe_code)]

use std::fs;
use std::time::{Duration, Instant};
