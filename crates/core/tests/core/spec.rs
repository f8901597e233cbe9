//! Every field that cannot be used is told, with its path, its value and the way out, and all of them at once.

use std::collections::BTreeMap;

use wio_api::limits::CONDITION_CHARS_MAX;
use wio_api::{ExistingIdentity, IdentitySource, ManagedIdentity, WorkloadIdentityBinding};
use wio_core::binding::Binding;
use wio_core::role_terms::RoleTerms;
use wio_core::spec::{ExistingRef, IdentityRef, InvalidField};
use wio_core::verdict::Verdict;
use wio_testkit::fixtures::binding;

use crate::given::{
    ACCOUNTS, CLUSTER, EXISTING, SUBSCRIPTION, UID, VAULT, config, existing, managed, managed_with, name, parsed,
    rules, spec_of, verdict_of,
};

/// The fields of the metadata that cannot be used, and when there are none, those of the spec.
fn problems(object: &WorkloadIdentityBinding) -> Vec<InvalidField> {
    match Binding::parse(object, &name(CLUSTER)) {
        Ok(binding) => binding.spec.unwrap_err(),
        Err(invalid) => invalid,
    }
}

/// One change to a good binding, the field that is blamed, and what the message has to hold.
#[track_caller]
fn blamed(change: impl FnOnce(&mut WorkloadIdentityBinding), field: &str, parts: &[&str]) {
    let mut object = managed(&["orders", "mails"]);
    change(&mut object);
    let problems = problems(&object);
    let [problem] = problems.as_slice() else {
        panic!("{problems:#?}")
    };
    assert_eq!(problem.field, field);
    for part in parts {
        assert!(problem.problem.contains(part), "{part:?} is not in {problem}");
    }
}

fn with(change: impl FnOnce(&mut ManagedIdentity)) -> impl FnOnce(&mut WorkloadIdentityBinding) {
    |object| change(object.spec.identity.managed.as_mut().unwrap())
}

fn tags(tags: &[&str]) -> BTreeMap<String, String> {
    tags.iter().map(|tag| ((*tag).to_owned(), "x".to_owned())).collect()
}

