//! `cargo xtask package` and `cargo xtask alone`: what a crate is when the others are not beside it.
//!
//! A build of the whole workspace hides two mistakes: a file that a package lacks, and a feature of a
//! dependency that only another crate asks for.

use serde_json::Value;

use crate::parts::{self, Outcome, Part};
use crate::run::{cargo, output, run, works};

/// A member of the workspace that can be published.
#[derive(Debug, PartialEq)]
struct Published {
    name: String,
    has_features: bool,
}

/// Packages every published crate, and builds each from nothing but its package and the packages of the
/// others; publishes nothing.
pub(crate) fn package() -> Result<bool, String> {
    let crates = published()?;
    let package = || {
        // Offline, for what the lock file names was fetched when the workspace was built; quiet, for it
        // warns of each test that is not packaged.
        let mut command = cargo("package --offline --allow-dirty --quiet");
        for member in &crates {
            command.args(["-p", &member.name]);
        }
        run(&mut command)
    };
    Ok(parts::run(&[Part { name: "package", run: &package }]))
}

/// Checks, documents and tests the published crates one by one, each with the features that it asks for itself.
pub(crate) fn alone(names: &[&str]) -> Result<bool, String> {
    let mut crates = published()?;
    if let Some(unknown) = names.iter().find(|name| !crates.iter().any(|c| c.name == **name)) {
        return Err(format!("no crate `{unknown}` is published"));
    }
    if !names.is_empty() {
        crates.retain(|member| names.contains(&member.name.as_str()));
    }
    let has_clippy = works(&mut cargo("clippy --version"));
    let check = |member: &Published, features: &[&str]| {
        let mut command = cargo(if has_clippy { "clippy --lib -p" } else { "check --lib -p" });
        command.arg(&member.name).args(features);
        if has_clippy {
            command.args(["--", "-D", "warnings"]);
        }
        run(&mut command)
    };
    let bare = |member: &Published| match member.has_features {
        true => check(member, &["--no-default-features"]),
        false => Outcome::Passed,
    };
    let doc = |member: &Published| {
        run(cargo("doc --no-deps -p").arg(&member.name).env("RUSTDOCFLAGS", "-D warnings"))
    };
    let test = |member: &Published| run(cargo("test -p").arg(&member.name));
    let all = |step: &dyn Fn(&Published) -> Outcome| {
        let outcomes: Vec<Outcome> = crates.iter().map(step).collect();
        Outcome::from(outcomes.iter().all(|outcome| *outcome == Outcome::Passed))
    };
    Ok(parts::run(&[
        Part { name: "check-alone", run: &|| all(&|member| check(member, &[])) },
        Part { name: "check-bare", run: &|| all(&bare) },
        Part { name: "docs-alone", run: &|| all(&doc) },
        Part { name: "tests-alone", run: &|| all(&test) },
    ]))
}

fn published() -> Result<Vec<Published>, String> {
    parse(&output(&mut cargo("metadata --format-version 1 --no-deps"))?)
        .ok_or_else(|| "cannot read what `cargo metadata` printed".to_owned())
}

fn parse(metadata: &str) -> Option<Vec<Published>> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array()? {
        // `publish = false` is an empty list of registries.
        if package["publish"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        found.push(Published {
            name: package["name"].as_str()?.to_owned(),
            has_features: !package["features"].as_object()?.is_empty(),
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_published_is_left_out() {
        let metadata = r#"{"packages": [
            {"name": "mp-pool", "publish": null, "features": {"default": ["bar"], "bar": []}},
            {"name": "mp-sync", "publish": null, "features": {}},
            {"name": "mp-testing", "publish": [], "features": {}}
        ]}"#;
        let published =
            |name: &str, has_features| Published { name: name.to_owned(), has_features };
        assert_eq!(
            parse(metadata),
            Some(vec![published("mp-pool", true), published("mp-sync", false)])
        );
        assert_eq!(parse("{}"), None);
    }
}
