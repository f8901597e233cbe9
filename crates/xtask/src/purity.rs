//! The core decides by values that were handed to it: it knows no Kubernetes client, and reads a binding and its status only
//! where they are parsed.

use std::collections::BTreeMap;

use crate::modules::{Module, Tree};

/// Modules that may name something: with those below it.
struct Allowed {
    /// As in the module map: `status` is `status.rs` and all of `status/`.
    module: &'static str,
    /// What they may name: the beginning of its path.
    path: &'static str,
    reason: &'static str,
}

/// The crates of Kubernetes' types and client.
const CLIENT: [&str; 2] = ["kube", "k8s_openapi"];

/// What of them is only data.
const DATA: &[Allowed] = &[
    Allowed {
        module: "status",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time",
        reason: "a condition says when it changed",
    },
    Allowed {
        module: "status",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition",
        reason: "the status is written in conditions",
    },
    Allowed {
        module: "recorded",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time",
        reason: "the inverse of what status writes",
    },
    Allowed {
        module: "workloads",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta",
        reason: "labels, annotations and owners of a pod, as they were read",
    },
    Allowed {
        module: "rollout",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::Time",
        reason: "the status says when an owner was restarted",
    },
    Allowed {
        module: "rollout",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta",
        reason: "UID, versions and deletion of an owner of pods, as they were read",
    },
    Allowed {
        module: "crd_guard",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta",
        reason: "annotations and deletion of a definition, as they were read",
    },
    Allowed {
        module: "service_account",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta",
        reason: "labels and annotations of a service account, as they were read",
    },
    Allowed {
        module: "service_account",
        path: "k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry",
        reason: "who holds them",
    },
];

/// The types of a binding's status.
const STATUS: [&str; 6] = [
    "WorkloadIdentityBindingStatus",
    "IdentityStatus",
    "FederatedCredentialStatus",
    "RoleAssignmentStatus",
    "ServiceAccountStatus",
    "FederatedCredentialUsage",
];

/// The whole object.
const BINDING: [&str; 1] = ["WorkloadIdentityBinding"];

/// Who may name what of the API's types.
const PARSERS: &[Allowed] = &[
    Allowed {
        module: "status",
        path: "wio_api",
        reason: "it writes the status",
    },
    Allowed {
        module: "recorded",
        path: "wio_api",
        reason: "it parses the status, once for all",
    },
    Allowed {
        module: "binding",
        path: "wio_api::WorkloadIdentityBinding",
        reason: "it parses the object's metadata and puts the parsed parts together",
    },
    Allowed {
        module: "spec",
        path: "wio_api::WorkloadIdentityBinding",
        reason: "it parses the spec",
    },
];

/// What a module of the core names and must not, each name once a module.
pub(crate) fn impurities(core: &Tree) -> Vec<String> {
    let mut problems = BTreeMap::new();
    for module in &core.modules {
        for mention in &module.mentions {
            let Some(wrong) = Wrong::of(module, &core.origin(mention)) else {
                continue;
            };
            let place = format!("crates/{}/src/{}:{}", core.name, module.file, mention.line);
            problems
                .entry((&module.file, wrong.named.clone()))
                .or_insert_with(|| wrong.message(&place));
        }
    }
    problems.into_values().collect()
}

/// A name where it must not be.
struct Wrong {
    named: String,
    remedy: &'static str,
    /// Where it may be.
    table: &'static [Allowed],
}

impl Wrong {
    fn of(module: &Module, path: &[String]) -> Option<Self> {
        let krate = path.first()?.as_str();
        if CLIENT.contains(&krate) && !is_allowed(DATA, module, path) {
            return Some(Self {
                named: path.join("::"),
                remedy: "the core knows no client: let the controller fill a type of the core; when it is only data, say so in DATA",
                table: DATA,
            });
        }
        if krate != "wio_api" || is_allowed(PARSERS, module, path) {
            return None;
        }
        let name = path.iter().skip(1).map(String::as_str).find(|segment| {
            let known = STATUS.iter().chain(&BINDING).chain(&["*"]);
            known.into_iter().any(|name| name == segment)
        })?;
        let remedy = match name {
            "*" => "name what is imported, so that it can be seen who reads a binding; the table is PARSERS",
            name if BINDING.contains(&name) => {
                "take what was parsed of it, not the object; who parses it stands in PARSERS"
            }
            _ => "the status is parsed once, by `recorded`: take what that made of it; who reads it stands in PARSERS",
        };
        Some(Self {
            named: format!("wio_api::{name}"),
            remedy,
            table: PARSERS,
        })
    }