#[test]
fn every_field_is_blamed_by_its_path_with_its_value_and_the_way_out() {
    const MANAGED: &str = "spec.identity.managed";
    let field = |name: &str| format!("{MANAGED}.{name}");
    blamed(
        |b| b.metadata.namespace = None,
        "metadata.namespace",
        &["\"\"", "DNS label"],
    );
    blamed(
        |b| b.metadata.name = Some("A".to_owned()),
        "metadata.name",
        &["\"A\"", "DNS subdomain"],
    );
    blamed(|b| b.metadata.uid = None, "metadata.uid", &["\"\"", "Kubernetes UID"]);
    blamed(
        with(|m| m.name = Some("-x".to_owned())),
        &field("name"),
        &["\"-x\"", "3 to 128"],
    );
    blamed(
        with(|m| m.subscription_id = Some("x".to_owned())),
        &field("subscriptionId"),
        &["\"x\"", "GUID such as"],
    );
    blamed(
        with(|m| m.resource_group = Some("a/b".to_owned())),
        &field("resourceGroup"),
        &["\"a/b\"", "1 to 90"],
    );
    blamed(
        with(|m| m.location = Some("West Europe".to_owned())),
        &field("location"),
        &["\"West Europe\"", "westeurope"],
    );
    blamed(
        with(|m| m.tags = tags(&["WorkloadIdentity.dev-cluster"])),
        &field("tags"),
        &["\"WorkloadIdentity.dev-cluster\"", "only the operator"],
    );
    blamed(
        with(|m| m.tags = tags(&["team", "Team"])),
        &field("tags"),
        &["\"Team\"", "\"team\"", "keep one"],
    );
    for (condition, part) in [
        ("", "1 to"),
        (" x", "white space"),
        ("a\u{0}b", "control"),
        (&"x".repeat(8193), "8193"),
    ] {
        let asked = wio_api::AssignedRole {
            role: "Reader".to_owned(),
            scope: VAULT.to_owned(),
            condition: Some(condition.to_owned()),
            description: None,
        };
        blamed(
            |b| b.spec.role_assignments = vec![asked],
            "spec.roleAssignments[0].condition",
            &[part],
        );
    }
    let twice = |condition: &str| wio_api::AssignedRole {
        condition: Some(condition.to_owned()),
        ..managed_with(&[("Reader", VAULT)]).spec.role_assignments.remove(0)
    };
    let by_guid = wio_api::AssignedRole {
        role: "acdd72a7-3385-48ef-bd42-f606fba81ae7".to_owned(),
        ..twice("b")
    };
    blamed(
        |b| b.spec.role_assignments = vec![twice("a"), by_guid],
        "spec.roleAssignments[1]",
        &["same role", "\"Reader\""],
    );
    for reserved in ["kube-root-ca.crt", "kube-x", "istio-ca-root-cert", "A", ""] {
        let config_map = wio_api::ExportedConfigMap {
            name: reserved.to_owned(),
        };
        blamed(
            |b| b.spec.export = Some(wio_api::Export { config_map }),
            "spec.export.configMap.name",
            &[&format!("{reserved:?}"), "kube-root-ca.crt"],
        );
    }
    blamed(
        |b| b.spec.audience = Some("a b".to_owned()),
        "spec.audience",
        &["\"a b\"", "without spaces"],
    );
    blamed(
        |b| b.spec.service_accounts[1].name = "Mails".to_owned(),
        "spec.serviceAccounts[1].name",
        &["\"Mails\"", "lower-case"],
    );
    blamed(
        |b| b.spec.service_accounts[1].name = "orders".to_owned(),
        "spec.serviceAccounts[1].name",
        &["\"orders\"", "twice"],
    );
    for seconds in [i64::MIN, -1, 0, 3599, 86401, i64::MAX] {
        blamed(
            |b| b.spec.service_accounts[0].token_expiration_seconds = Some(seconds),
            "spec.serviceAccounts[0].tokenExpirationSeconds",
            &[&seconds.to_string(), "3600", "86400"],
        );
    }
    blamed(
        |b| b.spec.service_accounts.clear(),
        "spec.serviceAccounts",
        &["0 service accounts", "1 to 20"],
    );
    blamed(
        |b| *b = managed(&ACCOUNTS.iter().take(21).map(String::as_str).collect::<Vec<_>>()),
        "spec.serviceAccounts",
        &["21 service accounts", "1 to 20"],
    );
    let both = IdentitySource {
        managed: Some(ManagedIdentity::default()),
        existing: Some(ExistingIdentity {
            resource_id: Some(EXISTING.to_owned()),
            ..ExistingIdentity::default()
        }),
    };
    for source in [both, IdentitySource::default()] {
        blamed(
            |b| b.spec.identity = source,
            "spec.identity",
            &["exactly one of managed and existing"],
        );
    }
    blamed(
        |b| *b = existing_at("/subscriptions/x"),
        "spec.identity.existing.resourceId",
        &["\"/subscriptions/x\"", "userAssignedIdentities/<name>"],
    );
}

fn existing_at(id: &str) -> WorkloadIdentityBinding {
    let mut object = existing(&["orders"]);
    object.spec.identity.existing = Some(ExistingIdentity {
        resource_id: Some(id.to_owned()),
        ..ExistingIdentity::default()
    });
    object
}

#[test]
fn every_role_is_blamed_by_its_path_with_its_value_and_the_way_out() {
    blamed(
        |b| *b = managed_with(&[("Reader", VAULT), ("Orders Reader", VAULT)]),
        "spec.roleAssignments[1].role",
        &["\"Orders Reader\"", "GUID"],
    );
    blamed(
        |b| *b = managed_with(&[("Reader", "/subscriptions/x")]),
        "spec.roleAssignments[0].scope",
        &["\"/subscriptions/x\"", "resourceGroups"],
    );
    blamed(
        |b| *b = managed_with(&[("Reader", VAULT); 21]),
        "spec.roleAssignments",
        &["21 role assignments", "at most 20"],
    );
}

#[test]
fn everything_is_told_at_once() {
    let mut object = binding("Shop", "Orders")
        .managed_as(ManagedIdentity {
            name: Some("x".to_owned()),
            subscription_id: Some("x".to_owned()),
            resource_group: Some(String::new()),
            location: Some("x".to_owned()),
            tags: tags(&["workloadidentity.dev", "workloadidentity.dev-x"]),
            ..ManagedIdentity::default()
        })
        .service_account("A")
        .token_expiration(1)
        .service_account("A")
        .audience("*")
        .build();
    let fields = |object: &WorkloadIdentityBinding| -> Vec<String> {
        problems(object).into_iter().map(|problem| problem.field).collect()
    };
    assert_eq!(
        fields(&object),
        ["metadata.namespace", "metadata.name", "metadata.uid"],
        "whose it is comes first"
    );
    object.metadata = binding("shop", "orders").uid(UID).build().metadata;
    let fields = fields(&object);
    assert_eq!(
        fields,
        [
            "spec.identity.managed.tags",
            "spec.identity.managed.tags",
            "spec.identity.managed.name",
            "spec.identity.managed.subscriptionId",
            "spec.identity.managed.resourceGroup",
            "spec.identity.managed.location",
            "spec.serviceAccounts[0].tokenExpirationSeconds",
            "spec.serviceAccounts[0].name",
            "spec.serviceAccounts[1].name",
            "spec.serviceAccounts[1].name",
            "spec.audience",
        ]
    );
    let Verdict::Hold(held) = verdict_of(&object, rules()) else {
        panic!("it is held")
    };
    for field in fields {
        assert!(held.message.contains(&field), "{field} is not in {}", held.message);
    }
}

