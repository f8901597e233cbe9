use std::collections::BTreeMap;

use wio_api::{
    DeletionPolicy, IdentityOrigin, IdentityStatus, ManagedIdentityPermission, Reason, WorkloadIdentityBindingStatus,
    keys,
};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use super::*;
use crate::active_namespaces::ActiveNamespaces;
use crate::binding::Binding;
use crate::cluster::Cluster;
use crate::config::OperatorConfig;
use crate::names::{CredentialName, CredentialPrefix, IdentityId, Namespace, credential_name};
use crate::observed::{
    AzureState, IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedRoleAssignments,
    PresentIdentity, Tags,
};
use crate::owner::{Owner, deletion_policy_tag};
use crate::plan::Revocation;
use crate::policy::Policies;

const SUBSCRIPTION: &str = "6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11";
const CLIENT_ID: &str = "0e0e0e0e-0000-4000-8000-00000000c11e";

fn group(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}")
}

fn id(group_name: &str, name: &str) -> IdentityId {
    let group = group(group_name);
    let text = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}");
    text.parse().unwrap()
}

fn config() -> OperatorConfig {
    OperatorConfig {
        group: group("operator").parse().unwrap(),
        location: "westeurope".parse().unwrap(),
        require_policy: false,
        audience: "api://AzureADTokenExchange".parse().unwrap(),
        protected_identities: vec![id("operator", "protected")],
        protected_groups: Vec::new(),
        own_cluster: crate::config::OwnCluster::Settled,
        former_issuers: std::collections::BTreeSet::new(),
        allow_private_issuer: false,
        unlocked_roles: std::collections::BTreeSet::new(),
        default_tags: Tags::new(),
        ignored_tags: Vec::new(),
        namespaces: ActiveNamespaces::All,
        verification: wio_api::VerificationMode::None,
    }
}

fn cluster() -> Cluster {
    Cluster::new("c1".parse().unwrap(), "https://issuer.example/".parse().unwrap())
}

fn namespace() -> Namespace {
    "shop".parse().unwrap()
}

fn owner(name: &str) -> Owner {
    Owner {
        cluster: cluster().id,
        namespace: namespace(),
        name: name.parse().unwrap(),
        uid: format!("uid-{name}").parse().unwrap(),
    }
}

fn living(bindings: impl IntoIterator<Item = BindingBuilder>) -> Living {
    let parse = |builder: BindingBuilder| {
        let mut object = builder.build();
        let uid = format!("uid-{}", object.metadata.name.as_deref().unwrap());
        object.metadata.uid = Some(uid);
        Binding::parse(&object, &cluster().id).unwrap()
    };
    Living::new(&cluster(), &namespace(), &config(), bindings.into_iter().map(parse))
}

fn tags(name: &str, policy: DeletionPolicy) -> Tags {
    owner(name).tags().chain([deletion_policy_tag(policy)]).collect()
}

fn name_of(binding: &str, account: &str) -> CredentialName {
    let owner = owner(binding);
    let prefix = CredentialPrefix::of(&owner.cluster, &owner.namespace, &owner.name);
    credential_name(&prefix, &account.parse().unwrap(), &cluster().issuer)
}

fn credential(binding: &str, account: &str) -> ObservedCredential {
    ObservedCredential {
        name: name_of(binding, account),
        issuer: cluster().issuer.to_string(),
        subject: Some(format!("system:serviceaccount:shop:{account}")),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    }
}

fn observed(tags: Tags, credentials: Vec<ObservedCredential>) -> Observed {
    Observed {
        azure: AzureState {
            identity: ObservedIdentity::Present(PresentIdentity {
                facts: IdentityFacts {
                    client_id: CLIENT_ID.parse().unwrap(),
                    principal_id: SUBSCRIPTION.parse().unwrap(),
                    tenant_id: SUBSCRIPTION.parse().unwrap(),
                },
                tags,
                credentials,
            }),
            role_assignments: ObservedRoleAssignments::read(Vec::new()),
        },
        service_accounts: BTreeMap::new(),
        exports: BTreeMap::new(),
        signed_in_as: None,
    }
}

