//! The merged policy as a whole: what admission is given to decide with.

use serde_json::json;
use wio_api::{ManagedIdentityPermission, NamespaceRequirement, NamespaceSelector, SelectorOperator, VerificationMode};
use wio_core::config::OperatorConfig;
use wio_core::names::RoleDefinitionGuid;
use wio_core::policy::{Policies, merge};
use wio_testkit::fixtures::{PolicyBuilder, policy};

use crate::given::{EXISTING, SUBSCRIPTION, VAULT, config, name};

fn merged(policies: &[PolicyBuilder]) -> serde_json::Value {
    let policies: Vec<_> = policies.iter().map(|built| built.clone().build()).collect();
    serde_json::to_value(merge(&config(), &Policies::parse(&policies))).unwrap()
}

#[test]
fn every_kind_of_pattern_of_an_identity_is_told_by_its_parts() {
    let of = |pattern: &str| merged(&[policy("p").existing(pattern)])["policies"][0]["existingIdentities"][0].clone();
    let id = |subscription: &str, group: &str, name: &str| {
        of(&format!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        ))
    };
    assert_eq!(
        id(SUBSCRIPTION, "Shop*", "*-Web"),
        json!({ "subscriptionId": SUBSCRIPTION, "resourceGroup": { "startsWith": "shop" }, "name": { "endsWith": "-web" } })
    );
    assert_eq!(
        id("*", "*", "*Web*"),
        json!({ "resourceGroup": {}, "name": { "contains": "web" } })
    );
}

#[test]
fn what_the_configuration_says_of_all_bindings_is_told_in_small_letters() {
    let group = |group: &str| name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"));
    let config = OperatorConfig {
        group: group("Operator"),
        require_policy: true,
        protected_groups: vec![group("Nodes.1")],
        protected_identities: vec![name(EXISTING)],
        unlocked_roles: [RoleDefinitionGuid::OWNER, RoleDefinitionGuid::CONTRIBUTOR].into(),
        allow_private_issuer: true,
        verification: VerificationMode::TokenExchange,
        ignored_tags: vec![name("team-*")],
        default_tags: [("cost".to_owned(), "shop".to_owned())].into_iter().collect(),
        ..config()
    };
    let spec = serde_json::to_value(merge(&config, &Policies::default())).unwrap();
    let protected = |group: &str, identity: &str| {
        format!(
            "(?i)^/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft[.]ManagedIdentity/userAssignedIdentities/{identity}$"
        )
    };
    let reaching = |group: &str| format!("(?i)^/subscriptions/{SUBSCRIPTION}(/resourceGroups/{group}(/.*)?)?$");
    let expected = json!({
        "subscriptionId": SUBSCRIPTION, "resourceGroup": "operator", "location": "westeurope", "requirePolicy": true,
        "protected": [protected("NODES\\.1", "[^/]*"), protected("SHARED", "billing")],
        "identityScopes": [reaching("OPERATOR"), reaching("NODES\\.1"), reaching("SHARED")],
        "policies": [], "problems": [], "vanished": [],
        "defaults": {
            "audience": "api://AzureADTokenExchange", "verification": "TokenExchange", "tags": { "cost": "shop" },
            "ignoredTags": ["team-*"], "allowPrivateIssuer": true,
        },
    });
    for (field, told) in expected.as_object().unwrap() {
        assert_eq!(spec[field], *told, "{field}");
    }
    let names = |field: &str| serde_json::from_value::<Vec<String>>(spec[field].clone()).unwrap();
    let locked = names("lockedRoles");
    for role in ["user access administrator", "role based access control administrator"] {
        assert!(locked.iter().any(|told| told == role), "{locked:?}");
    }
    assert!(
        locked.contains(&RoleDefinitionGuid::RBAC_ADMINISTRATOR.to_string()),
        "{locked:?}"
    );
    assert!(!locked.iter().any(|told| told == "owner"), "it is unlocked");
    let at_identities = names("rolesLockedAtIdentities");
    assert!(at_identities.iter().any(|told| told == "managed identity operator"));
    assert!(
        !at_identities.iter().any(|told| told == "contributor"),
        "it is unlocked"
    );
}

#[test]
fn a_policy_is_told_with_its_selector_its_places_and_its_limits() {
    use SelectorOperator::{DoesNotExist, Exists, In, NotIn};
    let requirement = |operator, values: &[&str]| NamespaceRequirement {
        key: "region".to_owned(),
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let selector = NamespaceSelector {
        match_labels: [("team".to_owned(), "shop".to_owned())].into(),
        match_expressions: vec![
            requirement(In, &["eu", "us"]),
            requirement(NotIn, &["us"]),
            requirement(Exists, &[]),
            requirement(DoesNotExist, &[]),
        ],
    };
    let place = ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "Team".to_owned(),
        name_prefix: "Shop-".to_owned(),
        locations: Some(vec!["westeurope".to_owned()]),
        adopt: true,
    };
    let limited = policy("p")
        .namespace("shop")
        .selector(selector)
        .service_account("orders")
        .service_account("mail*")
        .service_account("*-v2")
        .service_account("*x*")
        .managed(place)
        .role("Reader", &[VAULT])
        .max_federated_credentials(3)
        .max_managed_identities(2)
        .max_role_assignments(i64::MAX);
    let mut limited = limited.build();
    limited.spec.allow_orphan = true;
    let spec = serde_json::to_value(merge(&config(), &Policies::parse([&limited]))).unwrap();
    let told = |operator: &str, values: &[&str]| json!({ "key": "region", "operator": operator, "values": values });
    assert_eq!(
        spec["policies"],
        json!([{
            "name": "p",
            "namespaces": ["shop"],
            "selector": { "matchExpressions": [
                { "key": "team", "operator": "In", "values": ["shop"] },
                told("In", &["eu", "us"]), told("NotIn", &["us"]), told("Exists", &[]), told("DoesNotExist", &[]),
            ] },
            "serviceAccounts": { "is": ["orders"], "startsWith": ["mail"], "endsWith": ["-v2"], "contains": ["x"] },
            "existingIdentities": [],
            "managedIdentities": [{
                "subscriptionId": SUBSCRIPTION, "resourceGroup": "team", "namePrefix": "shop-", "locations": ["westeurope"], "adopt": true,
            }],
            "roles": [{ "names": ["acdd72a7-3385-48ef-bd42-f606fba81ae7", "reader"], "scopes": [VAULT.to_lowercase()] }],
            "maxFederatedCredentials": 3,
            "maxManagedIdentities": 2,
            "maxRoleAssignments": i64::MAX,
            "allowOrphan": true,
        }])
    );
}

#[test]
fn the_name_of_a_protected_group_is_told_so_that_every_spelling_of_it_is_meant() {
    let of = |group: &str| {
        let config = OperatorConfig {
            protected_groups: vec![name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"))],
            ..config()
        };
        let protected = merge(&config, &Policies::default()).protected.remove(0);
        let (_, rest) = protected.split_once("/resourceGroups/").unwrap();
        rest.split_once("/providers/").unwrap().0.to_owned()
    };
    assert_eq!(of("a-b_c.(d)1"), "A-B_C\\.\\(D\\)1");
    assert_eq!(of("ii"), "[iıİ][iıİ]");
    assert_eq!(of("masse"), "MA(?:SS|[Sß]*[ß][Sß]*)E");
    assert_eq!(of("ssff"), "(?:SS|[Sß]*[ß][Sß]*)(?:FF|[Fﬀ]*[ﬀ][Fﬀ]*)");
    assert_eq!(of("massse"), "MA(?:SSS|[Sß]*[ß][Sß]*)E");
}
