//! Where new objects of this process go: arenas of its own, one kind for each size of block.
//!
//! Only this process takes blocks of its arenas, so what is free is kept here, in ordinary memory. A
//! block that another process gave back is found by a sweep when the known ones run out.

use std::panic::Location;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::arena::{Arena, BlockId};
use crate::error::SharedMemoryError as Error;
use crate::region::Kind;
use crate::session;

/// The longest object that goes into an arena, in bytes.
pub const MAX_LEN: usize = 16 * 1024;

/// The sizes of blocks, and how many the first arena of each size has.
const CLASSES: [(usize, u32); 4] = [(64, 240), (512, 64), (4096, 8), (MAX_LEN, 4)];
/// The length up to which a new arena is as long as all before it, in bytes.
const MAX_ARENA_LEN: usize = 8 << 20;

static HEAP: LazyLock<[Mutex<Class>; CLASSES.len()]> = LazyLock::new(|| {
    CLASSES.map(|(payload_len, first)| Mutex::new(Class::new(payload_len, first)))
});

/// The arenas with blocks of one size.
struct Class {
    payload_len: usize,
    first: u32,
    arenas: Vec<Own>,
    free: Vec<(Arc<Arena>, u32)>,
}

/// An arena of this process.
struct Own {
    arena: Arc<Arena>,
    /// For each block, whether it is in the list of free ones.
    is_listed: Vec<bool>,
    listed: usize,
}

/// A new object of `len` bytes, zero; the caller has its only reference.
#[track_caller]
pub(crate) fn allocate(kind: Kind, len: usize) -> Result<(Arc<Arena>, BlockId), Error> {
    let class = CLASSES.iter().position(|&(payload_len, _)| len <= payload_len);
    let class = class.ok_or(Error::InvalidSize { size: len as u64 })?;
    let mut class = HEAP[class].lock();
    let (arena, block) = class.pop()?;
    let id = arena.take(block, kind, len, Location::caller());
    Ok((arena, id))
}

/// Notes a block that has become free; of other processes' arenas nothing is kept here.
pub(crate) fn give_back(arena: &Arc<Arena>, block: u32) {
    let class = CLASSES.iter().position(|&(payload_len, _)| arena.payload_len() == payload_len);
    if let Some(class) = class {
        HEAP[class].lock().push(arena, block);
    }
}

impl Class {
    const fn new(payload_len: usize, first: u32) -> Class {
        Class { payload_len, first, arenas: Vec::new(), free: Vec::new() }
    }

    fn pop(&mut self) -> Result<(Arc<Arena>, u32), Error> {
        if self.free.is_empty() {
            self.replenish()?;
        }
        let (arena, block) = self.free.pop().ok_or(Error::Gone)?;
        if let Some(own) = self.own(&arena) {
            own.is_listed[block as usize] = false;
            own.listed -= 1;
        }
        Ok((arena, block))
    }

