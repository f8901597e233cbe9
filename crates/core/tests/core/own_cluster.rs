//! The identities by which the cluster itself acts: what is protected while they are not known, not read yet, or read by another one.

use proptest::prelude::*;
use wio_api::{AcceptedSettings, Reason, WorkloadIdentityBinding};
use wio_core::config::{OperatorConfig, OwnCluster};
use wio_core::desired::Desired;
use wio_core::fault::{AzureAnswer, AzureCause, AzureFault};
use wio_core::names::{IdentityId, ResourceGroupId};
use wio_core::own_cluster::{ClusterIdentities, Protections, in_few_words};
use wio_core::plan::{GrantStep, plan};
use wio_core::settings_change::written;

use crate::given::{
    SUBSCRIPTION, VAULT, any_binding, cases, config, desired, existing, generous, managed_with, name, permitted,
    rules_by,
};
use crate::plan_roles::observed;
use crate::seeds::any_world;
use crate::worlds::World;

fn id(of: &str) -> IdentityId {
    name(&format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/aks/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{of}"
    ))
}

fn nodes() -> ResourceGroupId {
    name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/MC_shop"))
}

fn acting(names: &[&str]) -> ClusterIdentities {
    ClusterIdentities {
        identities: names.iter().map(|name| id(name)).collect(),
        nodes: nodes(),
    }
}

fn named(given: OperatorConfig) -> Protections {
    Protections::new(given, Some("the-cluster".to_owned()))
}

fn accepted(names: &[&str]) -> AcceptedSettings {
    written(&OperatorConfig {
        protected_identities: names.iter().map(|name| id(name)).collect(),
        ..config()
    })
}

fn refused(status: u16) -> AzureFault {
    AzureFault {
        operation: "read the cluster".to_owned(),
        cause: AzureCause::Answer(AzureAnswer {
            status,
            code: "AuthorizationFailed".to_owned(),
            message: format!("with the id of this very request, {status}"),
            ..AzureAnswer::default()
        }),
    }
}

fn why(protections: &Protections) -> String {
    match protections.config().own_cluster {
        OwnCluster::Unknown(why) => why.to_string(),
        OwnCluster::Settled => panic!("it is known"),
    }
}

#[test]
fn a_cluster_that_nobody_named_leaves_the_configuration_as_it_was_given() {
    let mut protections = Protections::new(config(), None);
    protections.remember(&accepted(&["kubelet"]));
    protections.miss(&refused(403));
    assert_eq!(protections.config(), config());
}

#[test]
fn what_is_read_is_added_once_to_what_was_given_in_any_case_of_letters() {
    let given = OperatorConfig {
        protected_identities: vec![id("zzz"), id("KUBELET")],
        protected_groups: vec![name(&nodes().to_string().to_uppercase())],
        ..config()
    };
    let mut protections = named(given.clone());
    protections.learn(acting(&["kubelet", "plane"]), true);
    let now = protections.config();
    assert_eq!(now.protected_identities, [id("zzz"), id("kubelet"), id("plane")]);
    assert_eq!(now.protected_groups, given.protected_groups);
    assert_eq!(now.own_cluster, OwnCluster::Settled);
}

#[test]
fn before_a_read_it_is_unknown_and_the_reason_is_the_same_for_the_same_failure() {
    let mut protections = named(config());
    assert!(why(&protections).contains("the-cluster could not be read: it was not read yet"));
    protections.miss(&refused(403));
    let first = why(&protections);
    assert!(first.contains("Azure answered 403 AuthorizationFailed"), "{first}");
    assert!(!first.contains("very request"), "{first}");
    protections.miss(&refused(403));
    assert_eq!(why(&protections), first);
}

#[test]
fn an_answer_without_a_code_is_told_by_its_status_alone() {
    let answer = AzureCause::Answer(AzureAnswer {
        status: 502,
        message: "Bad gateway".to_owned(),
        ..AzureAnswer::default()
    });
    assert_eq!(in_few_words(&answer), "Azure answered 502");
}

