//! Dependencies point down: which crate of the workspace may need which.

use crate::workspace::Crate;

/// The crates from top to bottom: each may need those after it.
const LAYERS: [&str; 11] = [
    "mp-facade",
    "mp-inspect",
    "mp-manager",
    "mp-pool",
    "mp-context",
    "mp-queues",
    "mp-sync",
    "mp-connection",
    "mp-shared-memory",
    "mp-reduction",
    "mp-remote-exception",
];
/// The macros stand beside the layers: they need no crate, and only these need them.
const MACROS: &str = "mp-macros";
const USERS_OF_MACROS: [&str; 2] = ["mp-facade", "mp-manager"];
/// These stand above all: they may need everything, and nobody needs them but tests.
const TOOLS: [&str; 3] = ["mp-chaos", "mp-testing", "xtask"];

/// Where a crate stands.
enum Place {
    Layer(usize),
    Macros,
    Tool,
}

/// Every dependency within the workspace, outside of tests, that does not point down.
pub(crate) fn check(crates: &[Crate]) -> Vec<String> {
    let mut problems = Vec::new();
    for user in crates {
        if place(&user.name).is_none() {
            problems.push(format!(
                "{}: has no layer; give it one in xtask/src/lint/layering.rs",
                user.dir.display()
            ));
        }
        for needed in &user.dependencies {
            if !needed.is_dev
                && crates.iter().any(|member| member.name == needed.name)
                && let Err(reason) = may_need(&user.name, &needed.name)
            {
                let manifest = user.dir.join("Cargo.toml");
                problems.push(format!("{}: {reason}", manifest.display()));
            }
        }
    }
    problems
}

/// Whether `user` may need `needed`, else why not. Says nothing of crates without a place.
fn may_need(user: &str, needed: &str) -> Result<(), String> {
    let (Some(from), Some(to)) = (place(user), place(needed)) else {
        return Ok(());
    };
    match (from, to) {
        (Place::Tool, _) => Ok(()),
        (_, Place::Tool) => Err(format!("{needed} can only be a dev-dependency")),
        (_, Place::Macros) if USERS_OF_MACROS.contains(&user) => Ok(()),
        (_, Place::Macros) => Err(format!("only {} use {MACROS}", USERS_OF_MACROS.join(" and "))),
        (Place::Macros, _) => {
            Err(format!("{MACROS} needs no crate of the workspace, not {needed}"))
        }
        (Place::Layer(upper), Place::Layer(lower)) if upper < lower => Ok(()),
        (Place::Layer(_), Place::Layer(_)) => Err(format!("{needed} is not below {user}")),
    }
}

fn place(name: &str) -> Option<Place> {
    if name == MACROS {
        Some(Place::Macros)
    } else if TOOLS.contains(&name) {
        Some(Place::Tool)
    } else {
        LAYERS.iter().position(|layer| *layer == name).map(Place::Layer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    #[test]
    fn a_crate_may_need_what_is_below_it() {
        assert_eq!(may_need("mp-facade", "mp-context"), Ok(()));
        assert_eq!(may_need("mp-context", "mp-remote-exception"), Ok(()));
        assert!(may_need("mp-context", "mp-pool").is_err());
        assert!(may_need("mp-sync", "mp-sync").is_err());
    }

    #[test]
    fn macros_are_for_the_facade_and_the_manager() {
        assert_eq!(may_need("mp-facade", "mp-macros"), Ok(()));
        assert_eq!(may_need("mp-manager", "mp-macros"), Ok(()));
        assert!(may_need("mp-pool", "mp-macros").is_err());
        assert!(may_need("mp-macros", "mp-reduction").is_err());
    }

    #[test]
    fn tools_need_everything_and_nobody_needs_them() {
        assert_eq!(may_need("mp-testing", "mp-facade"), Ok(()));
        assert!(may_need("mp-context", "mp-testing").is_err());
        assert_eq!(may_need("mp-chaos", "mp-testing"), Ok(()));
    }

    #[test]
    fn only_dependencies_outside_of_tests_count_and_each_crate_has_a_place() {
        let member = |name: &str, needed: &[(&str, bool)]| Crate {
            name: name.to_owned(),
            dir: name.into(),
            dependencies: needed
                .iter()
                .map(|&(name, is_dev)| Dependency { name: name.to_owned(), is_dev })
                .collect(),
        };
        let crates = [
            member("mp-sync", &[("mp-queues", false), ("mp-testing", true), ("serde", false)]),
            member("mp-queues", &[("mp-sync", false)]),
            member("mp-testing", &[]),
            member("mp-new", &[("mp-sync", false)]),
        ];
        let expected = [
            "mp-sync/Cargo.toml: mp-queues is not below mp-sync",
            "mp-new: has no layer; give it one in xtask/src/lint/layering.rs",
        ];
        assert_eq!(check(&crates), expected);
    }
}
