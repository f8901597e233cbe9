//! The abuse suite: what a tenant, or somebody with rights in Azure, may try in order to gain a token or a role that no policy
//! gives, or to take away another's. The cases are data (the YAML files beside this one). Each is tried against the reconciler
//! alone, by the controller's tests, and against admission alone, by the end-to-end tests.

mod case;
mod verdict;

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::Value;

pub use case::{
    AtAdmission, AtReconciler, Attacker, AzureStep, Binding, CROWD, Case, CustomRole, Edit, FaultStep,
    ForeignCredential, ForeignIdentity, Given, Many, ObjectRef, PolicyOf, Stands, Step,
};
pub use verdict::{Layer, VERDICTS_FILE, Verdict, record, table};

/// The subscription of everything.
pub const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
/// Another one, in which the same names stand.
pub const OTHER_SUBSCRIPTION: &str = "11111111-2222-4333-8444-555555555555";
/// The operator's own resource group.
pub const OWN_GROUP: &str = "workload-identities";
/// The region of everything.
pub const LOCATION: &str = "westeurope";
/// The cluster's node resource group, which the operator's configuration protects.
pub const NODE_GROUP: &str = "MC_shop_größe_westeurope";
/// The resource group and the name of the cluster's control-plane identity, which the operator's configuration protects.
pub const CONTROL_PLANE: (&str, &str) = ("clusters", "shop-control-plane");

const FILES: [&str; 11] = [
    include_str!("identities.yaml"),
    include_str!("cluster.yaml"),
    include_str!("managed.yaml"),
    include_str!("roles.yaml"),
    include_str!("scopes.yaml"),
    include_str!("accounts.yaml"),
    include_str!("changes.yaml"),
    include_str!("forgeries.yaml"),
    include_str!("azure.yaml"),
    include_str!("crowds.yaml"),
    include_str!("faults.yaml"),
];

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| FILES.into_iter().flat_map(read).collect());

/// A file of cases, before the placeholders of each case are filled in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    group: String,
    cases: Vec<Value>,
}

/// All cases, in the order in which they are shown.
///
/// # Panics
/// When a file is not well formed.
#[must_use]
pub fn cases() -> &'static [Case] {
    &CASES
}

/// The protected identity's resource id.
#[must_use]
pub fn control_plane() -> String {
    let (group, name) = CONTROL_PLANE;
    format!("{}/{group}/{IDENTITIES}/{name}", groups(SUBSCRIPTION))
}

/// A resource group's id.
#[must_use]
pub fn group_id(name: &str) -> String {
    format!("{}/{name}", groups(SUBSCRIPTION))
}

const IDENTITIES: &str = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";

fn groups(subscription: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups")
}

#[allow(clippy::panic, reason = "a file that is not well formed is a fault of the suite")]
fn read(text: &str) -> Vec<Case> {
    let group: Group = serde_yaml_ng::from_str(text).unwrap_or_else(|error| panic!("a file of cases: {error}"));
    let case = |mut raw: Value| {
        let id = raw.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
        fill(&mut raw, &placeholders(&id));
        let case: Case = serde_json::from_value(raw).unwrap_or_else(|error| panic!("case {id}: {error}"));
        Case {
            group: group.group.clone(),
            ..case
        }
    };
    group.cases.into_iter().map(case).collect()
}

fn placeholders(id: &str) -> Vec<(&'static str, String)> {
    const MEGABYTE: usize = 1 << 20;
    vec![
        ("{ns}", case::namespace(id)),
        ("{sub}", SUBSCRIPTION.to_owned()),
        ("{other-sub}", OTHER_SUBSCRIPTION.to_owned()),
        ("{groups}", groups(SUBSCRIPTION)),
        ("{other-groups}", groups(OTHER_SUBSCRIPTION)),
        ("{mi}", IDENTITIES.to_owned()),
        (
            "{role-definitions}",
            "/providers/Microsoft.Authorization/roleDefinitions".to_owned(),
        ),
        ("{own}", OWN_GROUP.to_owned()),
        ("{nodes}", NODE_GROUP.to_owned()),
        ("{control-plane}", control_plane()),
        ("{megabyte}", "a".repeat(MEGABYTE)),
    ]
}

