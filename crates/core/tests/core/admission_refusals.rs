//! What admission says, and when it says nothing.

use std::collections::BTreeMap;

use kube_cel::cel::{Context, Program, Value};
use serde_json::json;
use wio_api::{
    DeletionPolicy, ManagedIdentity, ManagedIdentityPermission, WorkloadIdentityBinding, WorkloadIdentityPolicy,
};
use wio_core::policy::{Policies, merge};
use wio_testkit::fixtures::{binding, policy};

use crate::admission::{at, is_true, refusal};
use crate::authorize_properties::guarded;
use crate::given::{EXISTING, SUBSCRIPTION, UID, VAULT, name};

const SUBSCRIPTION_SCOPE: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const KUBELET_GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/clusters";

#[test]
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn a_refusal_names_the_field_the_value_and_the_way_out() {
    let managed = |managed| {
        binding("shop", "orders")
            .managed_as(managed)
            .service_account("orders")
            .uid(UID)
    };
    let own = || managed(ManagedIdentity::default());
    let there = |group: &str, name: Option<&str>, location: Option<&str>| ManagedIdentity {
        resource_group: Some(group.to_owned()),
        name: name.map(str::to_owned),
        location: location.map(str::to_owned),
        ..ManagedIdentity::default()
    };
    let existing = |id: &str| {
        binding("shop", "orders")
            .existing(id)
            .service_account("orders")
            .service_account("mails")
            .uid(UID)
    };
    let for_shop = |name: &str| policy(name).namespace("shop");
    let kubelet = format!("{KUBELET_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/KUBELET");
    let vaults = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/sho";
    let prefixed = ManagedIdentityPermission {
        name_prefix: "shop-".to_owned(),
        locations: Some(vec!["westeurope".to_owned()]),
        ..at("team")
    };
    let cases: Vec<(WorkloadIdentityBinding, Vec<WorkloadIdentityPolicy>, &[&str])> = vec![
        (
            existing(&kubelet).build(),
            vec![for_shop("all").existing(&kubelet).build()],
            &[
                "spec.identity.existing.resourceId is not permitted: ",
                "kubelet is one of the cluster's own identities",
            ],
        ),
        (
            managed(there("MC_nodes", None, None)).build(),
            vec![for_shop("all").managed(at("mc_nodes")).build()],
            &[
                "spec.identity.managed.resourceGroup is not permitted: ",
                "mc_nodes",
                "use another identity",
            ],
        ),
        (
            own().role("owner", VAULT).build(),
            vec![for_shop("all").role("Owner", &[VAULT]).build()],
            &[
                "spec.roleAssignments[].role is not permitted: owner at /subscriptions/",
                "give itself any other",
            ],
        ),
        (
            existing(EXISTING).build(),
            vec![],
            &[
                "spec.identity.existing.resourceId is not permitted: no WorkloadIdentityPolicy is for namespace shop",
                EXISTING,
            ],
        ),
        (
            existing(EXISTING).build(),
            vec![for_shop("one").build()],
            &[
                "no WorkloadIdentityPolicy for namespace shop gives /subscriptions/",
                "ask the platform team to add it to spec.existingIdentities",
            ],
        ),
        (
            existing(EXISTING).build(),
            vec![for_shop("one").service_account("orders").existing(EXISTING).build()],
            &[
                "spec.serviceAccounts[1].name is not permitted: service account mails may not have",
                "WorkloadIdentityPolicy one gives it to others",
            ],
        ),
        (
            managed(ManagedIdentity {
                subscription_id: Some("11111111-2222-4333-8444-555555555555".to_owned()),
                ..ManagedIdentity::default()
            })
            .build(),
            vec![for_shop("one").managed(at("team")).build()],
            &[
                "spec.identity.managed.subscriptionId is not permitted: it asks for 11111111-2222-4333-8444-555555555555",
                "spec.managedIdentities",
            ],
        ),
        (
            managed(there("elsewhere", None, None)).build(),
            vec![for_shop("one").managed(at("team")).build()],
            &[
                "spec.identity.managed.resourceGroup is not permitted: it asks for elsewhere",
                "/resourceGroups/operator in westeurope",
            ],
        ),
        (
            managed(there("team", None, Some("eastus"))).build(),
            vec![for_shop("one").managed(prefixed.clone()).build()],
            &["spec.identity.managed.location is not permitted: it asks for eastus"],
        ),
        (
            managed(there("team", Some("bank"), None)).build(),
            vec![for_shop("one").managed(prefixed).build()],
            &["spec.identity.managed.name is not permitted: it asks for bank"],
        ),
        (
            own().role("Reader", VAULT).build(),
            vec![for_shop("one").role("Key Vault Secrets User", &[VAULT]).build()],
            &[
                "spec.roleAssignments[].role is not permitted: no WorkloadIdentityPolicy for namespace shop gives Reader at ",
                "spec.roles",
            ],
        ),
        (
            own().role("Reader", VAULT).build(),
            vec![
                for_shop("one")
                    .role("acdd72a7-3385-48ef-bd42-f606fba81ae7", &[vaults])
                    .build(),
            ],
            &[
                "spec.roleAssignments[].scope is not permitted: ",
                "Reader at /subscriptions/",
            ],
        ),
        (
            own().service_account("mails").role("Reader", VAULT).build(),
            vec![for_shop("one").service_account("ord*").role("Reader", &[VAULT]).build()],
            &[
                "spec.serviceAccounts[1].name is not permitted: service account mails may not have Reader at ",
                "WorkloadIdentityPolicy one",
            ],
        ),
        (
            own().service_account("mails").build(),
            vec![for_shop("one").max_federated_credentials(1).build()],
            &[
                "spec.serviceAccounts is not permitted: namespace shop may hold 1 federated credentials, and this binding alone asks for 2",
            ],
        ),
        (
            own().build(),
            vec![for_shop("one").max_managed_identities(0).build()],
            &[
                "spec.identity.managed is not permitted: namespace shop may hold no managed identities",
                "spec.maxManagedIdentities",
            ],
        ),
        (
            own().role("Reader", VAULT).role("Reader", vaults).build(),
            vec![
                for_shop("one")
                    .role("Reader", &[VAULT, vaults])
                    .max_role_assignments(1)
                    .build(),
            ],
            &[
                "spec.roleAssignments is not permitted: namespace shop may hold 1 role assignments, and this binding alone asks for 2",
            ],
        ),
        (
            managed(there("operator", Some("shop-orders"), None)).build(),
            vec![],
            &[
                "spec.identity.managed.name is not permitted: it asks for shop-orders",
                "under a derived name or one that begins with shop_",
            ],
        ),
        (
            existing(&EXISTING.replace("billing", "Wib-bank-orders-aaaaaaaaaaaaaaaa")).build(),
            vec![for_shop("one").existing(&EXISTING.replace("billing", "*")).build()],
            &[
                "spec.identity.existing.resourceId is not permitted: ",
                "as the operator derives it for one binding",
            ],
        ),
        (
            own().role("contributor", SUBSCRIPTION_SCOPE).build(),
            vec![for_shop("one").role("Contributor", &[SUBSCRIPTION_SCOPE]).build()],
            &[
                "spec.roleAssignments[].scope is not permitted: contributor at /subscriptions/",
                "locks it there",
            ],
        ),
        (
            existing(EXISTING).deletion_policy(DeletionPolicy::Orphan).build(),
            vec![for_shop("one").existing(EXISTING).build()],
            &[
                "spec.deletionPolicy is not permitted: Orphan leaves trust behind",
                "service account orders",
                "spec.allowOrphan",
            ],
        ),
    ];
    for (asked, policies, parts) in cases {
        let message = refusal(&asked, None, &policies).unwrap_or_else(|| panic!("{parts:?} was taken"));
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
    }
}

