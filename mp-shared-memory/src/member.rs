//! Who uses an arena: processes, told apart for good.

/// A process among the members of one arena: its entry in the table, and how many had that before.
///
/// It is what a lock word holds as its owner: 30 bits, and never zero. It is no pid, so a pid that the
/// system uses again means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberId(u32);

/// Bits of the index; the generation has the others.
const INDEX_BITS: u32 = 10;
const GENERATIONS: u32 = 1 << (MemberId::BITS - INDEX_BITS);

impl MemberId {
    /// How many low bits of a word an id takes; the others are free for flags.
    pub const BITS: u32 = 30;
    /// The value of no process.
    pub(crate) const NOBODY: MemberId = MemberId(0);

    /// The id in a word of shared memory; `None` for no process. Every word is an id or none.
    pub fn from_word(word: u32) -> Option<MemberId> {
        let id = word & ((1 << MemberId::BITS) - 1);
        (id != 0).then_some(MemberId(id))
    }

    /// The bits of a word that name this process.
    pub fn to_word(self) -> u32 {
        self.0
    }

    /// The process that takes entry `index` after one with generation `before`.
    pub(crate) fn next(index: u32, before: u32) -> MemberId {
        // What was there may be anything.
        let generation = before.checked_add(1).filter(|next| *next < GENERATIONS).unwrap_or(1);
        MemberId(generation << INDEX_BITS | index)
    }

    /// The process that has entry `index` with this generation; `None` for one that nobody can have had.
    pub(crate) fn of(index: u32, generation: u32) -> Option<MemberId> {
        (1..GENERATIONS).contains(&generation).then_some(MemberId(generation << INDEX_BITS | index))
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & ((1 << INDEX_BITS) - 1)) as usize
    }

    pub(crate) fn generation(self) -> u32 {
        self.0 >> INDEX_BITS
    }
}

/// A process that uses or has used shared objects, as people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process '{}' (pid {})", self.name, self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_out_of_a_word_as_it_went_in_and_generations_wrap() {
        let id = MemberId::next(1023, 0);
        assert_eq!((id.index(), id.generation()), (1023, 1));
        assert_eq!(MemberId::from_word(id.to_word() | 1 << 31), Some(id));
        let last = MemberId::next(3, GENERATIONS - 2);
        assert_eq!(last.generation(), GENERATIONS - 1);
        assert_eq!(MemberId::next(3, last.generation()).generation(), 1);
        assert_eq!(MemberId::from_word(1 << 30), None);
    }
}
