//! What a protocol needs to know of the processes that share a word: who we are, who lives.

use mp_shared_memory::{MemberId, Object, ShmLayout};

/// The processes that share an object.
pub trait Peers {
    /// This process.
    fn me(&self) -> MemberId;
    /// Whether another one lives; costs a system call.
    fn is_alive(&self, id: MemberId) -> bool;
}

impl<T: ShmLayout> Peers for Object<T> {
    fn me(&self) -> MemberId {
        Object::me(self)
    }

    fn is_alive(&self, id: MemberId) -> bool {
        Object::is_alive(self, id)
    }
}

/// For models and unit tests: a process among peers of whom some are dead.
#[cfg(test)]
pub(crate) mod mock {
    use super::*;

    /// Process `.0`; all numbers from `.1` on are dead.
    #[derive(Clone, Copy)]
    pub(crate) struct Mock(pub(crate) u32, pub(crate) u32);

    impl Mock {
        pub(crate) fn id(number: u32) -> MemberId {
            MemberId::from_word(number << 10 | number).unwrap()
        }
    }

    impl Peers for Mock {
        fn me(&self) -> MemberId {
            Mock::id(self.0)
        }

        fn is_alive(&self, id: MemberId) -> bool {
            (1..self.1).any(|number| Mock::id(number) == id)
        }
    }
}
