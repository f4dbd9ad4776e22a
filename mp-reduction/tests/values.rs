//! Every serde value comes back equal; descriptors come with it; hostile bytes are an error.

use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use mp_reduction::transfer::{self, OutsideTransfer};
use mp_reduction::{
    Attachments, DupFd, EncodeError, MAX_DESCRIPTORS, Message, Part, decode_from, encode,
    encode_into,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[expect(clippy::unwrap_used, reason = "a test that cannot go on")]
fn round_trip<T: Serialize + DeserializeOwned>(value: &T) -> T {
    encode(value).unwrap().decode().unwrap()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    id: u128,
    offset: i128,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(flatten)]
    place: Place,
    shape: Shape,
    any: Untagged,
    tagged: Tagged,
    #[serde(with = "serde_bytes")]
    blob: Vec<u8>,
    by_number: BTreeMap<i64, (char, f32)>,
    unit: (),
    marker: Marker,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    x: f64,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    path: Vec<u16>,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    Wrapped(Box<Shape>),
    Pair(i8, u64),
    Named { side: Option<u32> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Flag(bool),
    Number(i64),
    Text(String),
    Point { x: i32, y: i32 },
    List(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "value")]
enum Tagged {
    A { n: u32 },
    B(String),
    C,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        Just(Shape::Empty),
        any::<(i8, u64)>().prop_map(|(a, b)| Shape::Pair(a, b)),
        any::<Option<u32>>().prop_map(|side| Shape::Named { side }),
    ];
    leaf.prop_recursive(50, 50, 1, |inner| inner.prop_map(|s| Shape::Wrapped(Box::new(s))))
}

fn untagged() -> impl Strategy<Value = Untagged> {
    prop_oneof![
        any::<bool>().prop_map(Untagged::Flag),
        any::<i64>().prop_map(Untagged::Number),
        any::<String>().prop_map(Untagged::Text),
        any::<(i32, i32)>().prop_map(|(x, y)| Untagged::Point { x, y }),
        // An empty list is fine too; `Point` is tried first and takes none of them.
        proptest::collection::vec(any::<String>(), 0..3).prop_map(Untagged::List),
    ]
}

fn tagged() -> impl Strategy<Value = Tagged> {
    prop_oneof![
        any::<u32>().prop_map(|n| Tagged::A { n }),
        any::<String>().prop_map(Tagged::B),
        Just(Tagged::C),
    ]
}

prop_compose! {
    fn everything()(
        (id, offset, note, tags) in any::<(u128, i128, Option<String>, Vec<String>)>(),
        x in -1e300..1e300_f64,
        path in proptest::collection::vec(any::<u16>(), 0..3),
        rest in proptest::collection::btree_map("[p-z]{4,6}", any::<u8>(), 0..3),
        shape in shape(),
        any in untagged(),
        tagged in tagged(),
        blob in any::<Vec<u8>>(),
        by_number in proptest::collection::btree_map(any::<i64>(), (any::<char>(), -1e30..1e30_f32), 0..4),
    ) -> Everything {
        Everything {
            id, offset, note, tags, place: Place { x, path, rest }, shape, any, tagged, blob,
            by_number, unit: (), marker: Marker,
        }
    }
}

proptest! {
    #[test]
    fn structs_and_enums_of_every_form_come_back(value in everything()) {
        prop_assert_eq!(round_trip(&value), value);
    }

    #[test]
    fn numbers_come_back_bit_for_bit(value: (u8, i16, u32, i64, u128, i128, char, bool)) {
        prop_assert_eq!(round_trip(&value), value);
    }

    #[test]
    fn floats_come_back_bit_for_bit(bits32: u32, bits64: u64) {
        let (a, b) = round_trip(&(f32::from_bits(bits32), f64::from_bits(bits64)));
        prop_assert_eq!((a.to_bits(), b.to_bits()), (bits32, bits64));
    }

    #[test]
    fn maps_with_compound_keys_come_back(
        value in proptest::collection::hash_map(
            any::<(u8, char)>(), proptest::collection::vec(any::<Option<(i64, char)>>(), 0..4), 0..4,
        ),
    ) {
        prop_assert_eq!(round_trip(&value), value);
    }

    #[test]
    fn hostile_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
        let message = Message::from_parts(bytes, Vec::new());
        let _everything = message.decode::<Everything>();
        let _nested = message.decode::<Vec<HashMap<String, Shape>>>();
        let _fd = message.decode::<(DupFd, DupFd)>();
    }

    #[test]
    fn changed_bytes_are_a_value_or_an_error(value in everything(), at: usize, byte: u8) {
        let mut bytes = encode(&value).unwrap().bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _value = Message::from_parts(bytes, Vec::new()).decode::<Everything>();
    }
}

