//! The protocols: what each shared word means, every legal move of it, and who wakes whom. They know
//! no memory and no system, so the same code runs in loom's models.

pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod event;
pub(crate) mod lock;
pub(crate) mod rlock;
pub(crate) mod semaphore;
