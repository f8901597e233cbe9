//! Policies as a whole: which namespaces they are for, what of them is broken, and who comes first.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wio_api::{NamespaceRequirement, NamespaceSelector, SelectorOperator, WorkloadIdentityBinding};
use wio_core::policy::{Limits, NamespaceFacts, Policies, Tally};
use wio_core::rules::Rules;
use wio_testkit::fixtures::{PolicyBuilder, binding, policy};

use crate::given::{
    EXISTING, SUBSCRIPTION, VAULT, ask, config, existing, managed_with, parsed, rules_by, shop, usage_of,
};

/// Labels of a namespace, and their values.
type Labels<'a> = &'a [(&'a str, &'a str)];

fn labels(labels: &[(&str, &str)]) -> BTreeMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn requirement(key: &str, operator: SelectorOperator, values: &[&str]) -> NamespaceRequirement {
    NamespaceRequirement {
        key: key.to_owned(),
        operator,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// Whether a policy is for namespace shop with these labels.
fn holds(policy: PolicyBuilder, of_shop: &[(&str, &str)]) -> bool {
    let namespace = NamespaceFacts {
        labels: labels(of_shop),
        ..shop()
    };
    let rules = Rules {
        namespace,
        ..rules_by(config(), &[policy.existing(EXISTING).build()])
    };
    ask(&existing(&["orders"]), &rules, 0).is_ok()
}

#[test]
fn a_policy_is_for_the_namespaces_that_it_names_or_selects() {
    assert!(holds(policy("p").namespace("shop"), &[]));
    assert!(holds(policy("p").namespace("bank").namespace("shop"), &[]));
    for near in ["sho", "shop2", "shops", "Shop", "*", "shop*"] {
        assert!(!holds(policy("p").namespace(near), &[]), "{near}");
    }
    assert!(!holds(policy("p"), &[]), "one for no namespace is for none");
    assert!(
        holds(policy("p").selector(NamespaceSelector::default()), &[]),
        "an empty selector selects all"
    );
    let both = || {
        policy("p").namespace("bank").selector(NamespaceSelector {
            match_labels: labels(&[("team", "shop")]),
            ..NamespaceSelector::default()
        })
    };
    assert!(holds(both(), &[("team", "shop")]));
    assert!(!holds(both(), &[("team", "bank")]));
}

#[test]
fn a_selector_means_what_it_means_to_kubernetes() {
    use SelectorOperator::{DoesNotExist, Exists, In, NotIn};
    let eu = ("region", "eu");
    let cases: [(NamespaceRequirement, Labels<'_>, bool); 12] = [
        (requirement("region", In, &["eu", "us"]), &[eu], true),
        (requirement("region", In, &["us"]), &[eu], false),
        (requirement("region", In, &["us"]), &[], false),
        (requirement("region", NotIn, &["us"]), &[eu], true),
        (requirement("region", NotIn, &["eu"]), &[eu], false),
        (requirement("region", NotIn, &["eu"]), &[], true),
        (requirement("region", Exists, &[]), &[eu], true),
        (requirement("region", Exists, &[]), &[], false),
        (requirement("region", DoesNotExist, &[]), &[], true),
        (requirement("region", DoesNotExist, &[]), &[eu], false),
        (
            requirement("example.com/region", Exists, &[]),
            &[("example.com/region", "")],
            true,
        ),
        (requirement("region", In, &[""]), &[("region", "")], true),
    ];
    for (requirement, of_shop, means) in cases {
        let what = format!("{requirement:?} and {of_shop:?}");
        let selector = NamespaceSelector {
            match_expressions: vec![requirement.clone()],
            ..NamespaceSelector::default()
        };
        assert_eq!(holds(policy("p").selector(selector), of_shop), means, "{what}");
        // Every one must hold.
        let with_another = NamespaceSelector {
            match_labels: labels(&[("team", "shop")]),
            match_expressions: vec![requirement],
        };
        let mut labelled = of_shop.to_vec();
        assert!(!holds(policy("p").selector(with_another.clone()), &labelled), "{what}");
        labelled.push(("team", "shop"));
        assert_eq!(holds(policy("p").selector(with_another), &labelled), means, "{what}");
    }
}

#[test]
fn a_selector_with_a_broken_part_selects_nothing() {
    use SelectorOperator::{DoesNotExist, Exists, In, NotIn};
    for broken in [
        requirement("no/such/key", DoesNotExist, &[]),
        requirement("-x", NotIn, &["eu"]),
        requirement("", DoesNotExist, &[]),
        requirement("region", NotIn, &["no value"]),
        requirement("region", In, &[]),
        requirement("region", NotIn, &[]),
        requirement("region", Exists, &["eu"]),
        requirement("region", DoesNotExist, &["eu"]),
    ] {
        let selector = NamespaceSelector {
            match_expressions: vec![broken.clone()],
            ..NamespaceSelector::default()
        };
        let one = policy("p").selector(selector).namespace("bank");
        assert!(!holds(one.clone(), &[("team", "shop")]), "{broken:?}");
        assert!(holds(one.clone().namespace("shop"), &[]), "its names still count");
        let policies = Policies::parse([&one.build()]);
        let [problem] = policies.problems() else {
            panic!("{:?}", policies.problems())
        };
        assert_eq!(
            (problem.policy.as_str(), problem.field.as_str()),
            ("p", "spec.namespaces.selector.matchExpressions[0]")
        );
    }
}

#[test]
fn what_is_broken_grants_nothing_is_named_and_takes_nothing_else_along() {
    let broken = policy("p")
        .namespace("shop")
        .namespace("No Name")
        .existing(EXISTING)
        .existing("/subscriptions/*/..")
        .managed(wio_api::ManagedIdentityPermission::default())
        .role("No Such Role", &[VAULT])
        .role("Key Vault Secrets User", &[VAULT, "/"])
        .build();
    let policies = Policies::parse([&broken]);
    let fields: Vec<&str> = policies
        .problems()
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(
        fields,
        [
            "spec.existingIdentities[1]",
            "spec.managedIdentities[0].resourceGroup",
            "spec.managedIdentities[0].subscriptionId",
            "spec.namespaces.names[1]",
            "spec.roles[0].role",
            "spec.roles[1].scopes[1]",
        ]
    );
    let told = policies.problems()[4].to_string();
    assert!(
        told.starts_with(
            "spec.roles[0].role of WorkloadIdentityPolicy p grants nothing: \"No Such Role\" is not a role"
        ),
        "{told}"
    );
    for binding in [existing(&["a"]), managed_with(&[("Key Vault Secrets User", VAULT)])] {
        ask(&binding, &rules_by(config(), std::slice::from_ref(&broken)), 0).unwrap();
    }
}

/// The tables of what admission and the core refuse alike are longer.
#[test]
fn every_segment_of_a_pattern_and_every_letter_of_a_prefix_counts() {
    let problems = |built: PolicyBuilder| Policies::parse([&built.build()]).problems().len();
    let existing = |pattern: &str| problems(policy("p").existing(pattern));
    assert_eq!(existing(EXISTING), 0);
    for fixed in [
        "subscriptions",
        "resourceGroups",
        "providers",
        "Microsoft.ManagedIdentity",
        "userAssignedIdentities",
    ] {
        let other = EXISTING.replace(&format!("/{fixed}/"), "/other/");
        assert_eq!(existing(&other), 1, "{other}");
    }
    assert_eq!(existing(&EXISTING.replace("shared", &"*a".repeat(2000))), 1);
    for (part, bad) in [
        ("billing", "b.ll*"),
        ("billing", "-bi*"),
        ("shared", "sh$*"),
        ("shared", "*shar."),
        ("shared", "*.."),
        ("shared", "*.*"),
        ("billing", "**"),
        ("billing", "ab"),
    ] {
        let other = EXISTING.replace(part, bad);
        assert_eq!(existing(&other), 1, "{other}");
    }
    for (part, good) in [("billing", "b_l-*"), ("billing", "*"), ("shared", "*s_-.()d")] {
        let other = EXISTING.replace(part, good);
        assert_eq!(existing(&other), 0, "{other}");
    }
    let account = |pattern: &str| problems(policy("p").service_account(pattern));
    for good in ["orders", "or-ders.v2*", "*-v2", "*rd*", "*", &"a".repeat(253)] {
        assert_eq!(account(good), 0, "{good}");
    }
    for bad in [
        "a..b*",
        "-a*",
        "*a-",
        ".a*",
        "Orders*",
        "or*ders",
        &format!("{}*", "a".repeat(253)),
    ] {
        assert_eq!(account(bad), 1, "{bad}");
    }
    let prefix = |prefix: &str| {
        problems(policy("p").managed(wio_api::ManagedIdentityPermission {
            subscription_id: SUBSCRIPTION.to_owned(),
            resource_group: "team".to_owned(),
            name_prefix: prefix.to_owned(),
            ..wio_api::ManagedIdentityPermission::default()
        }))
    };
    for good in ["", "s", "9", "shop_a-", &"a".repeat(128)] {
        assert_eq!(prefix(good), 0, "{good}");
    }
    for bad in ["shop.", "shop*", "_shop", "-shop", "shöp", &"a".repeat(129)] {
        assert_eq!(prefix(bad), 1, "{bad}");
    }
}

#[test]
fn a_cluster_without_policies_is_told_from_one_with_some() {
    assert!(Policies::default().is_empty());
    assert!(!Policies::parse([&policy("p").build()]).is_empty());
}

#[test]
fn a_list_that_is_empty_allows_nothing_though_one_that_is_absent_allows_all() {
    let with = |accounts: Option<Vec<String>>| {
        let mut one = policy("p").namespace("shop").existing(EXISTING).build();
        one.spec.service_accounts = accounts;
        let rules = rules_by(config(), &[one]);
        let permission = ask(&existing(&["orders"]), &rules, 0);
        (permission.is_ok(), rules.policies.problems().len())
    };
    assert_eq!(with(None), (true, 0));
    assert_eq!(with(Some(Vec::new())), (false, 1));
    assert_eq!(with(Some(vec!["No Name".to_owned()])), (false, 1));
    assert_eq!(with(Some(vec!["No Name".to_owned(), "orders".to_owned()])), (true, 1));
}

fn aged(name: &str, second: Option<i64>, accounts: usize) -> WorkloadIdentityBinding {
    let start = binding("shop", name).uid(name).managed();
    let mut built = (0..accounts)
        .fold(start, |built, n| built.service_account(&format!("account-{n}")))
        .build();
    built.metadata.creation_timestamp = second.map(|second| Time(Timestamp::from_second(second).unwrap()));
    built
}

#[test]
fn older_bindings_come_first_so_that_a_new_one_takes_nothing_away() {
    let all = [
        aged("z", Some(1), 2),
        aged("a", Some(2), 3),
        aged("b", Some(2), 5),
        aged("c", Some(9), 7),
        aged("new", None, 11),
    ];
    let seniority = |object| parsed(object).lifecycle.seniority;
    let mut tally = Tally::default();
    for object in &all {
        tally.count(seniority(object), usage_of(object));
    }
    let before = |limit| {
        let limits = Limits {
            federated_credentials: Some(limit),
            ..Limits::default()
        };
        all.each_ref()
            .map(|object| tally.before(&seniority(object), &limits).federated_credentials)
    };
    assert_eq!(before(usize::MAX), [0, 2, 5, 10, 17]);
    assert_eq!(before(6), [0, 2, 5, 6, 6], "counting ends at the limit");
}