#[test]
fn a_field_that_was_left_out_gets_its_default() {
    #[derive(Serialize)]
    struct Old {
        name: &'static str,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct New {
        name: String,
        #[serde(default)]
        retries: u32,
    }
    let message = encode(&Old { name: "a" }).unwrap();
    assert_eq!(message.decode::<New>().unwrap(), New { name: "a".to_owned(), retries: 0 });
}

#[test]
fn nesting_far_beyond_the_stack_of_a_thread_comes_back() {
    fn depth_of(mut shape: Shape) -> usize {
        let mut depth = 0;
        while let Shape::Wrapped(inner) = shape {
            shape = *inner;
            depth += 1;
        }
        depth
    }
    let work = || {
        let mut shape = Shape::Empty;
        for _ in 0..20_000 {
            shape = Shape::Wrapped(Box::new(shape));
        }
        let back = round_trip(&shape);
        assert_eq!(depth_of(back), 20_000);
        assert_eq!(depth_of(shape), 20_000); // and taken apart without recursion
    };
    std::thread::Builder::new().stack_size(512 * 1024).spawn(work).unwrap().join().unwrap();
}

#[test]
fn bytes_behind_the_value_are_an_error() {
    let mut bytes = encode(&7_u8).unwrap().bytes().to_vec();
    bytes.push(0);
    let error = Message::from_parts(bytes, Vec::new()).decode::<u8>().unwrap_err();
    assert!(error.to_string().contains("something follows"), "{error}");
}

#[test]
fn a_serialize_that_fails_or_panics_leaves_the_next_message_alone() {
    struct Fails(bool);
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            assert!(!self.0, "panics");
            Err(serde::ser::Error::custom("will not"))
        }
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    let fd = DupFd::from(reader);
    let error = encode(&(&fd, Fails(false))).unwrap_err();
    assert!(error.to_string().contains("will not"), "{error}");
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| encode(&(&fd, Fails(true)))));
    assert!(panicked.is_err());
    assert_eq!(encode(&fd).unwrap().attachments().len(), 1);
    assert_eq!(encode(&1).unwrap().attachments().len(), 0);
}

#[test]
fn descriptors_travel_beside_the_bytes_and_decode_twice() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let message = encode(&vec![Some(DupFd::from(writer)), None]).unwrap();
    for text in ["one", "two"] {
        let fds: Vec<Option<DupFd>> = message.decode().unwrap();
        let [Some(fd), None] = <[_; 2]>::try_from(fds).unwrap() else { panic!("two entries") };
        fd.into::<std::io::PipeWriter>().write_all(text.as_bytes()).unwrap();
    }
    drop(message);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap(); // ends: nobody holds the writer any more
    assert_eq!(text, "onetwo");
}

#[test]
fn a_message_inside_a_message_keeps_its_own_descriptors() {
    struct Nested(DupFd);
    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = encode(&(&self.0, &self.0)).map_err(serde::ser::Error::custom)?;
            assert_eq!(inner.attachments().len(), 2);
            self.0.serialize(serializer)
        }
    }
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(encode(&Nested(reader.into())).unwrap().attachments().len(), 1);
}

#[test]
fn a_descriptor_outside_a_transfer_is_an_error_that_says_why() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let error = rmp_serde::to_vec(&DupFd::from(reader)).unwrap_err().to_string();
    assert!(error.contains("only for another process"), "{error}");
    let error = rmp_serde::from_slice::<DupFd>(&[0]).unwrap_err().to_string();
    assert!(error.contains("no descriptor 0"), "{error}");
}

