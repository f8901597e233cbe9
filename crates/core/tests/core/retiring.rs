//! The issuer changed: what trusts the new one comes before what trusts the old one goes, and nobody is without trust in between.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use wio_api::limits::FEDERATED_CREDENTIALS_MAX;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding, WorkloadIdentityBindingStatus};
use wio_core::cluster::Cluster;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::names::{CredentialName, Issuer};
use wio_core::observed::ObservedCredential;
use wio_core::plan::{GrantStep, Plan, Revocation, plan};
use wio_core::rules::Rules;
use wio_core::status::{Subject, Told, status, transitions};

use crate::given::{
    ACCOUNTS, NOW, OLD_ISSUER, accounts_of, cases, cluster, cluster_with, denied, desired, desired_in, existing, gone,
    made_before, managed, name, parsed, permitted, rules,
};
use crate::plan::settle;
use crate::plan_roles::{made, reconciled};
use crate::worlds::{World, as_wanted, foreign_credential};

/// The cluster after this process saw how its issuer was replaced.
fn moved() -> Cluster {
    Cluster {
        replaced: BTreeSet::from([name(OLD_ISSUER)]),
        ..cluster()
    }
}

/// A binding as the cluster's former issuer left it, and what is desired now.
fn rotated(object: &WorkloadIdentityBinding) -> (World, DesiredBinding) {
    let before = desired_in(object, &cluster_with(OLD_ISSUER));
    (World::as_desired(&before), desired(&made_before(object.clone())))
}

fn planned(bound: &DesiredBinding, world: &World) -> Plan {
    plan(&Desired::Bound(bound.clone()), &world.observe(&accounts_of(bound)))
}

/// The same when the time of every credential that is there is over.
fn over(bound: &DesiredBinding, world: &World) -> DesiredBinding {
    let mut bound = bound.clone();
    bound.retired = world
        .credentials()
        .iter()
        .map(|credential| credential.name.clone())
        .collect();
    bound
}

fn deleted(plan: &Plan) -> Vec<&CredentialName> {
    let deletes = plan.revocations.iter().filter_map(|step| match step {
        Revocation::DeleteCredential(name) => Some(name),
        _ => None,
    });
    deletes.collect()
}

/// The service accounts that no issuer's tokens are trusted for.
fn without_trust(bound: &DesiredBinding, world: &World) -> usize {
    let trusted = |subject: &str| {
        let issuers = [OLD_ISSUER, crate::given::ISSUER];
        let trusts = |credential: &ObservedCredential| issuers.iter().any(|issuer| credential.trusts(issuer, subject));
        world.credentials().iter().any(trusts)
    };
    let lost = bound
        .credentials
        .iter()
        .filter(|wanted| !trusted(wanted.subject.as_str()));
    lost.count()
}

#[test]
fn the_new_credential_is_created_and_the_old_one_stays_until_its_time_is_over() {
    for object in [managed(&["a", "b"]), existing(&["a", "b"])] {
        let (mut world, bound) = rotated(&object);
        let old: Vec<CredentialName> = world
            .credentials()
            .iter()
            .map(|credential| credential.name.clone())
            .collect();
        let planned = planned(&bound, &world);
        assert_eq!(planned.revocations, []);
        let puts: Vec<GrantStep> = bound
            .credentials
            .iter()
            .cloned()
            .map(GrantStep::PutCredential)
            .collect();
        assert_eq!(planned.grants, puts);
        // Azure refused it for a day: what is trusted stays trusted.
        assert_eq!(plan_of(&over(&bound, &world), &world).revocations, []);
        settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
        assert_eq!(world.credentials().len(), 4);
        let late = over(&bound, &world);
        assert_eq!(deleted(&plan_of(&late, &world)), old.iter().collect::<Vec<_>>());
        settle(&mut world, &Desired::Bound(late), &accounts_of(&bound));
        assert_eq!(world.credentials().len(), 2);
    }
}

