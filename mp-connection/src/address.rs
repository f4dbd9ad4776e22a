//! [`Address`]: where a listener can be found.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ConnectionError;

/// Where a listener can be found.
///
/// Made from `("localhost", 0)`, a [`SocketAddr`], a [`Path`], or a text: the path of a local socket, or with
/// a nul at its start an abstract name, which leaves no file.
///
/// # Examples
///
/// ```
/// use mp_connection::Address;
///
/// let local = Address::try_from("\0my service")?;
/// assert_eq!(local, Address::Abstract(b"my service".to_vec()));
/// assert!(Address::try_from(r"\\.\pipe\name").is_err());
/// assert_eq!(Address::from(("localhost", 5000)).to_string(), "localhost:5000");
/// # Ok::<(), mp_connection::ConnectionError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port of the network; a listener at port 0 gets one that is free.
    Tcp {
        /// A name, or an address as text.
        host: String,
        /// The port.
        port: u16,
    },
    /// A local socket in the file system.
    Path(PathBuf),
    /// A local socket with a name outside of the file system. Every user of the machine can connect to it.
    Abstract(Vec<u8>),
    /// A local socket without a name, as that of a client is; nobody can connect to it.
    Unnamed,
}

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Path(path) => write!(f, "{}", path.display()),
            Address::Abstract(name) => write!(f, "@{}", name.escape_ascii()),
            Address::Unnamed => f.write_str("(unnamed)"),
        }
    }
}

impl From<(&str, u16)> for Address {
    fn from((host, port): (&str, u16)) -> Address {
        Address::Tcp { host: host.to_owned(), port }
    }
}

impl From<(String, u16)> for Address {
    fn from((host, port): (String, u16)) -> Address {
        Address::Tcp { host, port }
    }
}

impl From<(IpAddr, u16)> for Address {
    fn from((host, port): (IpAddr, u16)) -> Address {
        Address::Tcp { host: host.to_string(), port }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        // The text of an IPv6 address of a link ends in its zone, which a host may as well.
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            _ => address.ip().to_string(),
        };
        Address::Tcp { host, port: address.port() }
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Path(path.to_owned())
    }
}

impl From<&PathBuf> for Address {
    fn from(path: &PathBuf) -> Address {
        Address::Path(path.clone())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Address {
        Address::Path(path)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Address {
        address.clone()
    }
}

impl From<std::os::unix::net::SocketAddr> for Address {
    fn from(address: std::os::unix::net::SocketAddr) -> Address {
        use std::os::linux::net::SocketAddrExt;
        match (address.as_pathname(), address.as_abstract_name()) {
            (Some(path), _) => Address::Path(path.to_owned()),
            (None, Some(name)) => Address::Abstract(name.to_owned()),
            (None, None) => Address::Unnamed,
        }
    }
}

impl TryFrom<&str> for Address {
    type Error = ConnectionError;

    fn try_from(text: &str) -> Result<Address, ConnectionError> {
        if text.starts_with(r"\\") {
            return Err(refuse(text, "named pipes of that kind do not exist on this system"));
        }
        let address = match text.strip_prefix('\0') {
            Some(name) => Address::Abstract(name.as_bytes().to_owned()),
            None => Address::Path(PathBuf::from(text)),
        };
        address.check()?;
        Ok(address)
    }
}

impl TryFrom<&String> for Address {
    type Error = ConnectionError;

    fn try_from(text: &String) -> Result<Address, ConnectionError> {
        Address::try_from(text.as_str())
    }
}

impl TryFrom<String> for Address {
    type Error = ConnectionError;

    fn try_from(text: String) -> Result<Address, ConnectionError> {
        Address::try_from(text.as_str())
    }
}

fn refuse(address: impl Display, reason: &'static str) -> ConnectionError {
    ConnectionError::Address { address: address.to_string(), reason }
}

/// The longest path or name of a local socket, in bytes.
const MAX_NAME_LEN: usize = 107;

impl Address {
    /// Sees whether a socket can have this address, as far as that can be told without one.
    pub(crate) fn check(&self) -> Result<(), ConnectionError> {
        let name = match self {
            Address::Tcp { .. } => return Ok(()),
            Address::Path(path) => path.as_os_str().as_bytes(),
            Address::Abstract(name) => name,
            Address::Unnamed => return Err(refuse(self, "it is that of a socket without a name")),
        };
        let reason = match name {
            [] => "it is empty",
            _ if name.len() > MAX_NAME_LEN => "it is longer than 107 bytes",
            _ if name.contains(&0) => "it contains a nul",
            _ => return Ok(()),
        };
        Err(refuse(OsStr::from_bytes(name).display(), reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_paths_or_abstract_names() {
        assert_eq!(Address::try_from("/tmp/x").unwrap(), Address::Path("/tmp/x".into()));
        assert_eq!(Address::try_from("\0x").unwrap(), Address::Abstract(b"x".to_vec()));
    }

    #[test]
    fn ls_07_forms_that_no_address_has_are_refused() {
        for text in ["", "\0", r"\\.\pipe\x", "a\0b", "\0a\0b", &"x".repeat(108)] {
            let error = Address::try_from(text).unwrap_err();
            assert!(matches!(error, ConnectionError::Address { .. }), "{text:?}: {error:?}");
        }
        assert!(Address::try_from("x".repeat(107)).is_ok());
        assert!(Address::Unnamed.check().is_err());
    }

    #[test]
    fn addresses_read_well() {
        let shown = |address: Address| address.to_string();
        assert_eq!(shown(("::1", 7).into()), "[::1]:7");
        assert_eq!(shown(SocketAddr::from(([127, 0, 0, 1], 7)).into()), "127.0.0.1:7");
        assert_eq!(shown(Path::new("/a b").into()), "/a b");
        assert_eq!(shown(Address::Abstract(b"a\xff".to_vec())), r"@a\xff");
    }
}
