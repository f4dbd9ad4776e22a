//! [`MemoryBlock`]: shared memory that lives as long as anybody refers to it, handed out by a server.

use std::fmt::{self, Debug, Display};
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use mp_shared_memory::{SharedMemory, SharedMemoryError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::call::Call;
use crate::error::ManagerError;
use crate::failure::{Failure, Refusal};
use crate::hosted::{Hosted, Reply};
use crate::managed::{Manageable, Managed, managed};
use crate::proxy::{Proxy, TypedProxy};
use crate::reference::Reference;
use crate::registry::Registered;
use crate::server_process::ServerProcess;
use crate::shelf::Shelf;

/// A block of shared memory in a server.
///
/// Methods of managed types make it, fill it and return it as [`managed_memoryblock`]. By itself it can go nowhere: it is
/// not serialisable.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// struct Camera;
///
/// #[mp::managed]
/// impl Camera {
///     pub fn new() -> Self {
///         Camera
///     }
///     pub fn image(&self, bytes: usize) -> mp::Result<mp::Managed<mp::MemoryBlock>> {
///         let block = mp::MemoryBlock::new(bytes)?;
///         block.write_at(3, &[26])?;
///         Ok(mp::managed_memoryblock(block))
///     }
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let image = server.create(Camera::args())?.image(1 << 20)?;
/// let mut byte = [0];
/// image.read_at(3, &mut byte)?; // straight from the memory
/// assert_eq!(byte, [26]);
/// # Ok::<(), mp::Error>(())
/// ```
#[derive(Debug)]
#[doc(alias = "mpservice.multiprocessing.server_process.MemoryBlock")]
pub struct MemoryBlock(SharedMemory);

impl MemoryBlock {
    /// A block of `size` bytes, all zero.
    ///
    /// # Errors
    ///
    /// [`SharedMemoryError::InvalidSize`] for no bytes, [`SharedMemoryError::NoSpace`] when there is no memory for them.
    pub fn new(size: usize) -> Result<MemoryBlock, SharedMemoryError> {
        SharedMemory::create(size).map(MemoryBlock)
    }
}

/// Its size, and how its bytes are read and written.
impl Deref for MemoryBlock {
    type Target = SharedMemory;

    fn deref(&self) -> &SharedMemory {
        &self.0
    }
}

impl Manageable for MemoryBlock {
    type Proxy = MemoryBlockProxy;

    const NAME: &'static str = "memory_block";

    fn serve(object: &Shelf<MemoryBlock>, method: &str, call: &Call<'_>) -> Reply {
        let _has_no_methods = (object, method);
        call.unknown_method(MemoryBlock::NAME)
    }

    fn into_hosted(self) -> Box<dyn Hosted> {
        Box::new(self)
    }
}

impl Hosted for MemoryBlock {
    fn serve(&self, method: &str, call: &Call<'_>) -> Reply {
        match method {
            "memory" => call.reply(&self.0),
            _ => call.unknown_method(MemoryBlock::NAME),
        }
    }

    fn type_name(&self) -> &'static str {
        MemoryBlock::NAME
    }

    fn preview(&self) -> String {
        format!("MemoryBlock({} bytes)", self.size())
    }

    fn memory(&self) -> Option<&SharedMemory> {
        Some(&self.0)
    }
}

/// Has a block live in this server, and gives a proxy to it, to be returned from a method alone or in anything.
pub fn managed_memoryblock(block: MemoryBlock) -> Managed<MemoryBlock> {
    managed(block)
}