fn plan_of(bound: &DesiredBinding, world: &World) -> Plan {
    planned(bound, world)
}

/// What trusts a former issuer is known as ours by what is written down.
#[test]
fn a_credential_of_the_former_issuer_is_told_of_until_it_is_gone_also_when_its_binding_is_denied() {
    let (mut world, bound) = rotated(&managed(&["a"]));
    let old = world.credentials()[0].name.clone();
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    let told = |desired: Desired, world: &World, before: Option<&WorkloadIdentityBindingStatus>| {
        let seen = world.observe(&accounts_of(&bound));
        made(&reconciled(desired, seen, Vec::new()), before).retiring_federated_credentials
    };
    let before = made(
        &reconciled(
            Desired::Bound(bound.clone()),
            world.observe(&accounts_of(&bound)),
            Vec::new(),
        ),
        None,
    );
    assert_eq!(before.retiring_federated_credentials[0].name, old.as_str());
    let mut conditions = before.conditions.iter();
    let trusted = conditions.find(|one| one.type_ == "FederatedCredentialsReady").unwrap();
    let words =
        format!(" 1 more trust {OLD_ISSUER}, which this cluster had before the operator was started anew; they stay, ");
    assert!(trusted.message.contains(&words), "{}", trusted.message);
    assert_eq!(
        told(denied(&bound), &world, Some(&before)),
        before.retiring_federated_credentials
    );
    let credentials = &mut world.identity.as_mut().unwrap().credentials;
    credentials.retain(|credential| credential.name != old);
    assert_eq!(
        told(denied(&bound), &world, Some(&before)),
        [],
        "only that of today stands"
    );
}

#[test]
fn the_return_of_the_former_issuer_costs_no_write() {
    let object = managed(&["a", "b"]);
    let (mut world, bound) = rotated(&object);
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    let mut object = object;
    object.status = Some(WorkloadIdentityBindingStatus {
        issuer: Some(crate::given::ISSUER.to_owned()),
        ..WorkloadIdentityBindingStatus::default()
    });
    let back = desired_in(&object, &cluster_with(OLD_ISSUER));
    assert_eq!(planned(&back, &world), Plan::default());
}

#[test]
fn a_denial_and_a_deletion_take_what_retires_at_once() {
    let (mut world, bound) = rotated(&managed(&["a"]));
    settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
    for end in [denied(&bound), gone(&bound, DeletionPolicy::RetainIdentity)] {
        let plan = plan(&end, &world.observe(&accounts_of(&bound)));
        assert_eq!(deleted(&plan).len(), 2, "{plan:#?}");
    }
    // Whoever leaves the spec is no longer wanted, by whatever issuer.
    let fewer = desired(&made_before(managed(&["b"])));
    let fewer = crate::given::beside(fewer, parsed(&made_before(managed(&["a", "b"]))).claims, Vec::new());
    assert_eq!(deleted(&planned(&fewer, &world)).len(), 2);
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn with_room_for_one_more_nobody_is_without_trust_whatever_step_fails(
        count in 1..20_usize, foreign in 0..19_usize, steps in 0..60_usize,
    ) {
        let names: Vec<&str> = ACCOUNTS.iter().take(count).map(String::as_str).collect();
        let (mut world, bound) = rotated(&existing(&names));
        (0..foreign.min(FEDERATED_CREDENTIALS_MAX - 1 - count)).for_each(|n| world.insert(foreign_credential(n)));
        let desired = Desired::Bound(bound.clone());
        let first = planned(&bound, &world);
        prop_assert_eq!(&first.revocations, &[]);
        prop_assert_eq!(&first.blocked, &[]);
        let mut broken_off = world.clone();
        broken_off.run(&desired, &first, steps).unwrap();
        prop_assert_eq!(without_trust(&bound, &broken_off), 0);
        // A credential that is replaced, and Azure takes only the deletion.
        if let Some(GrantStep::ReplaceCredential { former, .. }) = first.grants.get(steps) {
            let identity = broken_off.identity.as_mut().unwrap();
            identity.credentials.retain(|credential| credential.name != *former);
            prop_assert_eq!(without_trust(&bound, &broken_off), 0);
        }
        settle(&mut broken_off, &desired, &accounts_of(&bound));
        for wanted in &bound.credentials {
            prop_assert!(broken_off.credentials().contains(&as_wanted(wanted)));
        }
    }

    #[test]
    fn without_room_one_after_the_other_is_replaced(steps in 0..60_usize) {
        let names: Vec<&str> = ACCOUNTS.iter().take(FEDERATED_CREDENTIALS_MAX).map(String::as_str).collect();
        let (mut world, bound) = rotated(&existing(&names));
        let desired = Desired::Bound(bound.clone());
        let first = planned(&bound, &world);
        prop_assert_eq!(&first.revocations, &[]);
        let replaces = |step: &GrantStep| matches!(step, GrantStep::ReplaceCredential { .. });
        prop_assert!(first.grants.iter().all(replaces), "{:?}", first.grants);
        world.run(&desired, &first, steps).unwrap();
        prop_assert_eq!(without_trust(&bound, &world), 0);
        settle(&mut world, &desired, &accounts_of(&bound));
        prop_assert_eq!(world.credentials().len(), FEDERATED_CREDENTIALS_MAX);
    }
}