    fn message(&self, place: &str) -> String {
        let Self { named, remedy, table } = self;
        let path: Vec<String> = named.split("::").map(str::to_owned).collect();
        let allowed: Vec<String> = table
            .iter()
            .filter(|row| begins_with(&path, row.path))
            .map(|row| format!("{} ({})", row.module, row.reason))
            .collect();
        let who = if allowed.is_empty() {
            "no module".to_owned()
        } else {
            format!("only {}", allowed.join(", "))
        };
        format!("{place} names {named}, which {who} may: {remedy} of crates/xtask/src/purity.rs")
    }
}

fn is_allowed(table: &[Allowed], module: &Module, path: &[String]) -> bool {
    table.iter().any(|row| {
        let below = module.name.strip_prefix(row.module);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && begins_with(path, row.path)
    })
}

fn begins_with(path: &[String], beginning: &str) -> bool {
    let mut path = path.iter();
    beginning
        .split("::")
        .all(|segment| path.next().is_some_and(|named| named == segment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::tree;

    /// What is wrong with a core whose module holds this text.
    fn of(module: &str, text: &str) -> Vec<String> {
        let root = format!("mod {module};");
        impurities(&tree("core", &[("lib.rs", &root), (&format!("{module}.rs"), text)]))
    }

    #[test]
    fn a_client_is_refused_wherever_it_is_named() {
        for text in [
            "use kube::Client;",
            "fn f(it: kube::Client) {}",
            "fn f() { vec![kube::Client::new()]; }",
        ] {
            let found = of("plan", text);
            assert!(
                matches!(found.as_slice(), [one] if one.contains("plan.rs:1 names kube::Client")),
                "{found:?}"
            );
        }
        let alias = of("plan", "use k8s_openapi as k8s;\nfn f(it: k8s::api::Pod) {}");
        assert!(
            alias
                .iter()
                .any(|it| it.contains("plan.rs:2 names k8s_openapi::api::Pod")),
            "{alias:?}"
        );
    }

    #[test]
    fn the_status_may_have_the_times_of_conditions_and_nothing_else_of_the_client() {
        let time = "use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time; fn now() -> Time { Time::now() }";
        assert_eq!(of("status", time), Vec::<String>::new());
        assert_eq!(of("plan", time).len(), 2);
        assert_eq!(
            of("status", "use k8s_openapi::apimachinery::pkg::apis::meta::v1;").len(),
            1
        );
        assert_eq!(of("status_of_others", time).len(), 2);
    }

    #[test]
    fn only_recorded_and_status_name_what_a_status_holds() {
        for name in STATUS {
            let text = format!("fn f(it: &wio_api::{name}) {{}}");
            let found = of("plan", &text);
            assert!(
                matches!(found.as_slice(), [one] if one.contains(&format!("names wio_api::{name}, which only status (it writes the status), recorded"))),
                "{found:?}"
            );
            for module in ["recorded", "status"] {
                assert_eq!(of(module, &text), Vec::<String>::new(), "{module}");
            }
            assert_eq!(of("binding", &text).len(), 1);
        }
    }

    #[test]
    fn a_module_below_an_allowed_one_is_allowed() {
        let files = [
            ("lib.rs", "mod recorded;"),
            ("recorded.rs", "mod roles;"),
            ("recorded/roles.rs", "use wio_api::RoleAssignmentStatus;"),
        ];
        assert_eq!(impurities(&tree("core", &files)), Vec::<String>::new());
    }

    #[test]
    fn only_what_parses_the_object_names_it() {
        let text = "use wio_api::{keys, Reason, WorkloadIdentityBinding};";
        let found = of("plan", text);
        assert!(
            matches!(found.as_slice(), [one] if one.contains("names wio_api::WorkloadIdentityBinding, which only status")),
            "{found:?}"
        );
        for module in ["binding", "spec", "recorded", "status"] {
            assert_eq!(of(module, text), Vec::<String>::new(), "{module}");
        }
        assert_eq!(
            of("plan", "use wio_api::WorkloadIdentityBindingSpec;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn neither_a_reexport_nor_a_glob_hides_a_name() {
        let files = [
            ("lib.rs", "mod plan; mod status;"),
            ("status.rs", "pub use wio_api::IdentityStatus;"),
            ("plan.rs", "use crate::status::IdentityStatus;"),
        ];
        let found = impurities(&tree("core", &files));
        assert!(
            matches!(found.as_slice(), [one] if one.contains("plan.rs:1 names wio_api::IdentityStatus")),
            "{found:?}"
        );
        assert!(of("plan", "use wio_api::*;")[0].contains("names wio_api::*"));
    }

    #[test]
    fn what_is_only_for_tests_may_name_anything() {
        assert_eq!(
            of("plan", "#[cfg(test)] mod tests { use kube::Client; use wio_api::*; }"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_exception_has_a_reason() {
        for row in DATA.iter().chain(PARSERS) {
            assert!(!row.reason.is_empty(), "{}", row.module);
        }
    }
}
