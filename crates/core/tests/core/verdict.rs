//! The one decision about a binding, arm by arm, and that it is the same whoever asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use proptest::prelude::*;
use wio_api::{
    DeletionPolicy, FederatedCredentialStatus, IdentityOrigin, IdentityStatus, ManagedIdentity,
    ManagedIdentityPermission, Reason, UnreadableField, WorkloadIdentityBinding, WorkloadIdentityBindingStatus,
    WorkloadIdentityPolicy, keys,
};
use wio_core::binding::Finalizer;
use wio_core::case::Rival;
use wio_core::cluster::{Belief, Cluster};
use wio_core::config::OperatorConfig;
use wio_core::desired::{Desired, DesiredBinding, DesiredDenial, DesiredRemoval, Ending};
use wio_core::fault::Blocked;
use wio_core::names::ResourceGroupId;
use wio_core::outcome::Outcome;
use wio_core::policy::NamespaceFacts;
use wio_core::rules::Rules;
use wio_core::sharing::Sharer;
use wio_core::status::{Subject, status};
use wio_core::verdict::{Verdict, keeps_nothing, verdict};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::authorize_properties::{any_asked, any_grant};
use crate::given::{
    EXISTING, RIVAL, SUBSCRIPTION, UID, case_beside, case_of, cases, cluster, config, deleted, desired_of_invoices,
    existing, generous, managed, managed_with, name, parsed, permitted, pursued, rules, rules_by, verdict_of, written,
};
use crate::plan_roles::{READER, settled};

/// Rules by which nothing but the default is allowed.
fn no_policy() -> Rules {
    rules_by(config(), &[])
}

fn has_finalizer(mut object: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    object.metadata.finalizers = Some(vec![keys::FINALIZER.to_owned()]);
    object.status.get_or_insert_with(written);
    object
}

/// The same after its trust was made.
fn made(mut object: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    object.status = Some(settled(&permitted(&object, rules())));
    object
}

fn unusable(mut object: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    object.spec.audience = Some("a b".to_owned());
    object
}

fn bindings() -> [WorkloadIdentityBinding; 2] {
    [managed(&["a"]), existing(&["a"])]
}

fn to_existing() -> BindingBuilder {
    binding("shop", "orders")
        .uid(UID)
        .existing(EXISTING)
        .service_account("a")
}

#[track_caller]
fn bound(object: &WorkloadIdentityBinding, rules: Rules) -> DesiredBinding {
    permitted(object, rules)
}