fn fate(tags: &Tags) -> Option<Fate> {
    by_tags(&id("operator", "any"), tags, &living([]), &config()).map(|orphan| orphan.fate)
}

fn removal(orphan: &Orphan, observed: &Observed, living: &Living, strays: &[Stray]) -> Option<Removal> {
    let (config, policies) = (config(), Policies::default());
    let rules = Rules {
        config: &config,
        policies: &policies,
        strays,
    };
    orphan.removal(observed, living, rules)
}

#[test]
fn the_breaker_lets_a_few_go_or_a_tenth_and_one_where_nobody_is_left() {
    for (orphans, living, held) in [
        (0, 0, false),
        (1, 0, false),
        (2, 0, true),
        (3, 1, false),
        (4, 1, true),
        (4, 39, true),
        (4, 40, false),
        (1000, 10_000, false),
        (1001, 10_000, true),
    ] {
        let told = hold(orphans, living, 0);
        assert_eq!(told.is_err(), held, "{orphans} of {living}");
    }
    assert_eq!(hold(1, 5, 2).unwrap_err().reason, Reason::MassDisappearance);
    assert!(hold(0, 5, 2).is_ok(), "nothing is to go");
}

#[test]
fn only_groups_that_are_named_whole_are_looked_at() {
    let place = ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "made".to_owned(),
        ..ManagedIdentityPermission::default()
    };
    let whole = id("whole", "any").to_string().replace("/any", "/*");
    let wide = id("wide", "any").to_string();
    let policy = policy("p")
        .managed(place)
        .existing(&whole)
        .existing(&wide.replace("wide", "wide*"))
        .existing(&wide.replace(SUBSCRIPTION, "*"));
    let policies = Policies::parse([&policy.build()]);
    let found: Vec<String> = places(&config(), &policies)
        .iter()
        .map(|it| it.name.to_string())
        .collect();
    assert_eq!(found, ["made", "operator", "whole"]);
    assert!(may_be_bound(&policies, &id("wider", "any")) && !may_be_bound(&policies, &id("made", "any")));
}

#[test]
fn what_becomes_of_an_identity_is_what_its_tags_say_and_without_them_nothing() {
    assert_eq!(fate(&tags("orders", DeletionPolicy::Delete)), Some(Fate::Remove));
    assert_eq!(
        fate(&tags("orders", DeletionPolicy::RetainIdentity)),
        Some(Fate::Retain)
    );
    assert_eq!(fate(&tags("orders", DeletionPolicy::Orphan)), Some(Fate::Leave));
    assert!(Fate::Remove.takes_away() && Fate::Retain.takes_away());
    assert!(!Fate::Leave.takes_away() && !Fate::Report("why").takes_away());
    for (key, value) in [
        (keys::DELETION_POLICY_TAG, None),
        (keys::DELETION_POLICY_TAG, Some("delete")),
        (keys::BINDING_UID_TAG, None),
        (keys::BINDING_TAG, Some("shop/Orders")),
        (keys::BINDING_TAG, Some(format!("shop/{}", "a".repeat(251)).as_str())),
    ] {
        let mut tags = tags("orders", DeletionPolicy::Delete);
        tags.remove(key);
        tags.extend(value.map(|value| (key.to_owned(), value.to_owned())));
        assert!(matches!(fate(&tags), Some(Fate::Report(_))), "{key}: {value:?}");
    }
    for (key, value) in [
        (keys::CLUSTER_TAG, "c2"),
        (keys::BINDING_TAG, "bank/orders"),
        (keys::BINDING_TAG, "x"),
    ] {
        let mut tags = tags("orders", DeletionPolicy::Delete);
        tags.insert(key.to_owned(), value.to_owned());
        assert_eq!(fate(&tags), None, "{key}: {value}");
    }
}

#[test]
fn a_protected_identity_and_the_operators_own_are_never_removed() {
    let tags = tags("orders", DeletionPolicy::Delete);
    let protected = by_tags(&id("operator", "PROTECTED"), &tags, &living([]), &config()).unwrap();
    assert!(matches!(protected.fate, Fate::Report(_)));
    let orphan = by_tags(&id("operator", "any"), &tags, &living([]), &config()).unwrap();
    let mut observed = observed(tags, Vec::new());
    assert!(removal(&orphan, &observed, &living([]), &[]).is_some());
    observed.signed_in_as = Some(CLIENT_ID.parse().unwrap());
    assert_eq!(removal(&orphan, &observed, &living([]), &[]), None);
}