/// A cluster that was restored from the etcd of this one, for a drill, and has an issuer of its own.
#[test]
fn what_another_cluster_with_our_id_made_is_left_alone_whatever_becomes_of_the_binding() {
    let object = managed(&["a"]);
    let bound = desired(&object);
    let mut world = World::as_desired(&bound);
    let drill = desired_in(&object, &cluster_with("https://issuer.example/drill/"));
    let theirs = as_wanted(&drill.credentials[0]);
    world.insert(theirs.clone());
    assert!(bound.sharing().is_of_another_cluster(&theirs) && !bound.sharing().owns(&theirs));
    assert_eq!(planned(&bound, &world), Plan::default());
    for end in [denied(&bound), gone(&bound, DeletionPolicy::Delete)] {
        let plan = plan(&end, &world.observe(&accounts_of(&bound)));
        assert_eq!(deleted(&plan), [&bound.credentials[0].name]);
        assert!(!plan.revocations.contains(&Revocation::DeleteIdentity), "they use it");
    }
    // By a name that is ours, and edited: that is ours.
    let edited = ObservedCredential {
        issuer: theirs.issuer.clone(),
        ..as_wanted(&bound.credentials[0])
    };
    assert!(bound.sharing().owns(&edited) && !bound.sharing().is_of_another_cluster(&edited));
    let observed = world.observe(&accounts_of(&bound));
    let told = told(&object, None, &bound, observed, NOW);
    let condition = &told
        .conditions
        .iter()
        .find(|condition| condition.type_ == "FederatedCredentialsReady")
        .unwrap();
    assert_eq!(
        (condition.status.as_str(), condition.reason.as_str()),
        ("True", Reason::ClusterIdShared.as_str())
    );
    assert!(
        condition.message.contains("https://issuer.example/drill/"),
        "{}",
        condition.message
    );
}

fn told(
    object: &WorkloadIdentityBinding,
    previous: Option<&WorkloadIdentityBindingStatus>,
    bound: &DesiredBinding,
    observed: wio_core::observed::Observed,
    now: Timestamp,
) -> WorkloadIdentityBindingStatus {
    let binding = parsed(object);
    let subject = Subject {
        previous,
        lifecycle: &binding.lifecycle,
        cluster: &cluster(),
        heeded: None,
        failed_looks: None,
        written: true,
        contested: None,
    };
    status(
        subject,
        &reconciled(Desired::Bound(bound.clone()), observed, Vec::new()),
        now,
    )
}

