//! Which crate may depend on which: `docs/ARCHITECTURE.md` draws the same arrows.

use cargo_metadata::{DependencyKind, Metadata};

/// What a crate may depend on among the crates of the workspace.
struct Layer {
    name: &'static str,
    may_use: MayUse,
}

enum MayUse {
    These(&'static [&'static str]),
    /// Tools and end-to-end tests, on which nothing depends.
    Anything,
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "wio-api",
        may_use: MayUse::These(&[]),
    },
    Layer {
        name: "wio-core",
        may_use: MayUse::These(&["wio-api"]),
    },
    Layer {
        name: "wio-azure",
        may_use: MayUse::These(&["wio-api", "wio-core"]),
    },
    Layer {
        name: "wio-controller",
        may_use: MayUse::These(&["wio-api", "wio-core", "wio-azure"]),
    },
    Layer {
        name: "wio-kubeconfig",
        may_use: MayUse::These(&[]),
    },
    Layer {
        name: "wio-cli",
        may_use: MayUse::These(&["wio-api", "wio-core", "wio-azure", "wio-kubeconfig"]),
    },
    Layer {
        name: "workload-identity-operator",
        may_use: MayUse::These(&["wio-api", "wio-core", "wio-azure", "wio-controller", "wio-kubeconfig"]),
    },
    Layer {
        name: "wio-azure-sim",
        may_use: MayUse::These(&[]),
    },
    Layer {
        name: "wio-testkit",
        may_use: MayUse::These(&["wio-api"]),
    },
    Layer {
        name: "wio-model",
        may_use: MayUse::Anything,
    },
    Layer {
        name: "wio-simulation",
        may_use: MayUse::Anything,
    },
    Layer {
        name: "xtask",
        may_use: MayUse::Anything,
    },
    Layer {
        name: "wio-e2e",
        may_use: MayUse::Anything,
    },
];

/// What tests may use beside that.
const FOR_TESTS: &[&str] = &["wio-azure-sim", "wio-testkit"];

/// A dependency between two crates of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    from: String,
    to: String,
    tests_only: bool,
}

/// The dependencies between crates of the workspace.
pub(crate) fn edges(workspace: &Metadata) -> Vec<Edge> {
    let members: Vec<&str> = workspace.packages.iter().map(|package| package.name.as_str()).collect();
    workspace
        .packages
        .iter()
        .flat_map(|package| {
            package
                .dependencies
                .iter()
                .filter(|dependency| members.contains(&dependency.name.as_str()))
                .map(|dependency| Edge {
                    from: package.name.to_string(),
                    to: dependency.name.clone(),
                    tests_only: dependency.kind == DependencyKind::Development,
                })
        })
        .collect()
}

/// What is wrong with the edges.
pub(crate) fn wrong_ways(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(wrong_way).collect()
}

fn wrong_way(edge: &Edge) -> Option<String> {
    let Edge { from, to, tests_only } = edge;
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == from) else {
        return Some(format!(
            "{from} has no place in crates/xtask/src/layers.rs: say there what it may depend on"
        ));
    };
    let nothing_may = LAYERS
        .iter()
        .any(|layer| layer.name == to && matches!(layer.may_use, MayUse::Anything));
    let may = match layer.may_use {
        MayUse::Anything => true,
        // A crate's tests may use the crate itself with the features that are for tests.
        MayUse::These(these) => {
            these.contains(&to.as_str()) || (*tests_only && (from == to || FOR_TESTS.contains(&to.as_str())))
        }
    };
    let allowed = match layer.may_use {
        MayUse::These([]) => "none of the workspace's crates".to_owned(),
        MayUse::These(these) => these.join(", "),
        MayUse::Anything => "anything on which others may depend".to_owned(),
    };
    (nothing_may || !may)
        .then(|| format!("{from} depends on {to}, the wrong way: it may use {allowed} (docs/ARCHITECTURE.md)"))
}

#[cfg(test)]
mod tests {
    use cargo_metadata::MetadataCommand;

    use super::*;

    fn edge(from: &str, to: &str) -> Edge {
        Edge {
            from: from.to_owned(),
            to: to.to_owned(),
            tests_only: false,
        }
    }

    fn in_tests(from: &str, to: &str) -> Edge {
        Edge {
            tests_only: true,
            ..edge(from, to)
        }
    }

    #[test]
    fn the_workspace_depends_the_right_way() {
        let workspace = MetadataCommand::new().no_deps().exec().unwrap();
        let edges = edges(&workspace);
        assert!(edges.contains(&edge("wio-core", "wio-api")), "{edges:?}");
        assert_eq!(wrong_ways(&edges), Vec::<String>::new());
        for package in &workspace.packages {
            assert!(
                LAYERS.iter().any(|layer| layer.name == package.name.as_str()),
                "{} has no layer",
                package.name
            );
        }
    }

    #[test]
    fn a_dependency_the_wrong_way_is_named() {
        for (from, to) in [
            ("wio-api", "wio-core"),
            ("wio-core", "wio-azure"),
            ("wio-azure", "wio-controller"),
            ("wio-azure-sim", "wio-core"),
            ("wio-testkit", "wio-core"),
            ("wio-core", "wio-testkit"),
            ("wio-controller", "wio-azure-sim"),
            ("wio-controller", "xtask"),
            ("xtask", "wio-e2e"),
        ] {
            let message = wrong_way(&edge(from, to)).unwrap_or_else(|| panic!("{from} -> {to} is allowed"));
            assert!(message.contains(from) && message.contains(to), "{message}");
        }
    }

    #[test]
    fn tests_may_use_the_simulator_and_the_fake_server_and_nothing_else() {
        assert_eq!(wrong_way(&in_tests("wio-controller", "wio-azure-sim")), None);
        assert_eq!(wrong_way(&in_tests("wio-core", "wio-testkit")), None);
        assert!(wrong_way(&in_tests("wio-core", "wio-controller")).is_some());
    }

    #[test]
    fn a_crate_without_a_layer_is_refused() {
        assert!(wrong_way(&edge("wio-new", "wio-api")).unwrap().contains("has no place"));
    }
}
