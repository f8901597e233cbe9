//! What `cargo xtask verify` refuses.

use std::fs;

use anyhow::Context;
use cargo_metadata::Metadata;

use crate::modules::Tree;
use crate::{circles, dependabot, files, layers, map, purity};

/// Something that must hold.
#[derive(Clone, Copy, Debug)]
enum Check {
    /// What is generated is what would be generated.
    Generated,
    /// Crates depend one way.
    Layers,
    /// The modules of a crate use one another one way.
    Circles(&'static str),
    /// The core knows neither client nor wire format.
    Purity,
    /// The map in the documentation names every module.
    Map,
    /// The walk in the documentation names functions that there are.
    Walk,
    /// Dependabot knows every folder with requirements.
    Dependabot,
}

/// Every check.
const CHECKS: &[Check] = &[
    Check::Generated,
    Check::Layers,
    Check::Circles("api"),
    Check::Circles("core"),
    Check::Circles("azure"),
    Check::Circles("controller"),
    Check::Circles("cli"),
    Check::Circles("azure-sim"),
    Check::Purity,
    Check::Map,
    Check::Walk,
    Check::Dependabot,
];

/// The crates whose modules the documentation maps.
const MAPPED: [&str; 4] = ["core", "azure", "controller", "cli"];

/// What is wrong with the repository.
pub(crate) fn problems(workspace: &Metadata) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for check in CHECKS {
        problems.extend(found(*check, workspace)?);
    }
    Ok(problems)
}

fn found(check: Check, workspace: &Metadata) -> anyhow::Result<Vec<String>> {
    let root = workspace.workspace_root.as_std_path();
    let read = |name: &str| Tree::read(root, name);
    let document =
        || fs::read_to_string(root.join(map::DOCUMENT)).with_context(|| format!("cannot read {}", map::DOCUMENT));
    let mapped = || MAPPED.into_iter().map(read).collect::<anyhow::Result<Vec<Tree>>>();
    Ok(match check {
        Check::Generated => files::differences(root, &files::generated()?),
        Check::Layers => layers::wrong_ways(&layers::edges(workspace)),
        Check::Circles(name) => circles::circles(&read(name)?),
        Check::Purity => purity::impurities(&read("core")?),
        Check::Map => map::module_map(&document()?, &mapped()?),
        Check::Walk => map::walk(&document()?, &mapped()?),
        Check::Dependabot => dependabot::problems(root)?,
    })
}