    /// Lists what other processes gave back, and makes a new arena if that is little.
    fn replenish(&mut self) -> Result<(), Error> {
        let arenas: Vec<Arc<Arena>> =
            self.arenas.iter().map(|own| Arc::clone(&own.arena)).collect();
        for arena in &arenas {
            for block in arena.sweep() {
                self.push(arena, block);
            }
        }
        let total: usize = arenas.iter().map(|arena| arena.blocks() as usize).sum();
        if self.free.len() >= total.div_ceil(4) && total > 0 {
            return Ok(());
        }
        let most = u32::try_from(MAX_ARENA_LEN / self.payload_len).unwrap_or(u32::MAX);
        let blocks = u32::try_from(total).unwrap_or(most).clamp(self.first, most);
        match Arena::create(self.payload_len, blocks, session::current_name()) {
            Ok(arena) => {
                let is_listed = vec![false; blocks as usize];
                self.arenas.push(Own { arena: Arc::clone(&arena), is_listed, listed: 0 });
                for block in (0..blocks).rev() {
                    self.push(&arena, block);
                }
                Ok(())
            }
            Err(_) if !self.free.is_empty() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lists a block, unless it is listed or was taken again since it became free.
    fn push(&mut self, arena: &Arc<Arena>, block: u32) {
        let is_only = self.arenas.len() == 1;
        let Some(own) = self.own(arena) else { return };
        if own.is_listed[block as usize] || !arena.is_free(block) {
            return;
        }
        own.is_listed[block as usize] = true;
        own.listed += 1;
        let is_empty = own.listed == own.is_listed.len();
        self.free.push((Arc::clone(arena), block));
        // What was taken for a peak goes back to the system, while as much again stays free.
        if is_empty && !is_only && self.free.len() >= 2 * arena.blocks() as usize {
            self.free.retain(|(other, _)| !Arc::ptr_eq(other, arena));
            self.arenas.retain(|own| !Arc::ptr_eq(&own.arena, arena));
        }
    }

    fn own(&mut self, arena: &Arc<Arena>) -> Option<&mut Own> {
        self.arenas.iter_mut().find(|own| Arc::ptr_eq(&own.arena, arena))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::region;

    const TEST: Kind = u32::from_le_bytes(*b"test");

    /// A block that was taken, and the byte that is all over it.
    struct Taken {
        arena: Arc<Arena>,
        block: u32,
        len: usize,
        mark: u8,
    }

    impl Taken {
        /// Where it lies.
        fn range(&self) -> std::ops::Range<usize> {
            let start = self.arena.bytes(self.block, self.len).as_ptr() as usize;
            start..start + self.len
        }
    }

    fn take(len: usize, mark: u8) -> Taken {
        let (arena, id) = allocate(TEST, len).unwrap();
        let bytes = arena.bytes(id.block, len);
        let mut before = vec![1; len];
        region::load(bytes, &mut before);
        assert!(before.iter().all(|byte| *byte == 0), "a new object is zero");
        region::store(bytes, &vec![mark; len]);
        Taken { block: id.block, len, mark, arena }
    }

    fn give(taken: &Taken) {
        let mut bytes = vec![0; taken.len];
        region::load(taken.arena.bytes(taken.block, taken.len), &mut bytes);
        assert!(bytes.iter().all(|byte| *byte == taken.mark), "somebody else stored here");
        assert!(taken.arena.release(taken.block));
        give_back(&taken.arena, taken.block);
    }

    /// Every block is free or taken, each once, and the lists say the same as the blocks.
    fn check(taken: &[Taken]) {
        let mut ranges: Vec<_> = taken.iter().map(Taken::range).collect();
        ranges.sort_by_key(|range| range.start);
        assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start), "two overlap");
        for (class, (payload_len, _)) in HEAP.iter().zip(CLASSES) {
            let class = class.lock();
            let all: usize = class.arenas.iter().map(|own| own.arena.blocks() as usize).sum();
            let used = taken.iter().filter(|taken| taken.arena.payload_len() == payload_len);
            assert_eq!(class.free.len() + used.count(), all, "free and used are all");
            let listed: usize = class.arenas.iter().map(|own| own.listed).sum();
            assert_eq!(listed, class.free.len());
            let mut free: Vec<_> =
                class.free.iter().map(|(arena, block)| (Arc::as_ptr(arena), *block)).collect();
            free.sort_unstable();
            assert!(free.windows(2).all(|pair| pair[0] != pair[1]), "listed twice");
            assert!(class.free.iter().all(|(arena, block)| arena.is_free(*block)));
        }
    }

    /// In a process of its own the books would be this test's alone; here other tests take blocks as well,
    /// so it has a heap to itself by running in one ignored test of one process.
    #[test]
    fn v_14_random_allocations_tile_the_arenas() {
        let output = std::process::Command::new("/proc/self/exe")
            .args(["--exact", "heap::tests::five_thousand_allocations", "--ignored"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    #[ignore = "run by v_14 in a process of its own"]
    fn five_thousand_allocations() {
        let steps =
            prop::collection::vec((0..=MAX_LEN, 0..4_u32, any::<u8>(), any::<usize>()), 5000);
        let config = ProptestConfig { cases: 4, ..ProptestConfig::default() };
        proptest!(config, |(steps in steps)| {
            let mut taken: Vec<Taken> = Vec::new();
            for (step, (len, shift, mark, victim)) in steps.into_iter().enumerate() {
                taken.push(take(len >> (3 * shift), mark));
                if taken.len() > 500 || victim % 3 == 0 {
                    give(&taken.swap_remove(victim % taken.len()));
                }
                if step % 100 == 0 {
                    check(&taken);
                }
            }
            check(&taken);
            while let Some(last) = taken.pop() {
                give(&last);
            }
            check(&[]);
        });
    }
}