/// A tenant that could choose the derived name of another binding's identity would have its tokens when that is created.
#[test]
fn a_derived_name_cannot_be_chosen() {
    for chosen in [
        "wib-shop-orders-5v47tcb6dry2gzmb",
        "WIB-SHOP-ORDERS-5V47TCB6DRY2GZMB",
        "wib-anything",
    ] {
        let object = binding("shop", "orders")
            .uid(UID)
            .managed_as(ManagedIdentity {
                name: Some(chosen.to_owned()),
                ..ManagedIdentity::default()
            })
            .service_account("orders")
            .build();
        let problems = problems(&object);
        let [problem] = problems.as_slice() else {
            panic!("{chosen}: {problems:?}")
        };
        assert_eq!(problem.field, "spec.identity.managed.name");
        assert!(problem.problem.contains("not begin with 'wib-'"), "{problem}");
    }
}

#[test]
fn a_good_binding_keeps_what_it_says() {
    let object = binding("shop", "orders")
        .uid("u")
        .generation(7)
        .managed_as(ManagedIdentity {
            name: Some("Orders".to_owned()),
            tags: tags(&["team"]),
            ..ManagedIdentity::default()
        })
        .service_account("orders")
        .not_created()
        .forced()
        .token_expiration(3600)
        .service_account("mails")
        .token_expiration(86400)
        .audience("api://x")
        .suspended()
        .build();
    let binding = parsed(&object);
    let valid = binding.spec.unwrap();
    assert_eq!(
        (
            binding.owner.name.as_str(),
            binding.owner.uid.as_str(),
            binding.lifecycle.generation
        ),
        ("orders", "u", 7)
    );
    assert!(binding.lifecycle.suspended);
    assert_eq!(
        valid.audience.as_ref().map(wio_core::names::Audience::as_str),
        Some("api://x")
    );
    let lifetimes: Vec<String> = valid
        .service_accounts
        .iter()
        .map(|a| a.token_expiration.unwrap().to_string())
        .collect();
    assert_eq!(lifetimes, ["3600", "86400"]);
    assert_eq!(
        (valid.service_accounts[0].create, valid.service_accounts[1].create),
        (false, true)
    );
    let id = valid.identity_id(&binding.owner, &config());
    assert_eq!(id.name.as_str(), "Orders");
    assert_eq!(id.group, config().group);
}

#[test]
fn an_existing_identity_is_the_one_named_in_any_case() {
    let object = existing_at(&EXISTING.to_uppercase());
    let valid = spec_of(&object);
    assert_eq!(valid.identity, IdentityRef::Existing(ExistingRef::Id(name(EXISTING))));
    assert_eq!(valid.identity_id(&parsed(&object).owner, &config()), name(EXISTING));
}

type Change<'a> = &'a dyn Fn(&mut ExistingIdentity);