#[track_caller]
fn denied(object: &WorkloadIdentityBinding, rules: Rules) -> DesiredDenial {
    match pursued(object, rules) {
        Desired::Denied(denial) => denial,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn gone(object: &WorkloadIdentityBinding, rules: Rules) -> DesiredRemoval {
    match pursued(object, rules) {
        Desired::Gone(removal) => removal,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn held(object: &WorkloadIdentityBinding, rules: Rules) -> Blocked {
    match verdict_of(object, rules) {
        Verdict::Hold(blocked) => blocked,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_allowed_is_pursued_whether_something_was_made_or_not() {
    for object in bindings() {
        for object in [
            object.clone(),
            has_finalizer(object.clone()),
            has_finalizer(made(object)),
        ] {
            let bound = bound(&object, rules());
            let id = parsed(&object).spec.unwrap().identity_id(&bound.owner, &config());
            assert_eq!((bound.granted.identity(), bound.suspended), (&id, false));
            let mut suspended = object;
            suspended.spec.suspend = true;
            assert!(permitted(&suspended, rules()).suspended);
        }
    }
}

#[test]
fn what_is_not_allowed_is_taken_away_as_soon_as_something_may_have_been_made() {
    for object in [
        has_finalizer(existing(&["a"])),
        has_finalizer(made(existing(&["a"]))),
        // Somebody took our finalizer off.
        made(existing(&["a"])),
    ] {
        for (policy, suspend) in [(DeletionPolicy::Delete, false), (DeletionPolicy::Orphan, true)] {
            let mut object = object.clone();
            object.spec.deletion_policy = policy;
            object.spec.suspend = suspend;
            let denial = denied(&object, no_policy());
            assert_eq!(denial.why().field, "spec.identity.existing.resourceId");
            let removal = denial.removal();
            assert_eq!(*removal.revocable.identity(), name(EXISTING));
            assert_eq!(
                (removal.managed, removal.ending, &removal.orphan_denied),
                (false, Ending::Stay, &None),
                "{policy:?}"
            );
        }
    }
}

#[test]
fn what_is_not_allowed_and_has_nothing_is_only_told() {
    let blocked = held(&existing(&["a"]), no_policy());
    assert_eq!(blocked.reason, Reason::NotPermitted);
    assert!(
        blocked
            .message
            .starts_with("spec.identity.existing.resourceId is not permitted: "),
        "{}",
        blocked.message
    );
}

#[test]
fn what_is_deleted_is_taken_away_as_its_spec_says_of_the_end_whatever_a_policy_says() {
    let annotated = |mut object: WorkloadIdentityBinding, despite: bool| {
        let annotation = (keys::DELETE_DESPITE_USERS_ANNOTATION.to_owned(), "true".to_owned());
        object.metadata.annotations = despite.then(|| [annotation].into());
        object
    };
    for (policy, despite, ending) in [
        (DeletionPolicy::Delete, false, Ending::Delete),
        (DeletionPolicy::Delete, true, Ending::DeleteDespiteUsers),
        (DeletionPolicy::RetainIdentity, false, Ending::Retain),
        (DeletionPolicy::RetainIdentity, true, Ending::Retain),
    ] {
        for (start, managed) in [(to_existing(), false), (to_existing().managed(), true)] {
            let object = deleted(start.finalizer(keys::FINALIZER).status(written()), policy);
            for rules in [rules(), no_policy()] {
                let removal = gone(&annotated(object.clone(), despite), rules);
                assert_eq!(
                    (removal.ending, removal.managed),
                    (ending, managed),
                    "{policy:?} {despite}"
                );
                assert_eq!(removal.orphan_denied, None);
            }
        }
    }
}

#[test]
fn what_is_deleted_is_what_was_recorded_and_without_a_record_what_the_spec_means() {
    let object = deleted(
        to_existing().finalizer(keys::FINALIZER).status(written()),
        DeletionPolicy::Delete,
    );
    assert_eq!(*gone(&object, rules()).revocable.identity(), name(EXISTING));
    let status = settled(&permitted(&managed(&["a"]), rules()));
    let id = status.identity.as_ref().unwrap().resource_id.clone();
    let mut recorded = object;
    recorded.status = Some(status);
    for object in [recorded.clone(), unusable(recorded.clone())] {
        let removal = gone(&object, rules());
        assert_eq!(
            (removal.revocable.identity().clone(), removal.managed),
            (name(&id), true)
        );
    }
    // What does not parse was not written by this operator.
    recorded.status.as_mut().unwrap().identity.as_mut().unwrap().resource_id = "x".to_owned();
    let removal = gone(&recorded, rules());
    assert_eq!(
        (removal.revocable.identity().clone(), removal.managed),
        (name(EXISTING), false)
    );
}

#[test]
fn orphan_is_granted_anew_and_where_it_is_not_the_trust_ends_and_the_identity_stays() {
    let object = deleted(
        to_existing().finalizer(keys::FINALIZER).status(written()),
        DeletionPolicy::Orphan,
    );
    let mut allowing = generous();
    allowing.spec.allow_orphan = true;
    match verdict_of(&object, rules_by(config(), &[allowing])) {
        Verdict::Orphan(orphaned) => assert_eq!(orphaned.owner, parsed(&object).owner),
        other => panic!("{other:?}"),
    }
    let removal = gone(&object, rules());
    assert_eq!(removal.ending, Ending::Retain);
    assert_eq!(removal.orphan_denied.unwrap().field, "spec.deletionPolicy");
    // What needs no policy may be left behind.
    let own = deleted(
        to_existing().managed().finalizer(keys::FINALIZER).status(written()),
        DeletionPolicy::Orphan,
    );
    assert!(matches!(verdict_of(&own, no_policy()), Verdict::Orphan(_)));
}

#[test]
fn a_deletion_may_end_when_nothing_was_made_or_we_took_our_finalizer_off_ourselves() {
    let never = to_existing();
    let mut with_record = never.clone().build();
    with_record.status = made(existing(&["a"])).status;
    let all = [
        DeletionPolicy::Delete,
        DeletionPolicy::RetainIdentity,
        DeletionPolicy::Orphan,
    ];
    for policy in all {
        assert!(
            matches!(
                verdict_of(&deleted(never.clone(), policy), rules()),
                Verdict::Release(_)
            ),
            "it never had the finalizer"
        );
        let mut without_identity = deleted(never.clone().finalizer(keys::FINALIZER), policy);
        without_identity.spec.identity.existing = None;
        assert!(
            matches!(verdict_of(&without_identity, rules()), Verdict::Release(_)),
            "no identity that it could have had"
        );
        let taken_off = deleted(never.clone().status(with_record.status.clone().unwrap()), policy);
        let mut case = case_of(&taken_off, rules());
        assert!(case.candidate.binding.lost_finalizer());
        assert!(
            matches!(verdict(&case), Verdict::Pursue(_)),
            "somebody else took it off: {policy:?}"
        );
        case.candidate.binding.lifecycle.finalizer = Finalizer::Released;
        assert!(matches!(verdict(&case), Verdict::Release(_)), "we did");
    }
}

#[test]
fn an_unusable_spec_is_held_as_long_as_what_was_made_may_stay() {
    let invalid = |object: WorkloadIdentityBinding| has_finalizer(unusable(object));
    for object in [
        unusable(existing(&["a"])),
        invalid(existing(&["a"])),
        invalid(made(existing(&["a"]))),
    ] {
        let blocked = held(&object, rules());
        assert_eq!(blocked.reason, Reason::InvalidSpec);
        assert!(blocked.message.starts_with("spec.audience: "), "{}", blocked.message);
    }
    // Whoever makes a spec unusable keeps nothing that a policy takes away.
    let denial = denied(&invalid(made(existing(&["a"]))), no_policy());
    assert_eq!(*denial.removal().revocable.identity(), name(EXISTING));
    assert_eq!(
        held(&invalid(existing(&["a"])), no_policy()).reason,
        Reason::InvalidSpec
    );
}

#[test]
fn an_identity_that_would_now_stand_elsewhere_is_held_as_long_as_what_was_made_may_stay() {
    let mut object = has_finalizer(made(existing(&["a"])));
    object.spec.identity = managed(&["a"]).spec.identity;
    let blocked = held(&object, rules());
    assert_eq!(blocked.reason, Reason::IdentityMoved);
    assert!(blocked.message.contains(EXISTING), "{}", blocked.message);
    let denial = denied(&object, no_policy());
    assert_eq!(
        *denial.removal().revocable.identity(),
        name(EXISTING),
        "the one that it has"
    );
}

/// A mistyped default of the operator took the trust of every binding that relied on it: the identity stood where nothing is allowed by
/// default any more.
#[test]
fn a_default_place_that_was_changed_takes_nothing_away() {
    let elsewhere = || OperatorConfig {
        group: name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/elsewhere")),
        ..config()
    };
    let mut object = has_finalizer(managed(&["a"]));
    object.status = Some(status_of(&object, 0, IdentityOrigin::Created));
    let blocked = held(&object, rules_by(elsewhere(), &[]));
    assert_eq!(blocked.reason, Reason::IdentityMoved);
    // A role that no policy gives any more goes all the same.
    let mut with_role = has_finalizer(managed_with(&[READER]));
    with_role.status = Some(status_of(&with_role, 0, IdentityOrigin::Created));
    denied(&with_role, rules_by(elsewhere(), &[]));
}

fn rival(object: &WorkloadIdentityBinding, namespace: &str) -> Rival {
    let namespace = NamespaceFacts {
        name: name(namespace),
        ..rules().namespace
    };
    let rules = Rules {
        namespace,
        ..place_for_all()
    };
    Rival {
        candidate: case_of(object, rules.clone()).candidate,
        rules,
    }
}

/// Two namespaces may create identities in the resource group of the operator.
fn place_for_all() -> Rules {
    let place = || ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: "operator".to_owned(),
        ..ManagedIdentityPermission::default()
    };
    let policies = ["shop", "bank"].map(|namespace| policy(namespace).namespace(namespace).managed(place()).build());
    rules_by(config(), &policies)
}

fn payments(namespace: &str, created: i64) -> WorkloadIdentityBinding {
    let identity = ManagedIdentity {
        name: Some("payments".to_owned()),
        ..ManagedIdentity::default()
    };
    let mut object = binding(namespace, "payments")
        .uid(if namespace == "shop" { UID } else { RIVAL })
        .managed_as(identity)
        .service_account("a")
        .build();
    object.metadata.creation_timestamp = Some(Time(jiff::Timestamp::from_second(created).unwrap()));
    object
}

#[test]
fn of_two_that_choose_one_name_the_one_that_has_it_comes_first_and_then_the_eldest() {
    let announced = |mut object: WorkloadIdentityBinding| {
        object.status = Some(WorkloadIdentityBindingStatus {
            written: true,
            ..status_of(&object, 0, IdentityOrigin::Created)
        });
        object
    };
    let has_it = |object: WorkloadIdentityBinding| {
        let mut object = announced(object);
        let identity = object.status.as_mut().and_then(|status| status.identity.as_mut());
        identity.unwrap().principal_id = Some("7e57aaaa-0000-4000-8000-000000000007".to_owned());
        object
    };
    let (own, elder, younger) = (payments("shop", 5), payments("bank", 4), payments("bank", 6));
    let mut other_name = elder.clone();
    other_name.spec.identity.managed.as_mut().unwrap().name = Some("other".to_owned());
    for (what, has, other, yields) in [
        ("the elder is there", false, elder.clone(), true),
        ("the younger is there", false, younger.clone(), false),
        ("this one has it", true, elder.clone(), false),
        ("the younger has it", false, has_it(younger.clone()), true),
        ("both were told so", true, has_it(elder), true),
        ("it was only announced", false, announced(younger), false),
        ("in the same second, by the namespace", false, payments("bank", 5), true),
        ("another name", false, other_name, false),
    ] {
        let own = if has { has_it(own.clone()) } else { own.clone() };
        let mut case = case_of(&has_finalizer(own), place_for_all());
        case.rivals = vec![rival(&other, "bank")];
        let verdict = verdict(&case);
        let denied = matches!(&verdict, Verdict::Pursue(desired) if matches!(**desired, Desired::Denied(_)));
        assert_eq!(denied, yields, "{what}: {verdict:?}");
    }
}

/// Where admission does not refuse it, a binding that was applied a moment before its policy stalled at once, and Flux gave it up for ten
/// minutes though it was ready half a second later.
#[test]
fn a_new_binding_waits_for_a_policy_that_may_follow_it() {
    let created: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let reason = |object: &WorkloadIdentityBinding, rules: Rules, after: i64| {
        let mut object = object.clone();
        object.metadata.creation_timestamp = Some(Time(created));
        let mut case = case_of(&object, rules);
        case.now = created + jiff::SignedDuration::from_secs(after);
        match verdict(&case) {
            Verdict::Hold(blocked) => blocked.reason,
            other => panic!("{other:?}"),
        }
    };
    let ungiven = existing(&["a"]);
    for (after, expected) in [
        (0, Reason::PolicyAwaited),
        (14, Reason::PolicyAwaited),
        (15, Reason::NotPermitted),
        (-3600, Reason::NotPermitted),
    ] {
        assert_eq!(reason(&ungiven, no_policy(), after), expected, "{after}");
    }
    let protecting = OperatorConfig {
        protected_identities: vec![name(EXISTING)],
        ..config()
    };
    let never = reason(&ungiven, rules_by(protecting, &[]), 0);
    assert_eq!(never, Reason::NotPermitted, "no policy allows it");
}

#[test]
fn one_that_may_not_have_the_name_keeps_nobody_from_it() {
    let mut case = case_of(&payments("shop", 5), place_for_all());
    let mut elder = rival(&payments("bank", 4), "bank");
    case.rivals = vec![elder.clone()];
    assert!(matches!(verdict(&case), Verdict::Hold(_)));
    elder.rules.policies = rules_by(config(), &[]).policies;
    elder.rules.config = Arc::new(OperatorConfig {
        location: name("northeurope"),
        group: name(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/elsewhere")),
        ..config()
    });
    case.rivals = vec![elder];
    assert!(matches!(verdict(&case), Verdict::Pursue(_)), "it is denied");
}

/// A service account that carries our label is ours, also when neither spec nor status names it any more.
#[test]
fn what_carries_the_label_is_claimed_with_what_is_asked_for_and_recorded() {
    let both = permitted(&managed(&["a", "b"]), rules());
    let made = desired_of_invoices(&both);
    let object = managed(&["a"]);
    let mut case = case_of(&object, rules());
    let accounts = |verdict: Verdict| {
        let Verdict::Pursue(desired) = verdict else { panic!() };
        let of = |credential| desired.sharing().account_of(credential).map(ToString::to_string);
        made.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(accounts(verdict(&case)), ["a"]);
    case.labelled = BTreeSet::from([name("b")]);
    assert_eq!(accounts(verdict(&case)), ["a", "b"]);
}

#[test]
fn the_eldest_share_first_and_more_than_the_namespace_may_hold_is_nothing_to_share() {
    let other = |named: &str, second: i64| {
        let start = binding("shop", named).uid(named).managed().service_account("a");
        let mut object = start.finalizer(keys::FINALIZER).status(written()).build();
        object.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        object
    };
    let own = other("own", 3);
    let others = [other("young", 4), other("b", 2), other("a", 2), other("old", 1)];
    let sharers = |limit: Option<i64>| {
        let limited = limit.map(|max| policy("limit").namespace("shop").max_federated_credentials(max).build());
        let rules = rules_by(config(), limited.as_slice());
        names(&sharers_of(&verdict(&case_beside(&own, &others, rules))))
    };
    assert_eq!(sharers(None), ["old", "a", "b", "young"]);
    assert_eq!(sharers(Some(4)), ["old", "a", "b"]);
    assert_eq!(sharers(Some(1)), ["old"]);
}

/// Both write one annotation.
#[test]
fn a_sharer_claims_the_lifetime_of_tokens_that_its_spec_asks_for_though_that_cannot_be_used() {
    let start = binding("shop", "other").uid("other").existing(EXISTING);
    let other = start.service_account("a").token_expiration(7200).service_account("b");
    let other = made(has_finalizer(other.build()));
    for other in [other.clone(), unusable(other)] {
        let verdict = verdict(&case_beside(&to_existing().build(), &[other], rules()));
        let claims = sharers_of(&verdict).remove(0).accounts.into_iter();
        let lifetimes: Vec<_> = claims
            .map(|claim| claim.token_expiration.map(|it| it.to_string()))
            .collect();
        assert_eq!(lifetimes, [Some("7200".to_owned()), None]);
    }
}

fn sharers_of(verdict: &Verdict) -> Vec<Sharer> {
    match verdict {
        Verdict::Pursue(desired) => desired.sharing().sharers().to_vec(),
        other => panic!("{other:?} shares nothing"),
    }
}

fn names(sharers: &[Sharer]) -> Vec<String> {
    sharers.iter().map(|sharer| sharer.name.to_string()).collect()
}

/// One of two bindings of a namespace, whatever its spec says, and whatever was made for it.
fn any_neighbour() -> impl Strategy<Value = WorkloadIdentityBinding> {
    let recorded = prop::option::of((
        0..3_usize,
        prop::sample::select(vec![
            IdentityOrigin::Created,
            IdentityOrigin::Adopted,
            IdentityOrigin::Referenced,
        ]),
    ));
    let traits = (
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.1),
        any::<bool>(),
        prop::option::weighted(0.9, 0..3_i64),
    );
    let policy = prop::sample::select(vec![DeletionPolicy::Delete, DeletionPolicy::Orphan]);
    (any_asked(), recorded, traits, policy).prop_map(
        |(mut object, recorded, (finalizer, broken, deleting, suspend, created), policy)| {
            if finalizer {
                object = has_finalizer(object);
            }
            object.status = recorded.map(|(which, origin)| status_of(&object, which, origin));
            if broken {
                object = unusable(object);
            }
            object.spec.deletion_policy = policy;
            object.spec.suspend = suspend;
            let at = |second| Time(Timestamp::from_second(second).unwrap());
            object.metadata.creation_timestamp = created.map(at);
            object.metadata.deletion_timestamp = deleting.then(|| at(9));
            object
        },
    )
}

/// A status that names the identity that the spec means, the default one, or one elsewhere.
fn status_of(object: &WorkloadIdentityBinding, which: usize, origin: IdentityOrigin) -> WorkloadIdentityBindingStatus {
    let binding = parsed(object);
    let meant = binding.spec.unwrap().identity_id(&binding.owner, &config()).to_string();
    let own = ManagedIdentity::default();
    let default = permitted(&to_existing().managed_as(own).build(), rules_by(config(), &[]));
    let id = [meant, default.granted.identity().to_string(), EXISTING.to_owned()][which].clone();
    let accounts = object.spec.service_accounts.iter();
    WorkloadIdentityBindingStatus {
        identity: Some(IdentityStatus {
            resource_id: id,
            name: String::new(),
            client_id: None,
            principal_id: None,
            tenant_id: None,
            origin,
        }),
        federated_credentials: accounts
            .map(|account| FederatedCredentialStatus {
                name: format!("wib-{}", account.name),
                service_account: account.name.clone(),
                subject: format!("system:serviceaccount:shop:{}", account.name),
                audience: "api://AzureADTokenExchange".to_owned(),
            })
            .collect(),
        ..WorkloadIdentityBindingStatus::default()
    }
}

fn renamed(mut object: WorkloadIdentityBinding, named: &str) -> WorkloadIdentityBinding {
    object.metadata.name = Some(named.to_owned());
    object.metadata.uid = Some(named.to_owned());
    object
}

proptest! {
    #![proptest_config(cases(2000))]

    /// Two bindings that may not have what they share would keep each other's trust alive, and one that counts as a sharer and
    /// takes its trust away would leave the other one nothing.
    #[test]
    fn what_the_verdict_says_of_a_binding_is_what_it_counts_as_beside_another_one(
        own in any_neighbour(), other in any_neighbour(),
        policies in prop::collection::vec(any_grant(), 0..4), limit in prop::option::of(0..4_i64), keep in any::<bool>(),
    ) {
        // The one that asks has something, so that there is something to share.
        let own = has_finalizer(renamed(own, "own"));
        let other = renamed(other, "other");
        let mut policies: Vec<WorkloadIdentityPolicy> = policies;
        policies.extend(limit.map(|max| policy("limit").namespace("shop").max_federated_credentials(max).build()));
        for policy in &mut policies {
            policy.spec.allow_orphan = keep;
        }
        let rules = rules_by(config(), &policies);
        let of_own = verdict(&case_beside(&own, std::slice::from_ref(&other), rules.clone()));
        let of_other = verdict(&case_beside(&other, std::slice::from_ref(&own), rules));
        let Verdict::Pursue(desired) = of_own else { return Ok(()) };
        let (one, neighbour) = (parsed(&own), parsed(&other));
        let identity = match &of_other {
            Verdict::Pursue(desired) => Some(desired.revocable().identity().clone()),
            _ => neighbour.recorded.identity.as_ref().map(|recorded| recorded.id.clone()),
        };
        let same_identity = identity.as_ref() == Some(desired.revocable().identity());
        let common = (one.claims.meet(&neighbour.claims) || same_identity) && neighbour.may_have_something();
        let has = match &of_other {
            Verdict::Pursue(desired) => matches!(**desired, Desired::Bound(_)),
            // What was made for it goes on.
            Verdict::Hold(blocked) if blocked.reason != Reason::NotPermitted => neighbour.recorded.identity.is_some(),
            Verdict::Hold(_) | Verdict::Release(_) | Verdict::Orphan(_) => false,
        };
        let found = desired.sharing().sharers();
        prop_assert_eq!(found.len(), usize::from(common && has), "{:?}", of_other);
        let (Some(sharer), Verdict::Pursue(desired)) = (found.first(), of_other) else { return Ok(()) };
        let Desired::Bound(bound) = *desired else { panic!("{desired:?}") };
        prop_assert_eq!(&sharer.identity, bound.granted.identity());
        prop_assert_eq!((&sharer.name, &sharer.uid), (&bound.owner.name, &bound.owner.uid));
        prop_assert_eq!(sharer.is_active, !bound.suspended);
        let accounts: Vec<_> = sharer.accounts.iter().map(|claim| (&claim.account, &claim.audience)).collect();
        let wanted: Vec<_> = bound.credentials.iter().map(|wanted| (&wanted.account, &wanted.audience)).collect();
        prop_assert_eq!(accounts, wanted);
        let roles: Vec<_> = bound.roles.iter().map(|role| (role.definition(), role.scope().clone())).collect();
        prop_assert_eq!(&sharer.roles, &roles);
    }
}

/// Nobody wished its trust away. Whoever asks about it gets the same answer: it also goes on sharing what it has.
#[test]
fn what_rests_on_a_policy_that_cannot_be_read_neither_grows_nor_ends() {
    let mut policy = generous();
    policy.spec.unreadable = vec![UnreadableField {
        field: "roles".to_owned(),
        problem: "it is odd".to_owned(),
    }];
    let unreadable = || rules_by(config(), &[policy.clone()]);
    let fresh = has_finalizer(existing(&["a"]));
    denied(&fresh, unreadable());
    let has = made(has_finalizer(existing(&["a"])));
    let mut orphaned = has.clone();
    orphaned.spec.deletion_policy = DeletionPolicy::Orphan;
    orphaned.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    for object in [has.clone(), unusable(has.clone()), orphaned] {
        let Verdict::Hold(blocked) = verdict_of(&object, unreadable()) else {
            panic!("{object:#?}");
        };
        assert_eq!(blocked.reason, Reason::NotDecided);
        assert!(blocked.message.contains("generous"), "{}", blocked.message);
    }
    let mut protecting = config();
    protecting.protected_identities = vec![name(EXISTING)];
    denied(&has, rules_by(protecting, &[policy.clone()]));
    denied(&has, no_policy());
    let mut going = has;
    going.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    gone(&going, unreadable());
}

/// What stands under the names of such a one was made for an earlier one.
#[test]
fn a_binding_keeps_nothing_that_is_denied_and_had_nothing() {
    let had = || to_existing().finalizer(keys::FINALIZER).status(written());
    for (object, rules, expected) in [
        (to_existing().build(), no_policy(), true),
        (to_existing().build(), rules(), false),
        (had().build(), no_policy(), false),
        (had().build(), rules(), false),
    ] {
        assert_eq!(keeps_nothing(&case_of(&object, rules)), expected, "{object:?}");
    }
}

/// In a test with an Entra of its own.
#[test]
fn an_issuer_that_entra_cannot_reach_is_used_where_the_operator_is_told_so() {
    for allowed in [false, true] {
        let config = OperatorConfig {
            allow_private_issuer: allowed,
            ..config()
        };
        let rules = Rules {
            cluster: crate::given::cluster_with("https://kubernetes.default.svc.cluster.local"),
            ..rules_by(config, &[generous()])
        };
        let is_held = matches!(verdict_of(&to_existing().build(), rules), Verdict::Hold(_));
        assert_eq!(is_held, !allowed);
    }
}

/// A restarted operator that reads an issuer for which no binding was made.
#[test]
fn nothing_is_given_for_an_issuer_that_is_not_believed_and_whoever_is_to_go_goes() {
    let unconfirmed = |rules: Rules| Rules {
        cluster: Cluster {
            belief: Belief::Unconfirmed,
            ..cluster()
        },
        ..rules
    };
    for object in bindings() {
        let ready = made(has_finalizer(object.clone()));
        for object in [object, ready.clone()] {
            let Verdict::Hold(blocked) = verdict_of(&object, unconfirmed(rules())) else {
                panic!("it is not held")
            };
            assert_eq!(blocked.reason, Reason::IssuerUnconfirmed);
            let held = Outcome::Held(blocked);
            let binding = parsed(&object);
            let subject = Subject {
                heeded: None,
                failed_looks: None,
                written: object.status.is_some(),
                previous: object.status.as_ref(),
                lifecycle: &binding.lifecycle,
                cluster: &unconfirmed(rules()).cluster,
                contested: None,
            };
            let next = status(subject, &held, Timestamp::MAX);
            if let Some(ready) = &object.status {
                assert_eq!(next, *ready, "it was ready and stays so");
            } else {
                assert_eq!(next.conditions[0].reason, Reason::IssuerUnconfirmed.as_str());
                assert_eq!(next.issuer, None);
            }
        }
        let going = WorkloadIdentityBinding {
            metadata: ObjectMeta {
                deletion_timestamp: Some(Time(Timestamp::UNIX_EPOCH)),
                ..ready.metadata.clone()
            },
            ..ready.clone()
        };
        assert!(matches!(pursued(&going, unconfirmed(rules())), Desired::Gone(_)));
        let forbidden = OperatorConfig {
            protected_groups: vec![ready_group(&ready)],
            ..config()
        };
        let denied = pursued(&ready, unconfirmed(rules_by(forbidden, &[])));
        assert!(matches!(denied, Desired::Denied(_)));
    }
}

fn ready_group(ready: &WorkloadIdentityBinding) -> ResourceGroupId {
    parsed(ready).recorded.identity.unwrap().id.group
}
