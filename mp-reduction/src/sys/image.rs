//! The image of this program: its identity, and functions as offsets into it.
//!
//! A function of the parent is found in the child at the same distance from the start of the
//! image, wherever the image was loaded, if and only if both run the same build.
//!
//! # Safety
//!
//! The dynamic loader's list gives the segments of the main program, which stay mapped as long as
//! it runs. Only readable segments are read, within the bounds that the loader gives.
#![expect(unsafe_code, reason = "the loader's list of segments is a C interface")]
#![expect(clippy::cast_possible_truncation, reason = "an address of a 64-bit ELF program fits")]

use std::ffi::{c_int, c_void};
use std::hash::{DefaultHasher, Hasher};
use std::ops::Range;
use std::slice;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// Which build of which program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BuildId(#[serde(with = "serde_bytes")] Vec<u8>);

/// A function by its place in the program's image.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offset(u64);

impl Offset {
    /// As a number, for messages of a fixed form.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// From what [`to_bits`](Offset::to_bits) gave in a process of the same build.
    pub fn from_bits(bits: u64) -> Offset {
        Offset(bits)
    }
}

/// A program as the loader has put it into memory.
#[derive(Debug)]
pub struct Image {
    base: usize,
    code: Vec<Range<usize>>,
    build_id: BuildId,
}

/// The image of the running program.
pub fn image() -> &'static Image {
    static IMAGE: OnceLock<Image> = OnceLock::new();
    IMAGE.get_or_init(Image::find)
}

impl Image {
    /// Which build this is.
    pub fn build_id(&self) -> &BuildId {
        &self.build_id
    }

    /// Where the function at `address` is; `None` if it is in a shared library rather than the program.
    pub fn offset(&self, address: usize) -> Option<Offset> {
        let inside = self.code.iter().any(|code| code.contains(&address));
        inside.then(|| Offset((address - self.base) as u64))
    }

    /// The address of what is at `offset` in the code of this program, if that is in it at all.
    ///
    /// It is that of a function only if the offset comes from a program with the same
    /// [`build_id`](Image::build_id), and of a function of the type that the offset was taken from.
    pub fn address(&self, offset: Offset) -> Option<usize> {
        let address = self.base.checked_add(usize::try_from(offset.0).ok()?)?;
        self.code.iter().any(|code| code.contains(&address)).then_some(address)
    }

    fn find() -> Image {
        let mut image: Option<Image> = None;
        // SAFETY: `collect` has the signature that the loader calls, and `image` outlives the call.
        unsafe { libc::dl_iterate_phdr(Some(collect), (&raw mut image).cast()) };
        image.expect("the loader lists the main program")
    }
}

/// Called by the loader for each object; the main program comes first and ends the walk.
extern "C" fn collect(info: *mut libc::dl_phdr_info, _size: usize, image: *mut c_void) -> c_int {
    // SAFETY: the loader passes a valid description for the length of the call.
    let info = unsafe { &*info };
    // SAFETY: the loader says where the headers are and how many.
    let headers = unsafe { slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    // SAFETY: `find` passes the address of its own `Option<Image>`, which nothing else uses now.
    let image = unsafe { &mut *image.cast::<Option<Image>>() };
    *image = Some(describe(info.dlpi_addr as usize, headers));
    1
}

fn describe(base: usize, headers: &[libc::Elf64_Phdr]) -> Image {
    let range = |header: &libc::Elf64_Phdr| {
        let start = base + header.p_vaddr as usize;
        start..start + header.p_memsz as usize
    };
    let of_type = |wanted: u32| headers.iter().filter(move |header| header.p_type == wanted);
    let code = of_type(libc::PT_LOAD).filter(|h| h.p_flags & libc::PF_X != 0).map(range).collect();
    let build_id = of_type(libc::PT_NOTE)
        .find_map(|header| gnu_build_id(bytes(range(header))))
        .unwrap_or_else(|| {
            let functions =
                of_type(libc::PT_GNU_EH_FRAME).next().map(|header| bytes(range(header)));
            digest(headers, functions.unwrap_or_default())
        });
    Image { base, code, build_id }
}

/// The bytes of a segment that the loader has mapped for reading.
fn bytes(range: Range<usize>) -> &'static [u8] {
    // SAFETY: notes and unwind tables lie in a readable segment of the main program, mapped
    // as long as it runs and never written.
    unsafe { slice::from_raw_parts(range.start as *const u8, range.len()) }
}

/// The build id that the linker computed from the content of the program.
fn gnu_build_id(mut notes: &[u8]) -> Option<BuildId> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let (header, rest) = notes.split_at_checked(12)?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (name_len, content_len, kind) = (word(0) as usize, word(4) as usize, word(8));
        let (name, rest) = rest.split_at_checked(name_len.next_multiple_of(4))?;
        let content = rest.get(..content_len)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(BuildId(content.to_vec()));
        }
        notes = rest.get(content_len.next_multiple_of(4)..)?;
    }
}

/// The identity of a program that was linked without a build id: the sizes of its segments and
/// the place of every function. Builds that agree in these have a function wherever the other has one.
fn digest(headers: &[libc::Elf64_Phdr], functions: &[u8]) -> BuildId {
    let mut hasher = DefaultHasher::new();
    for header in headers {
        for field in [u64::from(header.p_type), header.p_vaddr, header.p_memsz, header.p_filesz] {
            hasher.write_u64(field);
        }
    }
    hasher.write(functions);
    BuildId(hasher.finish().to_ne_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_again_at_its_offset() {
        fn hook(_: u32) {}
        let address = hook as fn(u32) as usize;
        let offset = image().offset(address).unwrap();
        assert_eq!(image().address(offset), Some(address));
    }

    #[test]
    fn an_address_outside_the_program_is_refused() {
        assert!(image().address(Offset(u64::MAX)).is_none());
        assert!(image().address(Offset(0)).is_none());
        assert!(image().offset(libc::getpid as *const () as usize).is_none());
    }

    #[test]
    fn the_build_id_is_found_behind_other_notes() {
        let note = |kind: u32, content: &[u8]| {
            let mut bytes = Vec::new();
            for word in [4, u32::try_from(content.len()).unwrap(), kind] {
                bytes.extend(word.to_ne_bytes());
            }
            bytes.extend(b"GNU\0");
            bytes.extend(content);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let notes = [note(1, b"abcde"), note(3, b"0123456789")].concat();
        assert_eq!(gnu_build_id(&notes), Some(BuildId(b"0123456789".to_vec())));
        assert_eq!(gnu_build_id(&notes[..30]), None);
        assert_eq!(gnu_build_id(&note(3, b"x")[..8]), None);
    }

    #[test]
    fn a_program_without_a_build_id_is_known_by_its_functions() {
        assert_eq!(digest(&[], b"abc"), digest(&[], b"abc"));
        assert_ne!(digest(&[], b"abc"), digest(&[], b"abd"));
    }
}