#[test]
fn too_many_descriptors_are_an_error_that_names_both_numbers() {
    let fd = Arc::new(DupFd::from(std::fs::File::open("/dev/null").unwrap()));
    assert!(encode(&vec![fd.clone(); MAX_DESCRIPTORS]).is_ok());
    let error = encode(&vec![fd; MAX_DESCRIPTORS + 1]).unwrap_err();
    assert!(matches!(error, EncodeError::TooManyDescriptors { count: 254, .. }), "{error}");
}

#[test]
fn bytes_that_were_there_stay_and_a_failure_leaves_nothing_behind_them() {
    struct Fails;
    impl Serialize for Fails {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("will not"))
        }
    }
    let fd = DupFd::from(std::fs::File::open("/dev/null").unwrap());
    let mut bytes = b"head".to_vec();
    for _ in 0..2 {
        encode_into(&("a long text", &fd, Fails), &mut bytes).unwrap_err();
        assert_eq!(bytes, b"head");
    }
    let fds: Vec<_> = (0..=MAX_DESCRIPTORS).map(|_| &fd).collect();
    encode_into(&fds, &mut bytes).unwrap_err();
    assert_eq!(bytes, b"head");
    let attachments = encode_into(&("text", &fd), &mut bytes).unwrap();
    assert_eq!((attachments.descriptors().len(), attachments.parts().len()), (1, 0));
    let (text, _fd): (String, DupFd) = decode_from(&bytes[4..], &attachments.clone()).unwrap();
    assert_eq!(text, "text");
    decode_from::<(String, DupFd)>(&bytes[4..], &Attachments::default()).unwrap_err();
}

/// A handle to byte `.1` of the file with the number `.0`.
struct Shared(u64, u32);

impl Serialize for Shared {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let make = || std::fs::File::open("/dev/null").map(Into::into).map_err(|_| OutsideTransfer);
        let add = |_: BorrowedFd<'_>| {
            let inner = make().and_then(transfer::attach);
            assert_eq!(inner, Err(OutsideTransfer), "within the closures nothing can be attached");
            Ok(())
        };
        transfer::attach_shared((1, self.0), self.1, make, add)
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[test]
fn handles_to_one_file_share_its_descriptor_and_each_names_its_part_once() {
    let fd = DupFd::from(std::fs::File::open("/dev/null").unwrap());
    let value =
        (Shared(7, 9), &fd, (Shared(8, 1), Shared(7, 3)), [Shared(7, 9), Shared(7, u32::MAX)]);
    let attachments = encode_into(&value, &mut Vec::new()).unwrap();
    assert_eq!(attachments.descriptors().len(), 3);
    let parts = [(0, 3), (0, 9), (0, u32::MAX), (2, 1)];
    assert_eq!(attachments.parts(), parts.map(|(attachment, byte)| Part { attachment, byte }));
    let none = encode_into(&fd, &mut Vec::new()).unwrap();
    assert_eq!(none.parts(), [], "the next message is another");
}

#[test]
fn a_panic_that_a_value_catches_loses_no_attachment() {
    struct Catches(DupFd);
    impl Serialize for Catches {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let panics = || {
                transfer::attach_shared::<OutsideTransfer>((1, 1), 0, || panic!("none"), |_| Ok(()))
            };
            std::panic::catch_unwind(panics).unwrap_err();
            encode(&3).map_err(serde::ser::Error::custom)?;
            self.0.serialize(serializer)
        }
    }
    let fds = [(); 2].map(|()| Catches(std::fs::File::open("/dev/null").unwrap().into()));
    let message = encode(&fds).unwrap();
    assert_eq!(message.attachments().len(), 2);
    message.decode::<[DupFd; 2]>().unwrap();
}

#[test]
fn a_message_read_while_another_is_read_keeps_the_descriptors_of_both() {
    #[derive(Debug)]
    struct Reads;
    impl<'de> Deserialize<'de> for Reads {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Reads, D::Error> {
            encode(&1).unwrap().decode::<u8>().unwrap();
            encode(&1).unwrap().decode::<DupFd>().unwrap_err();
            DupFd::deserialize(deserializer).map(|_fd| Reads)
        }
    }
    let fds = [(); 2].map(|()| DupFd::from(std::fs::File::open("/dev/null").unwrap()));
    let message = encode(&fds).unwrap();
    message.decode::<[Reads; 2]>().unwrap();
    message.decode::<Vec<Reads>>().unwrap();
}
