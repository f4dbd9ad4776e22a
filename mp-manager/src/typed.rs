//! What the proxies of this library's own types have in common.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ManagerError;
use crate::handle::Handle;
use crate::id::ServerId;
use crate::parts::{Malformed, Packing, Parts};
use crate::payload::{Item, Payload};
use crate::proxy::Proxy;

/// Declares a proxy type: `pub struct ListProxy<T> = "list";`.
macro_rules! typed_proxy {
    ($(#[$attribute:meta])* pub struct $name:ident $(<$($item:ident),+>)? = $type_name:literal;) => {
        $(#[$attribute])*
        pub struct $name $(<$($item),+>)? (
            $crate::proxy::Proxy,
            ::std::marker::PhantomData<fn() -> ($($($item,)+)?)>,
        );

        impl $(<$($item: 'static),+>)? $crate::proxy::TypedProxy for $name $(<$($item),+>)? {
            const TYPE: &'static str = $type_name;

            fn from_proxy(proxy: $crate::proxy::Proxy) -> Self {
                $name(proxy, ::std::marker::PhantomData)
            }

            fn as_proxy(&self) -> &$crate::proxy::Proxy {
                &self.0
            }
        }

        $crate::typed::proxy_traits!($name $(<$($item),+>)?);
    };
}

/// The traits of a type that implements [`TypedProxy`](crate::proxy::TypedProxy), for which it stands beside them: it is
/// cloned, compared, shown and sent as the proxy in it.
macro_rules! proxy_traits {
    ($name:ident $(<$($item:ident),+>)?) => {
        const _: () = {
            use ::std::fmt;
            use ::std::hash::{Hash, Hasher};

            use $crate::proxy::TypedProxy;

            impl $(<$($item: 'static),+>)? Clone for $name $(<$($item),+>)? {
                fn clone(&self) -> Self {
                    Self::from_proxy(self.as_proxy().clone())
                }
            }

            /// What it is, and of which server.
            impl $(<$($item: 'static),+>)? fmt::Debug for $name $(<$($item),+>)? {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Debug::fmt(self.as_proxy(), f)
                }
            }

            /// What the object itself looks like: its server is asked.
            impl $(<$($item: 'static),+>)? fmt::Display for $name $(<$($item),+>)? {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    fmt::Display::fmt(self.as_proxy(), f)
                }
            }

            /// Whether both stand for the same object.
            impl $(<$($item: 'static),+>)? PartialEq for $name $(<$($item),+>)? {
                fn eq(&self, other: &Self) -> bool {
                    self.as_proxy() == other.as_proxy()
                }
            }

            impl $(<$($item: 'static),+>)? Eq for $name $(<$($item),+>)? {}

            impl $(<$($item: 'static),+>)? Hash for $name $(<$($item),+>)? {
                fn hash<H: Hasher>(&self, state: &mut H) {
                    self.as_proxy().hash(state);
                }
            }

            impl $(<$($item: 'static),+>)? ::serde::Serialize for $name $(<$($item),+>)? {
                fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    self.as_proxy().serialize(serializer)
                }
            }

            impl<'de $($(, $item: 'static)+)?> ::serde::Deserialize<'de> for $name $(<$($item),+>)? {
                fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    $crate::proxy::deserialize_typed(deserializer)
                }
            }
        };
    };
}

pub(crate) use {proxy_traits, typed_proxy};

/// Calls as they are made here: what the server takes and gives are values that it does not open.
impl Proxy {
    /// Encodes a value for the server.
    pub(crate) fn encode(
        &self,
        value: &(impl Serialize + ?Sized),
    ) -> Result<Payload, ManagerError> {
        Payload::encode(self.server(), value).map_err(ManagerError::Encode)
    }

    /// Encodes several values for the server.
    pub(crate) fn pack<T: Serialize>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Payload, ManagerError> {
        pack(self.server(), values)
    }

    /// Encodes two values of different types for the server, or several such pairs.
    pub(crate) fn pack_pairs<K: Serialize, V: Serialize>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Payload, ManagerError> {
        pack_pairs(self.server(), pairs)
    }

    /// Calls a method that gives nothing.
    pub(crate) fn tell(&self, method: &str, arguments: Payload) -> Result<(), ManagerError> {
        self.call_encoded(method, arguments).map(drop)
    }

    /// Calls a method that gives a value.
    pub(crate) fn ask<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: Payload,
    ) -> Result<R, ManagerError> {
        self.call_encoded(method, arguments)?.decode().map_err(ManagerError::Decode)
    }

    /// Calls a method that gives a value or nothing, which is no bytes at all: no value is.
    pub(crate) fn ask_optional<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: Payload,
    ) -> Result<Option<R>, ManagerError> {
        let reply = self.call_encoded(method, arguments)?;
        if reply.bytes.is_empty() {
            return Ok(None);
        }
        reply.decode().map(Some).map_err(ManagerError::Decode)
    }

    /// Calls a method that gives any number of values.
    pub(crate) fn ask_all<R: DeserializeOwned>(
        &self,
        method: &str,
        arguments: Payload,
    ) -> Result<Vec<R>, ManagerError> {
        let reply = self.call_encoded(method, arguments)?;
        self.unpack(reply.parts())
    }

    /// All values of a reply.
    pub(crate) fn unpack<R: DeserializeOwned>(
        &self,
        parts: Result<Parts<'_>, Malformed>,
    ) -> Result<Vec<R>, ManagerError> {
        let parts = parts.map_err(|error| self.misunderstood(&error))?;
        let mut values = Vec::with_capacity(parts.max_len());
        for part in parts {
            let part = part.map_err(|error| self.misunderstood(&error))?;
            values.push(part.decode().map_err(ManagerError::Decode)?);
        }
        Ok(values)
    }

    /// All pairs of values of a reply.
    pub(crate) fn unpack_pairs<K: DeserializeOwned, V: DeserializeOwned>(
        &self,
        reply: &Payload,
    ) -> Result<Vec<(K, V)>, ManagerError> {
        let mut parts = reply.parts().map_err(|error| self.misunderstood(&error))?;
        let mut pairs = Vec::with_capacity(parts.max_len() / 2);
        while let (Some(key), Some(value)) = (parts.next(), parts.next()) {
            let key = key.map_err(|error| self.misunderstood(&error))?;
            let value = value.map_err(|error| self.misunderstood(&error))?;
            let key = key.decode().map_err(ManagerError::Decode)?;
            pairs.push((key, value.decode().map_err(ManagerError::Decode)?));
        }
        Ok(pairs)
    }

    /// What the server said is nothing that it says.
    pub(crate) fn misunderstood(&self, error: &Malformed) -> ManagerError {
        ManagerError::Value(format!("{self:?} gives what is no reply of it: {error}"))
    }
}

impl Handle {
    /// Encodes several values for the server.
    pub(crate) fn pack<T: Serialize>(
        &self,
        values: impl IntoIterator<Item = T>,
    ) -> Result<Payload, ManagerError> {
        pack(self.id(), values)
    }

    /// Encodes pairs of values for the server.
    pub(crate) fn pack_pairs<K: Serialize, V: Serialize>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Payload, ManagerError> {
        pack_pairs(self.id(), pairs)
    }
}

fn pack<T: Serialize>(
    server: ServerId,
    values: impl IntoIterator<Item = T>,
) -> Result<Payload, ManagerError> {
    let mut packing = Packing::new(server);
    for value in values {
        packing.add(&value).map_err(ManagerError::Encode)?;
    }
    Ok(packing.finish())
}

fn pack_pairs<K: Serialize, V: Serialize>(
    server: ServerId,
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Result<Payload, ManagerError> {
    let mut packing = Packing::new(server);
    for (key, value) in pairs {
        packing.add(&key).map_err(ManagerError::Encode)?;
        packing.add(&value).map_err(ManagerError::Encode)?;
    }
    Ok(packing.finish())
}

/// Encodes what is to live in this process.
///
/// # Panics
///
/// When it cannot be encoded: in a method that is the error of its caller.
pub(crate) fn encode_here<T: Serialize + ?Sized>(value: &T) -> Item {
    Item::encode(value).unwrap_or_else(|error| panic!("cannot keep a value in a server: {error}"))
}

/// Whether a failure to get an item of several means that there will be no others.
pub(crate) fn is_final(error: &ManagerError) -> bool {
    !matches!(
        error,
        ManagerError::Exception(_) | ManagerError::Decode(_) | ManagerError::Transfer { .. }
    )
}