#[test]
fn what_was_read_outlives_failures_and_is_replaced_by_what_is_read_next() {
    let mut protections = named(config());
    protections.learn(acting(&["kubelet"]), true);
    let known = protections.config();
    protections.miss(&refused(404));
    assert_eq!(protections.config(), known);
    protections.learn(acting(&["plane"]), true);
    assert_eq!(protections.config().protected_identities, [id("plane")]);
}

/// Two replicas know different things: whoever stands by read an older state of the cluster, or nothing.
#[test]
fn what_the_one_that_leads_protects_stays_so_until_the_next_one_leads_and_has_read() {
    let mut protections = named(config());
    protections.remember(&accepted(&["kubelet"]));
    assert_eq!(protections.config().protected_identities, [id("kubelet")]);
    why(&protections);
    protections.learn(acting(&["plane"]), false);
    assert_eq!(protections.config().protected_identities, [id("kubelet"), id("plane")]);
    assert_eq!(protections.config().own_cluster, OwnCluster::Settled);
    protections.remember(&accepted(&["router"]));
    assert_eq!(protections.config().protected_identities, [id("router"), id("plane")]);
    protections.learn(acting(&["plane"]), true);
    assert_eq!(protections.config().protected_identities, [id("plane")]);
    // What it accepted itself before that is no news.
    protections.remember(&accepted(&["kubelet"]));
    assert_eq!(protections.config().protected_identities, [id("plane")]);
}

#[test]
fn what_another_version_accepted_and_cannot_be_read_is_as_if_nothing_were_told() {
    let mut protections = named(config());
    let mut unreadable = accepted(&[]);
    unreadable.protected_identities = vec!["an identity".to_owned()];
    protections.remember(&unreadable);
    assert!(protections.config().protected_identities.is_empty());
}

/// The same binding where it is not known by which identities the cluster acts.
fn while_unknown(object: &WorkloadIdentityBinding) -> Desired {
    Desired::Bound(permitted(object, rules_by(named(config()).config(), &[generous()])))
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn while_it_is_unknown_nothing_is_given_through_what_stands_and_the_same_is_taken_away(
        object in any_binding(), seed in any_world(),
    ) {
        let bound = permitted(&object, rules_by(config(), &[generous()]));
        let seen = seed.lawless(&bound);
        let usual = plan(&Desired::Bound(bound), &seen);
        let planned = plan(&while_unknown(&object), &seen);
        prop_assert_eq!(&planned.revocations, &usual.revocations);
        if seen.azure.identity.present().is_some() {
            prop_assert!(planned.grants.is_empty(), "{:?}", planned.grants);
        }
        let waits = planned.blocked.iter().any(|blocked| blocked.reason == Reason::NotDecided);
        prop_assert_eq!(waits, planned.grants.len() < usual.grants.len());
    }
}

#[test]
fn while_it_is_unknown_what_is_right_stays_right_and_says_nothing_of_it() {
    let bound = desired(&existing(&["orders"]));
    let seen = observed(&bound, &World::as_desired(&bound));
    let planned = plan(&while_unknown(&existing(&["orders"])), &seen);
    assert_eq!((planned.has_steps(), planned.blocked), (false, Vec::new()));
}

#[test]
fn while_it_is_unknown_a_new_identity_gets_all_but_roles_that_reach_others_tokens() {
    const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
    let object = managed_with(&[("Contributor", VAULT), ("Reader", VAULT)]);
    let mut policy = generous();
    let mut more = policy.spec.roles[0].clone();
    more.role = CONTRIBUTOR.to_owned();
    more.scopes = vec![VAULT.to_owned()];
    let mut reader = more.clone();
    reader.role = "Reader".to_owned();
    policy.spec.roles.extend([more, reader]);
    let bound = permitted(&object, rules_by(named(config()).config(), &[policy]));
    let planned = plan(&Desired::Bound(bound.clone()), &observed(&bound, &World::empty()));
    let roles: Vec<&str> = planned
        .grants
        .iter()
        .filter_map(|step| match step {
            GrantStep::PutRoleAssignment(role) => Some(role.role.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(roles, ["Reader"]);
    assert!(matches!(planned.grants[0], GrantStep::CreateIdentity { .. }));
    assert_eq!(planned.blocked.len(), 1);
}