/// Fills in the placeholders, in keys too.
fn fill(value: &mut Value, placeholders: &[(&str, String)]) {
    let filled = |text: &str| {
        placeholders
            .iter()
            .filter(|(placeholder, _)| text.contains(placeholder))
            .fold(text.to_owned(), |text, (placeholder, with)| {
                text.replace(placeholder, with)
            })
    };
    match value {
        Value::String(text) => *text = filled(text),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, placeholders)),
        Value::Object(map) => {
            let taken = std::mem::take(map);
            map.extend(taken.into_iter().map(|(key, mut value)| {
                fill(&mut value, placeholders);
                (filled(&key), value)
            }));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the suite must have, whatever else it has.
    const ASKED_FOR: [&str; 36] = [
        "identity-by-id",
        "identity-by-case",
        "identity-encoded",
        "identity-dots",
        "identity-empty-segment",
        "identity-megabyte",
        "identity-look-alike",
        "group-prefix",
        "node-identity",
        "node-group-in-other-letters",
        "role-by-name",
        "role-by-guid",
        "role-by-id",
        "role-custom-that-writes-all",
        "scope-prefix",
        "scope-parent",
        "account-of-another-pattern",
        "audience-wildcard",
        "edited-to-a-role",
        "policy-narrowed",
        "suspended-to-keep-trust",
        "invalid-to-keep-trust",
        "orphaned-to-keep-trust",
        "namespace-relabelled",
        "account-recreated",
        "annotation-hijacked",
        "status-forged-identity",
        "finalizer-removed",
        "adopt-of-another",
        "tags-forged",
        "credential-planted",
        "two-clusters-one-identity",
        "issuer-swapped",
        "next-link-elsewhere",
        "two-denied-siblings",
        "ten-thousand-bindings",
    ];

    #[test]
    fn the_cases_are_many_different_and_complete() {
        let ids: BTreeSet<&str> = cases().iter().map(|case| case.id.as_str()).collect();
        assert_eq!(ids.len(), cases().len(), "two cases have one id");
        assert!(ids.len() >= 70, "{} cases", ids.len());
        for asked in ASKED_FOR {
            assert!(ids.contains(asked), "no case {asked}");
        }
        let attacks: BTreeSet<&str> = cases().iter().map(|case| case.attack.as_str()).collect();
        assert_eq!(attacks.len(), cases().len(), "two cases say the same");
    }

    #[test]
    fn every_case_can_be_read_and_placed() {
        for case in cases() {
            let Case { id, attack, .. } = case;
            assert!(case.namespace().len() <= 63, "{id}: its namespace's name is too long");
            assert!(
                (10..=92).contains(&attack.chars().count()) && attack.ends_with('.'),
                "{id}: a sentence that fits into a line: {attack}"
            );
            assert!(!case.steps.is_empty(), "{id} does nothing");
            let text = format!("{case:?}");
            for (placeholder, _) in placeholders(id) {
                assert!(!text.contains(placeholder), "{id}: {placeholder} is left");
            }
            // A refusal without a text could be about anything.
            match &case.admission {
                AtAdmission::Schema(text)
                | AtAdmission::Policy(text)
                | AtAdmission::Rights(text)
                | AtAdmission::Unseen(text) => assert!(!text.is_empty(), "{id}: the verdict of admission says nothing"),
            }
        }
    }

    /// At admission all policies stand at once.
    #[test]
    fn no_case_has_a_policy_for_the_namespace_of_another() {
        for case in cases() {
            for policy in &case.given.policies {
                let namespaces = &policy.spec["namespaces"];
                let own = |text: &str| text.contains(&case.namespace());
                let names = namespaces["names"].as_array().into_iter().flatten();
                for name in names {
                    assert!(own(name.as_str().unwrap_or_default()), "{}: {name}", case.id);
                }
                if let Some(selector) = namespaces.get("selector") {
                    assert!(own(&selector.to_string()), "{}: {selector}", case.id);
                }
                assert!(own(policy.name(case).as_str()), "{}: the policy's name", case.id);
            }
        }
    }
}