#[test]
fn an_existing_identity_is_named_by_group_and_name_in_the_operators_subscription_or_another() {
    let named = |change: Change<'_>| {
        let mut object = existing(&["orders"]);
        let mut by_name = ExistingIdentity {
            name: Some("billing".to_owned()),
            resource_group: Some("shared".to_owned()),
            ..ExistingIdentity::default()
        };
        change(&mut by_name);
        object.spec.identity.existing = Some(by_name);
        object
    };
    let id = |object: &WorkloadIdentityBinding| spec_of(object).identity_id(&parsed(object).owner, &config());
    assert_eq!(id(&named(&|_| {})), name(EXISTING));
    let other = "11111111-2222-4333-8444-555555555555";
    let elsewhere = id(&named(&|existing| existing.subscription_id = Some(other.to_owned())));
    assert_eq!(elsewhere, name(&EXISTING.replace(SUBSCRIPTION, other)));
    let beside_an_id = |existing: &mut ExistingIdentity| {
        *existing = ExistingIdentity {
            resource_id: Some(EXISTING.to_owned()),
            subscription_id: Some(SUBSCRIPTION.to_owned()),
            ..ExistingIdentity::default()
        };
    };
    let wrong: [(Change<'_>, &str); 7] = [
        (&beside_an_id, "spec.identity.existing"),
        (&|existing| existing.name = None, "spec.identity.existing"),
        (&|existing| existing.resource_group = None, "spec.identity.existing"),
        (
            &|existing| existing.resource_id = Some(EXISTING.to_owned()),
            "spec.identity.existing",
        ),
        (
            &|existing| existing.name = Some("a/../b".to_owned()),
            "spec.identity.existing.name",
        ),
        (
            &|existing| existing.resource_group = Some("a.".to_owned()),
            "spec.identity.existing.resourceGroup",
        ),
        (
            &|existing| existing.subscription_id = Some("shop".to_owned()),
            "spec.identity.existing.subscriptionId",
        ),
    ];
    for (change, field) in wrong {
        let object = named(change);
        blamed(|b| *b = object.clone(), field, &[]);
        assert_eq!(
            parsed(&object).identity,
            None,
            "{field}: no other identity is meant instead"
        );
    }
}

/// By this alone is known what is to be taken away.
#[test]
fn the_identity_that_is_meant_is_known_though_its_region_and_tags_cannot_be_used() {
    let mut object = managed(&["a"]);
    let managed = object.spec.identity.managed.as_mut().unwrap();
    managed.name = Some("shop_orders".to_owned());
    managed.location = Some("no where".to_owned());
    managed.tags = tags(&["workloadidentity.dev/x"]);
    let binding = parsed(&object);
    assert!(binding.spec.is_err());
    let id = binding.identity.unwrap().id(&binding.owner, &config());
    assert_eq!(id.name, name("shop_orders"));
    object.spec.identity.managed.as_mut().unwrap().name = Some("no name".to_owned());
    assert_eq!(parsed(&object).identity, None);
}

#[test]
fn only_where_the_spec_leaves_something_open_do_the_operators_defaults_say_where_an_identity_is() {
    let follows = |object: &WorkloadIdentityBinding| parsed(object).identity.unwrap().follows_defaults();
    assert!(!follows(&existing(&["a"])));
    let managed = |subscription: bool, group: bool| {
        let identity = ManagedIdentity {
            subscription_id: subscription.then(|| SUBSCRIPTION.to_owned()),
            resource_group: group.then(|| "team".to_owned()),
            ..ManagedIdentity::default()
        };
        binding("shop", "orders")
            .uid(UID)
            .managed_as(identity)
            .service_account("a")
            .build()
    };
    assert!(follows(&managed(false, false)) && follows(&managed(true, false)) && follows(&managed(false, true)));
    assert!(!follows(&managed(true, true)));
}

#[test]
fn twenty_service_accounts_and_roles_are_not_too_many() {
    let names: Vec<&str> = ACCOUNTS.iter().take(20).map(String::as_str).collect();
    assert_eq!(spec_of(&managed(&names)).service_accounts.len(), 20);
    let scopes: Vec<String> = (0..20).map(|n| format!("{VAULT}-{n}")).collect();
    let roles: Vec<(&str, &str)> = scopes.iter().map(|scope| ("Reader", scope.as_str())).collect();
    assert_eq!(spec_of(&managed_with(&roles)).role_assignments.len(), 20);
}

#[test]
fn the_terms_of_a_role_are_kept_as_they_are_up_to_what_azure_takes() {
    let mut object = managed_with(&[("Reader", VAULT)]);
    let asked = &mut object.spec.role_assignments[0];
    asked.condition = Some("ä".repeat(CONDITION_CHARS_MAX));
    asked.description = Some("in\ttwo\r\nlines".to_owned());
    let asked = asked.clone();
    let terms = spec_of(&object).role_assignments.remove(0).terms;
    assert_eq!(
        (terms.condition, terms.description),
        (asked.condition, asked.description)
    );
}

#[test]
fn an_empty_text_that_azure_shows_of_a_role_is_none() {
    let shown =
        |condition: &str, description: &str| RoleTerms::shown(Some(condition.to_owned()), Some(description.to_owned()));
    assert_eq!(shown("", ""), RoleTerms::shown(None, None));
    let said = shown("c", "d");
    assert_eq!(
        (said.condition.as_deref(), said.description.as_deref()),
        (Some("c"), Some("d"))
    );
}