#[test]
fn an_update_is_judged_only_when_it_asks_for_something_else() {
    let old = binding("shop", "orders")
        .existing(EXISTING)
        .service_account("orders")
        .uid(UID)
        .build();
    let mut new = old.clone();
    new.metadata.finalizers = Some(vec!["workloadidentity.dev/azure".to_owned()]);
    new.metadata.labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
    new.spec.suspend = true;
    assert_eq!(refusal(&new, Some(&old), &[]), None);

    let another = |change: fn(&mut WorkloadIdentityBinding)| {
        let mut new = old.clone();
        change(&mut new);
        refusal(&new, Some(&old), &[])
    };
    let changes: [fn(&mut WorkloadIdentityBinding); 4] = [
        |new| new.spec.service_accounts[0].name = "mails".to_owned(),
        |new| new.spec.deletion_policy = DeletionPolicy::Orphan,
        |new| {
            new.spec.role_assignments = vec![wio_api::AssignedRole {
                role: "Reader".to_owned(),
                scope: VAULT.to_owned(),
                ..wio_api::AssignedRole::default()
            }];
        },
        |new| {
            new.spec.identity = binding("x", "y")
                .existing(&EXISTING.replace("billing", "bank"))
                .build()
                .spec
                .identity;
        },
    ];
    for change in changes {
        assert!(another(change).is_some());
    }
}

#[test]
fn nothing_but_leaving_trust_behind_is_refused_while_a_binding_is_deleted() {
    let mut old = binding("shop", "orders")
        .existing(EXISTING)
        .service_account("orders")
        .uid(UID)
        .build();
    old.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-24T20:00:00Z")).unwrap());
    let with = |policy| {
        let mut new = old.clone();
        new.spec.deletion_policy = policy;
        new
    };
    assert_eq!(refusal(&with(DeletionPolicy::RetainIdentity), Some(&old), &[]), None);
    let orphan = with(DeletionPolicy::Orphan);
    assert!(
        refusal(&orphan, Some(&old), &[])
            .unwrap()
            .starts_with("spec.deletionPolicy")
    );
    let mut fewer = orphan.clone();
    fewer.spec.service_accounts[0].create = false;
    assert_eq!(refusal(&fewer, Some(&orphan), &[]), None);
}