#[test]
fn what_was_left_where_the_operator_does_not_act_is_told_of_and_stays() {
    let elsewhere = OperatorConfig {
        namespaces: ActiveNamespaces::Only(["bank".parse().unwrap()].into()),
        ..config()
    };
    let tags = tags("orders", DeletionPolicy::Delete);
    let left = by_tags(&id("operator", "any"), &tags, &living([]), &elsewhere).unwrap();
    assert!(
        matches!(left.fate, Fate::Report(why) if why.contains("--watch-namespaces")),
        "{left:?}"
    );
    let kept = by_tags(
        &id("operator", "any"),
        &self::tags("orders", DeletionPolicy::RetainIdentity),
        &living([]),
        &elsewhere,
    );
    assert_eq!(kept.unwrap().fate, Fate::Leave, "it was kept on purpose");
    let trust = [credential("orders", "web")];
    let found = by_credentials(
        &id("shared", "billing"),
        &trust,
        &living([]),
        (&Policies::default(), &elsewhere),
    );
    assert!(
        found.iter().all(|orphan| matches!(orphan.fate, Fate::Report(_))) && found.len() == 1,
        "{found:?}"
    );
}

/// A binding that cannot be understood may have anything.
#[test]
fn a_living_binding_of_the_name_keeps_its_identity_and_no_other() {
    let tags = tags("orders", DeletionPolicy::Delete);
    let own = owner("orders");
    let derived = IdentityId {
        group: config().group,
        name: own.identity_name(),
    };
    let found = |id: &IdentityId, living: &Living| by_tags(id, &tags, living, &config()).is_some();
    let managed = living([binding("shop", "orders").managed().service_account("web")]);
    assert!(!found(&derived, &managed));
    assert!(found(&id("operator", "another"), &managed));
    assert!(!found(&derived, &living([binding("shop", "orders")])));
    assert!(found(
        &derived,
        &living([binding("shop", "mails").managed().service_account("web")])
    ));
    assert!(found(
        &derived,
        &living([binding("bank", "orders").managed().service_account("web")])
    ));
}

/// It may have any identity of its namespace.
#[test]
fn a_living_binding_whose_identity_cannot_be_read_keeps_every_one() {
    let unreadable = WorkloadIdentityBindingStatus {
        identity: Some(IdentityStatus {
            resource_id: "x".to_owned(),
            name: "x".to_owned(),
            client_id: None,
            principal_id: None,
            tenant_id: None,
            origin: IdentityOrigin::Created,
        }),
        ..WorkloadIdentityBindingStatus::default()
    };
    let tags = tags("orders", DeletionPolicy::Delete);
    let found = |status| {
        let one = binding("shop", "orders")
            .managed()
            .service_account("web")
            .status(status);
        by_tags(&id("operator", "another"), &tags, &living([one]), &config()).is_some()
    };
    assert!(found(WorkloadIdentityBindingStatus::default()));
    assert!(!found(unreadable));
}

#[test]
fn whose_a_credential_is_its_issuer_subject_and_name_say_together() {
    let good = credential("orders", "web");
    let namespace_of = |credential: &ObservedCredential| namespace_of_credential(&cluster(), credential);
    assert_eq!(namespace_of(&good), Some(namespace()));
    for change in [
        |credential: &mut ObservedCredential| credential.issuer = "https://else.example/".to_owned(),
        |credential: &mut ObservedCredential| credential.subject = Some("system:serviceaccount:shop:else".to_owned()),
        |credential: &mut ObservedCredential| credential.name = "terraform".parse().unwrap(),
    ] {
        let mut other = good.clone();
        change(&mut other);
        assert_eq!(namespace_of(&other), None, "{other:?}");
    }
}

