//! A serializer around another that keeps deep values from overflowing the stack.
//!
//! Serialising recurses once per level of nesting. At each level [`Deep`] moves to a new piece of
//! stack on the heap when little is left. Deserialising does the same with `serde_stacker`,
//! whose serializer leaves out options, newtypes and enum variants.

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// The stack that one level of nesting may need, in bytes.
const RED_ZONE: usize = 64 * 1024;
/// The length of a new piece of stack, in bytes.
const PIECE: usize = 2 * 1024 * 1024;

/// A serializer, one of its compound states, or a value on its way into one.
pub(crate) struct Deep<T>(pub(crate) T);

impl<T: Serialize + ?Sized> Serialize for Deep<&T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if is_number::<T>() {
            return self.0.serialize(Deep(serializer));
        }
        stacker::maybe_grow(RED_ZONE, PIECE, || self.0.serialize(Deep(serializer)))
    }
}

/// Whether a type is a number of the language, or a reference to one as a slice gives: it nests nothing, and looking at the
/// stack for each would take as long as encoding it.
///
/// Known by its name, for the type may hold references; the compiler makes a constant of it.
fn is_number<T: ?Sized>() -> bool {
    macro_rules! is_one_of {
        ($($number:ident),*) => {
            matches!(
                std::any::type_name::<T>(),
                $(stringify!($number) | concat!("&", stringify!($number)))|*
            )
        };
    }
    is_one_of!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64, bool)
}

/// Methods that take a value without parts.
macro_rules! plain {
    ($($method:ident: $value:ty),* $(,)?) => {
        $(fn $method(self, value: $value) -> Result<S::Ok, S::Error> {
            self.0.$method(value)
        })*
    };
}

/// Methods that begin a compound.
macro_rules! compound {
    ($($method:ident($($argument:ident: $type:ty),*) -> $state:ident;)*) => {
        $(fn $method(self, $($argument: $type),*) -> Result<Self::$state, S::Error> {
            self.0.$method($($argument),*).map(Deep)
        })*
    };
}

impl<S: Serializer> Serializer for Deep<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Deep<S::SerializeSeq>;
    type SerializeTuple = Deep<S::SerializeTuple>;
    type SerializeTupleStruct = Deep<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Deep<S::SerializeTupleVariant>;
    type SerializeMap = Deep<S::SerializeMap>;
    type SerializeStruct = Deep<S::SerializeStruct>;
    type SerializeStructVariant = Deep<S::SerializeStructVariant>;

    plain! {
        serialize_bool: bool, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_i128: i128, serialize_u128: u128, serialize_f32: f32, serialize_f64: f64,
        serialize_unit_struct: &'static str,
    }

    compound! {
        serialize_seq(len: Option<usize>) -> SerializeSeq;
        serialize_tuple(len: usize) -> SerializeTuple;
        serialize_tuple_struct(name: &'static str, len: usize) -> SerializeTupleStruct;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeTupleVariant;
        serialize_map(len: Option<usize>) -> SerializeMap;
        serialize_struct(name: &'static str, len: usize) -> SerializeStruct;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            -> SerializeStructVariant;
    }

    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_none()
    }

    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_unit_variant(name, index, variant)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Deep(value))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Deep(value))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Deep(value))
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// The state of a compound whose parts have no names.
macro_rules! elements {
    ($($interface:ident::$method:ident),* $(,)?) => {
        $(impl<C: $interface> $interface for Deep<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                self.0.$method(&Deep(value))
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        })*
    };
}

elements! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// The state of a compound whose parts have names.
macro_rules! fields {
    ($($interface:ident),* $(,)?) => {
        $(impl<C: $interface> $interface for Deep<C> {
            type Ok = C::Ok;
            type Error = C::Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), C::Error> {
                self.0.serialize_field(key, &Deep(value))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                self.0.skip_field(key)
            }

            fn end(self) -> Result<C::Ok, C::Error> {
                self.0.end()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl<C: SerializeMap> SerializeMap for Deep<C> {
    type Ok = C::Ok;
    type Error = C::Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.0.serialize_key(&Deep(key))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.0.serialize_value(&Deep(value))
    }

    fn end(self) -> Result<C::Ok, C::Error> {
        self.0.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_known_as_such_and_what_may_nest_is_not() {
        assert!(
            is_number::<u64>() && is_number::<&u64>() && is_number::<&f32>() && is_number::<bool>()
        );
        assert!(!is_number::<&&u64>() && !is_number::<Option<u64>>() && !is_number::<[u8]>());
        assert!(!is_number::<str>() && !is_number::<Box<u64>>() && !is_number::<(u64,)>());
    }
}
