//! [`Purpose`]: whose queue it is, for whoever looks at it from outside.

/// Whose queue it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// A program's.
    #[default]
    Program = 0,
    /// One in which a pool has its tasks, or hears of them.
    Pool = 1,
    /// One between a server and a thread that calls it.
    Server = 2,
}

impl Purpose {
    #[cfg(not(mp_loom))]
    pub(crate) fn from_word(word: u32) -> Purpose {
        let others = [Purpose::Pool, Purpose::Server];
        others.into_iter().find(|purpose| *purpose as u32 == word).unwrap_or_default()
    }
}
