//! Why a value did not cross.

use std::error::Error as StdError;
use std::sync::Arc;

type Cause = Arc<dyn StdError + Send + Sync + 'static>;

/// Why a value could not be encoded.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Its `Serialize` failed, or it is nested too deep.
    #[error("cannot encode a value of type {type_name}: {cause}")]
    Value {
        /// The type of the whole value.
        type_name: &'static str,
        /// What its `Serialize` said.
        cause: Cause,
    },
    /// The process has no memory for its encoded form.
    #[error(
        "no memory for the encoded form of a value of type {type_name}, of which {len} bytes were there"
    )]
    NoMemory {
        /// The type of the whole value.
        type_name: &'static str,
        /// The bytes that there was memory for.
        len: usize,
    },
    /// It holds more descriptors than one message can carry.
    #[error("a value of type {type_name} holds {count} descriptors, a message carries at most {max}", max = crate::MAX_DESCRIPTORS)]
    TooManyDescriptors {
        /// The type of the whole value.
        type_name: &'static str,
        /// How many it holds.
        count: usize,
    },
}

/// Why bytes could not be turned back into a value.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot decode {len} bytes as a value of type {type_name}: {cause}")]
pub struct DecodeError {
    type_name: &'static str,
    len: usize,
    cause: Cause,
}

impl DecodeError {
    pub(crate) fn new<T>(len: usize, cause: impl StdError + Send + Sync + 'static) -> DecodeError {
        DecodeError { type_name: std::any::type_name::<T>(), len, cause: Arc::new(cause) }
    }

    /// The type that was asked for.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl EncodeError {
    pub(crate) fn value<T: ?Sized>(cause: impl StdError + Send + Sync + 'static) -> EncodeError {
        EncodeError::Value { type_name: std::any::type_name::<T>(), cause: Arc::new(cause) }
    }
}