#[test]
fn a_credential_is_an_orphan_when_no_living_binding_of_the_identity_accounts_for_it() {
    let shared = id("shared", "billing");
    let on = |other: &IdentityId, name: &str, account: &str| {
        binding("shop", name)
            .existing(&other.to_string())
            .service_account(account)
    };
    let found = |living: &Living, credential: ObservedCredential| {
        by_credentials(&shared, &[credential], living, (&Policies::default(), &config())).len()
    };
    let ours = || credential("orders", "web");
    assert_eq!(found(&living([]), ours()), 1);
    assert_eq!(
        found(&living([on(&shared, "orders", "other")]), ours()),
        0,
        "its name is that binding's"
    );
    assert_eq!(found(&living([on(&shared, "twin", "web")]), ours()), 0, "it is shared");
    let elsewhere = id("shared", "mails");
    assert_eq!(
        found(&living([on(&elsewhere, "orders", "web")]), ours()),
        1,
        "that one has another"
    );
    for foreign in [
        ObservedCredential {
            issuer: "https://issuer.example".to_owned(),
            ..ours()
        },
        ObservedCredential {
            subject: Some("system:serviceaccount:shop:other".to_owned()),
            ..ours()
        },
        ObservedCredential {
            subject: None,
            ..ours()
        },
        ObservedCredential {
            name: "aks-identity-binding".parse().unwrap(),
            ..ours()
        },
    ] {
        assert_eq!(found(&living([]), foreign.clone()), 0, "{foreign:?}");
    }
}

#[test]
fn credentials_of_one_dead_binding_are_one_orphan() {
    let shared = id("shared", "billing");
    let all = [
        credential("orders", "web"),
        credential("orders", "jobs"),
        credential("mails", "mails"),
    ];
    let found = by_credentials(&shared, &all, &living([]), (&Policies::default(), &config()));
    let sizes: Vec<usize> = found
        .iter()
        .map(|orphan| match &orphan.left {
            Left::Credentials(names) => names.len(),
            Left::Identity => 0,
        })
        .collect();
    assert_eq!(sizes.iter().sum::<usize>(), 3);
    assert_eq!(sizes.len(), 2);
}

#[test]
fn what_a_living_binding_shares_outlives_a_dead_one_and_keeps_its_identity() {
    let any = id("operator", "any");
    let tags = tags("orders", DeletionPolicy::Delete);
    let twin = living([binding("shop", "twin")
        .existing(&any.to_string())
        .service_account("web")]);
    let orphan = by_tags(&any, &tags, &twin, &config()).unwrap();
    let observed = observed(tags, vec![credential("orders", "web"), credential("orders", "jobs")]);
    let removal = removal(&orphan, &observed, &twin, &[]).unwrap();
    assert_eq!(
        removal.revocations,
        [Revocation::DeleteCredential(name_of("orders", "jobs"))]
    );
    assert_eq!(removal.blocked.len(), 1);
}

#[test]
fn service_accounts_are_let_go_that_nobody_lives_for_and_nothing_trusts() {
    let stray = |name: &str, label: &str, client_id: &str| Stray {
        name: name.parse().unwrap(),
        uid: format!("of-{name}").parse().unwrap(),
        label: label.parse().unwrap(),
        client_id: client_id.to_owned(),
    };
    let shared = id("shared", "billing");
    let living = living([binding("shop", "mails").managed().service_account("mails")]);
    let left = vec![credential("orders", "web"), credential("gone", "jobs")];
    let found = by_credentials(&shared, &left[..1], &living, (&Policies::default(), &config()));
    let strays = [
        stray("web", "uid-orders", CLIENT_ID),
        stray("jobs", "uid-gone", CLIENT_ID),
        stray("mails", "uid-orders", CLIENT_ID),
        stray("other", "uid-mails", CLIENT_ID),
        stray("another", "uid-orders", SUBSCRIPTION),
    ];
    let removal = removal(&found[0], &observed(Tags::new(), left), &living, &strays).unwrap();
    let [
        Revocation::DeleteCredential(_),
        Revocation::ReleaseServiceAccount {
            name, delete: false, ..
        },
    ] = removal.revocations.as_slice()
    else {
        panic!("{removal:?}");
    };
    assert_eq!(name.as_str(), "web");
}
