//! The file of a local socket, and the private folder around it: there while somebody listens.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::error::ConnectionError;
use crate::sys::random;

/// Removes the file when it is dropped, and its folder if that was made for it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// Absolute, so that a change of the working directory changes nothing.
    path: PathBuf,
    /// Device and number, so that nobody else's file is removed.
    identity: (u64, u64),
    _folder: Option<PrivateFolder>,
}

impl SocketFile {
    /// The file at `path`, where a socket was just bound.
    pub(crate) fn at(path: &Path, folder: Option<PrivateFolder>) -> io::Result<SocketFile> {
        let path = std::path::absolute(path)?;
        let identity = identity(&path)?;
        Ok(SocketFile { path, identity, _folder: folder })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _removed = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// A folder for temporary files that no other user can look into.
#[derive(Debug)]
pub(crate) struct PrivateFolder(PathBuf);

impl PrivateFolder {
    pub(crate) fn new() -> Result<PrivateFolder, ConnectionError> {
        let random = u64::from_ne_bytes(random::bytes()?);
        let path = std::env::temp_dir().join(format!("mp-listener-{random:016x}"));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(ConnectionError::io("make a temporary folder for a listener"))?;
        Ok(PrivateFolder(path))
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _removed = fs::remove_dir(&self.0);
    }
}