fn issuer_change(
    previous: Option<&WorkloadIdentityBindingStatus>,
    next: &WorkloadIdentityBindingStatus,
) -> Option<Told> {
    let mut told = transitions(previous, next).into_iter();
    told.find(|told| told.reason == Reason::IssuerChanged.as_str())
}

#[test]
fn the_status_says_what_retires_and_until_when_unless_another_cluster_may_have_the_issuer() {
    for (cluster, ends) in [(moved(), true), (cluster(), false)] {
        let mut object = made_before(managed(&["a"]));
        let (mut world, _) = rotated(&managed(&["a"]));
        let at = |object: &WorkloadIdentityBinding| {
            let rules = Rules {
                cluster: cluster.clone(),
                ..rules()
            };
            permitted(object, rules)
        };
        let bound = at(&object);
        settle(&mut world, &Desired::Bound(bound.clone()), &accounts_of(&bound));
        let observed = world.observe(&accounts_of(&bound));
        let first = told(&object, object.status.as_ref(), &bound, observed.clone(), NOW);
        let [retiring] = first.retiring_federated_credentials.as_slice() else {
            panic!("{first:#?}")
        };
        assert_eq!(
            (retiring.issuer.as_str(), retiring.service_account.as_str()),
            (OLD_ISSUER, "a")
        );
        assert_eq!(retiring.until.is_some(), ends);
        assert_eq!(first.federated_credentials.len(), 1);
        let event = issuer_change(object.status.as_ref(), &first).unwrap();
        assert!(
            event.message.contains(OLD_ISSUER) && !event.warning,
            "{}",
            event.message
        );
        // Later it is the same, and then its time is over.
        object.status = Some(first.clone());
        let later = told(
            &object,
            Some(&first),
            &at(&object),
            observed,
            NOW + SignedDuration::from_hours(1),
        );
        assert_eq!(later, first);
        assert_eq!(issuer_change(Some(&first), &later), None);
        // Whoever wrote another end there does not have it stay longer than a token lives.
        let mut forged = first.clone();
        forged.retiring_federated_credentials[0].until = Some(Time("9000-01-01T00:00:00Z".parse().unwrap()));
        let again = world.observe(&accounts_of(&bound));
        let told = told(&object, Some(&forged), &at(&object), again, NOW);
        let until = told.retiring_federated_credentials[0].until.clone().unwrap();
        assert_eq!(until.0, NOW + SignedDuration::from_hours(25));
        let mut late = wio_core::case::Case {
            now: NOW + SignedDuration::from_hours(24),
            ..crate::given::case_of(
                &object,
                Rules {
                    cluster: cluster.clone(),
                    ..rules()
                },
            )
        };
        let retired = |case: &wio_core::case::Case| match wio_core::verdict::verdict(case) {
            wio_core::verdict::Verdict::Pursue(desired) => match *desired {
                Desired::Bound(bound) => bound.retired.len(),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!(retired(&late), 0);
        late.now = NOW + SignedDuration::from_hours(26);
        assert_eq!(retired(&late), usize::from(ends));
    }
}

/// Whose credentials are ours must not be forgotten before they are told of.
#[test]
fn the_former_issuer_stands_in_the_status_until_its_credentials_do() {
    let object = made_before(managed(&["a"]));
    let bound = desired(&object);
    let (mut world, _) = rotated(&managed(&["a"]));
    // Not the binding's own: its tags were removed.
    world.identity.as_mut().unwrap().tags.clear();
    let observed = world.observe(&accounts_of(&bound));
    let kept = told(&object, object.status.as_ref(), &bound, observed, NOW);
    assert_eq!(kept.issuer.as_deref(), Some(OLD_ISSUER));
    let issuer: Issuer = name(OLD_ISSUER);
    assert_eq!(parsed(&object).recorded.issuers().collect::<Vec<_>>(), [&issuer]);
}
