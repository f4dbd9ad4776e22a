//! The protocol of a chain: who may move what, in which order, and who wakes whom. It knows no memory and
//! no system, so the same code runs in loom's models.

pub(crate) mod chain;
pub(crate) mod circle;
pub(crate) mod end;
pub(crate) mod position;
pub(crate) mod unfinished;