#[test]
fn what_is_protected_is_so_in_every_case_and_nothing_else_is() {
    let config = wio_core::config::OperatorConfig {
        protected_groups: ["Knoten.(Düi)", "Straßenfinsternis", "masSse"]
            .map(|group| name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}")))
            .to_vec(),
        protected_identities: vec![name(EXISTING)],
        ..guarded()
    };
    let spec = merge(&config, &Policies::default());
    let protects = |id: &str| {
        spec.protected.iter().any(|pattern| {
            let mut context = Context::default();
            context.add_variable_from_value("id", Value::String(id.to_ascii_lowercase().into()));
            context.add_variable_from_value("pattern", Value::String(pattern.clone().into()));
            is_true(&Program::compile("id.matches(pattern)").unwrap(), &context)
        })
    };
    let at = |group: &str, name: &str| {
        format!(
            "/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
        )
    };
    for (group, name, is) in [
        ("knoten.(DÜI)", "anything", true),
        ("KNOTEN.(dÜı)", "anything", true),
        ("knoten.(düi)", "", true),
        ("straßenfinsternis", "anything", true),
        ("STRASSENFINSTERNIS", "anything", true),
        ("ſtraẞenﬁnﬅernis", "anything", true),
        ("strasenfinsternis", "anything", false),
        ("strassenifnsternis", "anything", false),
        ("massse", "anything", true),
        ("maßse", "anything", true),
        ("masße", "anything", true),
        ("masse", "anything", false),
        ("knotenx(düi)", "anything", false),
        ("knoten.(dui)", "anything", false),
        ("xknoten.(düi)", "anything", false),
        ("SHARED", "Billing", true),
        ("shared", "billing2", false),
        ("shared2", "billing", false),
    ] {
        assert_eq!(protects(&at(group, name)), is, "{group}/{name} {:?}", spec.protected);
    }
}

#[test]
fn the_merged_policy_says_what_the_policies_say_and_what_of_them_cannot_be_used() {
    let one = policy("one")
        .namespace("shop")
        .service_account("orders")
        .service_account("mail*")
        .service_account("*-v2")
        .service_account("*x*")
        .existing(&EXISTING.replace("/shared/", "/*/"))
        .managed(at("Team"))
        .role(
            "foundry user",
            &["/subscriptions/6F2E1C1D-52A4-4D0C-8D2F-0C6A2D0B7A11/resourceGroups/Shop"],
        )
        .role("No Such Role", &["/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11"])
        .max_federated_credentials(3)
        .build();
    let spec = serde_json::to_value(merge(&guarded(), &Policies::parse([&one]))).unwrap();
    assert_eq!(
        spec["policies"],
        json!([{
            "name": "one",
            "namespaces": ["shop"],
            "serviceAccounts": {"is": ["orders"], "startsWith": ["mail"], "endsWith": ["-v2"], "contains": ["x"]},
            "existingIdentities": [{
                "subscriptionId": "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "resourceGroup": {}, "name": {"is": "billing"},
            }],
            "managedIdentities": [{
                "subscriptionId": "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11", "resourceGroup": "team", "namePrefix": "", "adopt": false,
            }],
            "roles": [{
                "names": ["53ca6127-db72-4b80-b1b0-d745d6d5456d", "foundry user", "azure ai user"],
                "scopes": ["/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourcegroups/shop"],
            }],
            "maxFederatedCredentials": 3,
            "allowOrphan": false,
        }])
    );
    assert!(
        spec["problems"][0]
            .as_str()
            .unwrap()
            .starts_with("spec.roles[1].role of WorkloadIdentityPolicy one grants nothing"),
        "{spec}"
    );
    assert!(
        spec["lockedRoles"].as_array().unwrap().contains(&json!("owner")),
        "{spec}"
    );
}

#[test]
fn an_existing_identity_by_group_and_name_is_decided_about_as_by_its_id() {
    let orders = |group: &str, name: &str| {
        let binding = wio_testkit::fixtures::binding("shop", "orders").uid(crate::given::UID);
        binding.existing_named(group, name).service_account("orders").build()
    };
    let by_name = orders("Shared", "Billing");
    let given = [policy("one").namespace("shop").existing(EXISTING).build()];
    assert_eq!(refusal(&by_name, None, &given), None);
    assert!(crate::given::ask(&by_name, &crate::given::rules_by(crate::given::config(), &given), 0).is_ok());
    for (asked, policies) in [
        (by_name, &[][..]),
        (orders("shared", "bank"), &given),
        (orders("other", "billing"), &given),
    ] {
        let told = refusal(&asked, None, policies).unwrap();
        assert!(
            told.starts_with("spec.identity.existing.name is not permitted: no WorkloadIdentityPolicy"),
            "{told}"
        );
        let rules = crate::given::rules_by(crate::given::config(), policies);
        let why = crate::given::ask(&asked, &rules, 0).unwrap_err();
        assert_eq!(why.field, "spec.identity.existing.name");
    }
}
