//! The crates of the workspace as cargo knows them, and their source files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{cargo, output};

/// A member of the workspace.
#[derive(Debug, PartialEq)]
pub(crate) struct Crate {
    pub(crate) name: String,
    /// Its folder, relative to the root.
    pub(crate) dir: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// What a crate says it needs.
#[derive(Debug, PartialEq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
}

/// Asks cargo for all members.
pub(crate) fn crates() -> Result<Vec<Crate>, String> {
    parse(&output(&mut cargo("metadata --format-version 1 --no-deps"))?)
        .ok_or_else(|| "cannot read what `cargo metadata` printed".to_owned())
}

fn parse(metadata: &str) -> Option<Vec<Crate>> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let root = Path::new(metadata["workspace_root"].as_str()?);
    let mut crates = Vec::new();
    for package in metadata["packages"].as_array()? {
        let dir = Path::new(package["manifest_path"].as_str()?).parent()?;
        let mut dependencies = Vec::new();
        for dependency in package["dependencies"].as_array()? {
            dependencies.push(Dependency {
                name: dependency["name"].as_str()?.to_owned(),
                is_dev: dependency["kind"] == "dev",
            });
        }
        crates.push(Crate {
            name: package["name"].as_str()?.to_owned(),
            dir: dir.strip_prefix(root).ok()?.to_owned(),
            dependencies,
        });
    }
    Some(crates)
}

/// The files below `dir` that end in `extension`, in order; none if there is no such folder.
pub(crate) fn files_below(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in entries(dir) {
        if path.is_dir() {
            found.append(&mut files_below(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found
}

/// The files in `dir` itself that end in `extension`, in order.
pub(crate) fn files_in(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = entries(dir);
    found.retain(|path| path.is_file() && path.extension().is_some_and(|e| e == extension));
    found
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_with_their_folder_and_dependencies() {
        let metadata = r#"{
            "workspace_root": "/repo",
            "packages": [{
                "name": "mp-pool",
                "manifest_path": "/repo/mp-pool/Cargo.toml",
                "dependencies": [
                    {"name": "mp-context", "kind": null},
                    {"name": "mp-testing", "kind": "dev"}
                ]
            }]
        }"#;
        let dependency = |name: &str, is_dev| Dependency { name: name.to_owned(), is_dev };
        let expected = Crate {
            name: "mp-pool".to_owned(),
            dir: "mp-pool".into(),
            dependencies: vec![dependency("mp-context", false), dependency("mp-testing", true)],
        };
        assert_eq!(parse(metadata), Some(vec![expected]));
        assert_eq!(parse("{}"), None);
    }
}