/// A block of shared memory that a server has handed out. Clones, and those in other processes, are the same block.
///
/// Every process reads and writes the memory itself: no bytes go through the server. It has all methods of a
/// [`SharedMemory`]: `size`, `read_at`, `write_at`, and the unsafe `buf`. Name and size travel with it.
///
/// The memory is given back to the system when the last proxy is gone, in whichever process or message. It has no name in
/// the file system.
///
/// # When a process dies
///
/// What a killed process held is given back. When the server ends, those who have the block keep its memory until they drop
/// it.
///
/// # Examples
///
/// ```
/// mp::enable_test_support!();
///
/// fn fill(block: mp::MemoryBlockProxy) -> mp::Result<()> {
///     Ok(block.write_at(0, b"hello")?)
/// }
///
/// let server = mp::ServerProcess::start()?;
/// let block = server.memory_block(1000)?;
/// mp::Process::start(fill, (block.clone(),))?.join()?;
/// let mut bytes = [0; 5];
/// block.read_at(0, &mut bytes)?;
/// assert_eq!(&bytes, b"hello");
/// # Ok::<(), mp::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryBlockProxy {
    proxy: Proxy,
    memory: SharedMemory,
}

impl MemoryBlockProxy {
    /// What it is called, in all processes; it is no file.
    pub fn name(&self) -> String {
        let (high, low) = self.proxy.server().words();
        format!("mp-block-{high:016x}{low:016x}-{}", self.proxy.object_id())
    }
}

impl Deref for MemoryBlockProxy {
    type Target = SharedMemory;

    fn deref(&self) -> &SharedMemory {
        &self.memory
    }
}

impl TypedProxy for MemoryBlockProxy {
    const TYPE: &'static str = MemoryBlock::NAME;

    /// # Panics
    ///
    /// For a proxy of something else, or of a server that is gone: this is no way to come by a proxy.
    fn from_proxy(proxy: Proxy) -> MemoryBlockProxy {
        let memory = match proxy.reference() {
            Reference::Here(entry) => entry.object().memory().cloned(),
            Reference::There(_) => proxy.call("memory", &()).ok(),
        };
        let Some(memory) = memory else { panic!("{proxy:?} stands for no memory block") };
        MemoryBlockProxy { proxy, memory }
    }

    fn as_proxy(&self) -> &Proxy {
        &self.proxy
    }
}

impl PartialEq for MemoryBlockProxy {
    fn eq(&self, other: &MemoryBlockProxy) -> bool {
        self.proxy == other.proxy
    }
}

impl Eq for MemoryBlockProxy {}

impl Hash for MemoryBlockProxy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.proxy.hash(state);
    }
}

impl Debug for MemoryBlockProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} bytes", self.proxy, self.size())
    }
}

impl Display for MemoryBlockProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryBlock({} bytes)", self.size())
    }
}

impl Serialize for MemoryBlockProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.proxy, &self.memory).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for MemoryBlockProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MemoryBlockProxy, D::Error> {
        let (proxy, memory) = Deserialize::deserialize(deserializer)?;
        Ok(MemoryBlockProxy { proxy, memory })
    }
}

inventory::submit! {
    Registered {
        name: MemoryBlock::NAME,
        place: concat!(file!(), ":", line!()),
        create: |call| {
            let (size,): (u64,) = call.args()?;
            // What no memory can have, there is no room for either.
            let block = MemoryBlock::new(usize::try_from(size).unwrap_or(usize::MAX));
            Ok(block.map_err(refused)?.into_hosted())
        },
    }
}

fn refused(error: SharedMemoryError) -> Failure {
    match error {
        SharedMemoryError::NoSpace { asked, available } => {
            Refusal::NoSpace { asked, available }.into()
        }
        SharedMemoryError::InvalidSize { size } => Refusal::InvalidSize { size }.into(),
        error => Failure::raised(error),
    }
}

impl ServerProcess {
    /// Has the server make a block of `size` bytes of shared memory, all zero.
    ///
    /// # Errors
    ///
    /// [`ManagerError::Memory`] for no bytes, or when there is no memory for them. A server on another machine cannot
    /// share memory: [`ManagerError::Transfer`].
    pub fn memory_block(&self, size: usize) -> Result<MemoryBlockProxy, ManagerError> {
        let arguments = self.handle().encode(&(size,))?;
        let proxy = self.handle().create_named(MemoryBlock::NAME, arguments)?;
        let memory = proxy.call("memory", &())?;
        Ok(MemoryBlockProxy { proxy, memory })
    }
}
