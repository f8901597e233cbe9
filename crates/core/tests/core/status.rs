//! The status that an outcome makes, whatever the outcome.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::json;
use wio_api::{
    Condition, DeletionPolicy, FederatedCredentialStatus, Reason, RestartResult, RestartStatus,
    WorkloadIdentityBindingStatus, WorkloadsStatus,
};
use wio_core::authorize::NotPermitted;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::fault::{
    AzureAnswer, AzureCause, AzureFault, Blocked, Fault, HeldField, KubernetesCause, KubernetesFault,
};
use wio_core::outcome::Outcome;
use wio_core::reasons::Disposition;
use wio_core::spec::InvalidField;
use wio_core::status::{BELIEVED_FOR, FailedLooks, NEW_FOR, Subject, Told, problems, status, transitions};
use wio_testkit::kstatus;

use crate::given::{
    accounts_of, any_binding, any_policy, cases, cluster, denied, desired, gone, lifecycle, managed, other_owner,
};
use crate::plan_roles::reconciled;
use crate::seeds::any_world;
use crate::worlds::{World, tags_of};

pub const GENERATION: i64 = 5;

proptest! {
    #![proptest_config(cases(200))]

    /// One that an earlier binding made for an account is ours as long as the account is written down: the first deletion of it that was
    /// throttled made it nobody's, and it was trusted for good.
    #[test]
    fn what_is_ours_and_stands_is_recorded_until_it_is_seen_gone(
        object in any_binding(), seed in any_world(), steps in 0..6_usize, denies in any::<bool>(),
    ) {
        let bound = desired(&object);
        let target = if denies { denied(&bound) } else { Desired::Bound(bound.clone()) };
        let mut world = seed.lawful(&bound);
        let named = accounts_of(&bound);
        let first = wio_core::plan::plan(&target, &world.observe(&named));
        world.run(&target, &first, steps).unwrap();
        let seen = world.observe(&named);
        let told = crate::plan_roles::made(&reconciled(target.clone(), seen, Vec::new()), None);
        for credential in world.credentials() {
            let sharing = target.sharing();
            if let Some(account) = sharing.account_of(credential).filter(|_| sharing.takes(credential)) {
                let same = |told: &&FederatedCredentialStatus| told.name.eq_ignore_ascii_case(credential.name.as_str());
                let recorded = told.federated_credentials.iter().find(same);
                prop_assert_eq!(recorded.map(|told| told.service_account.as_str()), Some(account.as_str()));
            }
        }
    }
}

/// What others say: nothing, a word, many words, lines, marks at the end.
fn any_words() -> BoxedStrategy<String> {
    prop_oneof![
        Just(String::new()),
        Just("\r\n ".to_owned()),
        Just("und so weiter...".to_owned()),
        Just("AADSTS700016: not found.\r\nTrace ID: 1\r\nCorrelation ID: 2\r\nTimestamp: 3".to_owned()),
        Just("wörter, ".repeat(2000)),
        "\\PC{0,40}",
    ]
    .boxed()
}

/// What the core itself says.
fn own_words() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn any_fault() -> BoxedStrategy<Fault> {
    let codes = prop::sample::select(vec![
        "",
        "ParentResourceNotFound",
        "ScopeLocked",
        "RequestDisallowedByPolicy",
        "AuthorizationFailed",
        "Unheard",
    ]);
    let pause = prop::option::of((0..100_u64).prop_map(Duration::from_secs));
    let answer = (0..600_u16, codes, any_words(), pause).prop_map(|(status, code, message, retry_after)| AzureAnswer {
        status,
        code: code.to_owned(),
        message,
        retry_after,
        request_id: Some("r".to_owned()),
    });
    let azure = prop_oneof![
        4 => answer.prop_map(AzureCause::Answer),
        1 => Just(AzureCause::Timeout),
        1 => any_words().prop_map(AzureCause::Transport),
        1 => any_words().prop_map(AzureCause::Credential),
        1 => any_words().prop_map(AzureCause::Refused),
        1 => any_words().prop_map(AzureCause::Malformed),
    ];
    let held = Just(HeldField {
        manager: "helm".to_owned(),
        field: ".metadata.annotations".to_owned(),
        empty: false,
    });
    let kubernetes = prop_oneof![
        (0..600_u16, "[A-Z][a-z]{3,9}", any_words()).prop_map(|(status, reason, message)| KubernetesCause::Answer {
            status,
            reason,
            message
        }),
        prop::collection::vec(held, 0..3).prop_map(KubernetesCause::FieldsHeld),
        Just(KubernetesCause::NamespaceTerminating),
        any_words().prop_map(KubernetesCause::Transport),
        any_words().prop_map(KubernetesCause::Malformed),
    ];
    let blocked = (prop::sample::select(Reason::ALL), own_words());
    prop_oneof![
        azure.prop_map(|cause| Fault::Azure(AzureFault {
            operation: "create the identity x".to_owned(),
            cause
        })),
        kubernetes.prop_map(|cause| {
            Fault::Kubernetes(KubernetesFault {
                operation: "annotate the service account x".to_owned(),
                cause,
            })
        }),
        blocked.prop_map(|(reason, message)| Fault::Blocked(Blocked { reason, message })),
    ]
    .boxed()
}

/// What is asked for: that it is bound, denied, or gone.
#[derive(Clone, Debug)]
enum Wish {
    Bound,
    Denied,
    Gone(DeletionPolicy),
}

fn any_wish() -> impl Strategy<Value = Wish> {
    prop_oneof![6 => Just(Wish::Bound), 2 => Just(Wish::Denied), 3 => any_policy().prop_map(Wish::Gone)]
}

fn wished(wish: &Wish, bound: DesiredBinding) -> Desired {
    match wish {
        Wish::Bound => Desired::Bound(bound),
        Wish::Denied => denied(&bound),
        Wish::Gone(policy) => gone(&bound, *policy),
    }
}

/// What a reconcile can come to, and whether the binding is being deleted.
pub fn any_outcome() -> BoxedStrategy<(Outcome, bool)> {
    let observed = (
        any_binding(),
        prop::option::weighted(0.7, any_world()),
        any_wish(),
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(any_fault(), 1..3)],
        prop::bool::weighted(0.2),
        any::<bool>(),
    );
    let observed = observed.prop_map(|(mut object, seed, wish, faults, suspended, carried_out)| {
        object.spec.suspend = suspended;
        let bound = desired(&object);
        let mut world = seed.map_or_else(|| World::as_desired(&bound), |seed| seed.lawful(&bound));
        let named = accounts_of(&bound);
        let desired = wished(&wish, bound);
        if carried_out {
            let plan = wio_core::plan::plan(&desired, &world.observe(&named));
            world.run(&desired, &plan, usize::MAX).unwrap();
        }
        let deleting = matches!(wish, Wish::Gone(_));
        let observed = world.observe(&named);
        (reconciled(desired, observed, faults), deleting)
    });
    let invalid = prop::collection::vec(own_words(), 1..4).prop_map(|problems| {
        let field = |problem| InvalidField {
            field: "spec.audience".to_owned(),
            problem,
        };
        let fields: Vec<String> = problems.into_iter().map(|problem| field(problem).to_string()).collect();
        held(Reason::InvalidSpec, fields.join("; "))
    });
    let denied = own_words().prop_map(|message| {
        let why = NotPermitted {
            field: "spec.identity".to_owned(),
            message,
            awaits_policy: true,
        };
        held(Reason::NotPermitted, why.to_string())
    });
    let unobserved = (any_binding(), prop::option::weighted(0.8, any_wish()), any_fault());
    let unobserved = unobserved.prop_map(|(object, wish, fault)| {
        let deleting = matches!(wish, Some(Wish::Gone(_)));
        let desired = wish.map(|wish| Box::new(wished(&wish, desired(&object))));
        (Outcome::Unobserved { desired, fault }, deleting)
    });
    let reasons = prop::sample::select(vec![
        Reason::PolicyAwaited,
        Reason::NotDecided,
        Reason::MassDisappearance,
        Reason::IdentityMoved,
    ]);
    let undecided = (reasons, own_words()).prop_map(|(reason, message)| held(reason, message));
    prop_oneof![
        6 => observed,
        1 => (invalid, any::<bool>()),
        1 => (denied, any::<bool>()),
        2 => unobserved,
        1 => (undecided, any::<bool>()),
    ]
    .boxed()
}

fn held(reason: Reason, message: String) -> Outcome {
    Outcome::Held(Blocked { reason, message })
}

/// The status that an outcome makes of another one.
pub fn written(
    previous: Option<&WorkloadIdentityBindingStatus>,
    generation: i64,
    deleting: bool,
    outcome: &Outcome,
    now: Timestamp,
) -> WorkloadIdentityBindingStatus {
    let subject = Subject {
        previous,
        lifecycle: &lifecycle(generation, deleting),
        cluster: &cluster(),
        heeded: None,
        failed_looks: None,
        written: false,
        contested: None,
    };
    status(subject, outcome, now)
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn object(status: &WorkloadIdentityBindingStatus, deleting: bool) -> serde_json::Value {
    let mut metadata = json!({ "generation": GENERATION });
    if deleting {
        metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    json!({ "metadata": metadata, "status": status })
}

fn condition<'a>(status: &'a WorkloadIdentityBindingStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn every_status_keeps_the_contract_and_says_whether_it_is_ready((outcome, deleting) in any_outcome()) {
        let made = written(None, GENERATION, deleting, &outcome, at(0));
        kstatus::assert_kept(&object(&made, deleting));
        prop_assert_eq!(condition(&made, "Authorized").is_none(), deleting, "nobody asks of what goes");
        let ready = condition(&made, "Ready").unwrap();
        let lifecycle = lifecycle(GENERATION, deleting);
        let subject = Subject { previous: None, lifecycle: &lifecycle, cluster: &cluster(), heeded: None, failed_looks: None, written: false, contested: None };
        let problems = problems(subject, &outcome, at(0));
        prop_assert_eq!(ready.status == "True", problems.is_empty() && !deleting);
        let stalled = !problems.is_empty() && problems.iter().all(|p| matches!(p.disposition, Disposition::Stalled { .. }));
        prop_assert_eq!(condition(&made, "Stalled").is_some(), stalled);
        prop_assert_eq!(condition(&made, "Reconciling").is_some(), !stalled && !problems.is_empty());
        for condition in &made.conditions {
            prop_assert!(Reason::ALL.iter().any(|reason| reason.as_str() == condition.reason));
            prop_assert!(!condition.message.contains(['\n', '\r']), "{:?} has lines", condition.message);
            prop_assert!(!condition.message.contains("Trace ID"), "{:?} differs at each try", condition.message);
        }
        if ready.status == "True" {
            prop_assert!(made.conditions.iter().all(|condition| condition.status == "True"));
        }
    }

    #[test]
    fn nothing_moves_when_nothing_changed((outcome, deleting) in any_outcome(), (before, _) in any_outcome()) {
        let earlier = written(None, GENERATION - 1, false, &before, at(0));
        let first = written(Some(&earlier), GENERATION, deleting, &outcome, at(1));
        let second = written(Some(&first), GENERATION, deleting, &outcome, at(2));
        prop_assert_eq!(&second, &first);
        prop_assert_eq!(transitions(Some(&first), &second), []);
    }

    #[test]
    fn a_conditions_time_moves_only_with_its_status(outcomes in prop::collection::vec(any_outcome(), 2..5)) {
        let mut before: Option<WorkloadIdentityBindingStatus> = None;
        for (second, (outcome, deleting)) in (0..).zip(outcomes) {
            let now = written(before.as_ref(), GENERATION, deleting, &outcome, at(second));
            kstatus::assert_kept(&object(&now, deleting));
            for new in &now.conditions {
                let old = before.as_ref().and_then(|before| condition(before, &new.type_));
                let expected = match old {
                    Some(old) if old.status == new.status => old.last_transition_time.0,
                    _ => at(second),
                };
                prop_assert_eq!(new.last_transition_time.0, expected, "{}", &new.type_);
            }
            let ready = |status: &WorkloadIdentityBindingStatus| {
                let ready = condition(status, "Ready").unwrap();
                (ready.status.clone(), ready.reason.clone())
            };
            let reasons = |told: &[Told]| told.iter().map(|told| told.reason.clone()).collect::<Vec<_>>();
            let told = transitions(before.as_ref(), &now);
            let quiet = ["Progressing", "PolicyAwaited", "TokenExchangeAwaited"].contains(&&*ready(&now).1);
            if before.as_ref().map(&ready) != Some(ready(&now)) && !quiet {
                prop_assert!(reasons(&told).contains(&ready(&now).1));
            }
            prop_assert!(told.len() <= 1 || reasons(&told)[0] == "ClientIdChanged");
            if let Some(told) = told.iter().find(|told| told.reason != "ClientIdChanged") {
                prop_assert_eq!(&told.message, &condition(&now, "Ready").unwrap().message);
                prop_assert!(!told.warning || ready(&now).0 == "False" || ["MassDisappearance", "DriftCorrected"].contains(&told.reason.as_str()));
            }
            before = Some(now);
        }
    }
}

#[test]
fn a_status_without_ready_is_no_news_and_the_first_one_is() {
    let bound = desired(&managed(&["a"]));
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    let outcome = reconciled(Desired::Bound(bound), observed, Vec::new());
    let empty = WorkloadIdentityBindingStatus {
        observed_generation: Some(-1),
        ..Default::default()
    };
    let made = written(Some(&empty), GENERATION, false, &outcome, at(0));
    assert_eq!(transitions(None, &empty), []);
    let told = &transitions(Some(&empty), &made)[0];
    assert_eq!((told.reason.as_str(), told.warning), ("Succeeded", false));
}

fn blocked(reason: Reason, message: &str) -> Outcome {
    Outcome::Held(Blocked {
        reason,
        message: message.to_owned(),
    })
}

/// The conflict of one service account was mended, another one had one too, and the Event went on telling of the first.
#[test]
fn what_stands_in_the_way_now_is_told_and_the_varying_words_of_a_try_are_not() {
    let stalled = |account| {
        let outcome = blocked(Reason::ServiceAccountConflict, account);
        written(None, GENERATION, false, &outcome, at(0))
    };
    let told = transitions(Some(&stalled("x1")), &stalled("x2"));
    assert_eq!((told.len(), told[0].message.as_str()), (1, "X2."));
    let retried = |words| {
        let outcome = blocked(Reason::AzureUnavailable, words);
        written(None, GENERATION, false, &outcome, at(0))
    };
    assert_eq!(transitions(Some(&retried("reset")), &retried("timed out")), []);
}

#[test]
fn a_changed_spec_that_works_is_told_and_that_work_goes_on_is_not() {
    let works = |accounts: &[&str], generation| {
        let bound = desired(&managed(accounts));
        let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
        let outcome = reconciled(Desired::Bound(bound), observed, Vec::new());
        written(None, generation, false, &outcome, at(0))
    };
    let told = transitions(Some(&works(&["orders"], 1)), &works(&["renamed"], 2));
    assert!(told.len() == 1 && told[0].message.contains("renamed"), "{told:?}");
    assert_eq!(transitions(Some(&works(&["orders"], 1)), &works(&["orders"], 2)), []);
    let going_on = written(None, 1, false, &blocked(Reason::Progressing, "it looks again"), at(0));
    assert_eq!(transitions(None, &going_on), []);
}

/// An identity that was deleted by hand was made anew with another client id; every pod went without tokens, and nothing said so.
#[test]
fn another_client_id_is_told_with_what_to_do_about_the_pods() {
    let bound = desired(&managed(&["a"]));
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    let outcome = reconciled(Desired::Bound(bound), observed, Vec::new());
    let before = written(None, GENERATION, false, &outcome, at(0));
    let mut after = before.clone();
    after.identity.as_mut().unwrap().client_id = Some("00000000-0000-0000-0000-00000000c0de".to_owned());
    let told = transitions(Some(&before), &after);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].reason.as_str(), told[0].warning), ("ClientIdChanged", true));
    for words in ["made anew", "00000000c0de instead of", "restart"] {
        assert!(told[0].message.contains(words), "{}", told[0].message);
    }
    assert_eq!(transitions(Some(&before), &before), []);
}

/// Nobody was told by whom the pods were ended.
#[test]
fn each_restart_of_an_owner_is_told_once_for_a_client_id() {
    use RestartResult::{NotRestarted, Restarted, Restarting, Waiting};
    let with = |all: &[(&str, &str, RestartResult)]| {
        let restarts = all.iter().map(|(owner, client_id, result)| RestartStatus {
            owner: (*owner).to_owned(),
            client_id: (*client_id).to_owned(),
            result: *result,
            restarted_at: None,
            message: String::new(),
        });
        WorkloadIdentityBindingStatus {
            workloads: Some(WorkloadsStatus {
                restarts: restarts.collect(),
                ..WorkloadsStatus::default()
            }),
            ..WorkloadIdentityBindingStatus::default()
        }
    };
    let now = with(&[("Deployment/a", "1", Restarting), ("Deployment/b", "1", Waiting)]);
    let told = |previous: Option<&WorkloadIdentityBindingStatus>| transitions(previous, &now);
    let [first] = told(None).try_into().unwrap();
    assert_eq!((first.reason.as_str(), first.warning), ("WorkloadRestarted", false));
    assert_eq!(
        first.message,
        "Deployment/a is restarted, as spec.rollout asks: pods of it ran without client id 1."
    );
    for (owner, client_id, result, is_told) in [
        ("Deployment/a", "1", Restarting, false),
        ("Deployment/a", "1", Restarted, false),
        ("Deployment/a", "1", Waiting, true),
        ("Deployment/a", "1", NotRestarted, true),
        ("Deployment/a", "2", Restarting, true),
        ("Deployment/c", "1", Restarting, true),
    ] {
        let previous = with(&[(owner, client_id, result)]);
        assert_eq!(
            told(Some(&previous)).len(),
            usize::from(is_told),
            "{owner} {client_id} {result:?}"
        );
    }
}

#[test]
fn pods_that_lack_a_token_are_told_of_where_none_did() {
    let with = |status: &str| {
        let mut next = WorkloadIdentityBindingStatus::default();
        next.conditions.push(Condition {
            type_: "WorkloadsReady".to_owned(),
            status: status.to_owned(),
            reason: "PodsWithoutToken".to_owned(),
            message: "1 of 1 pod lacks a token.".to_owned(),
            observed_generation: None,
            last_transition_time: Time(at(0)),
        });
        next
    };
    let lack = with("False");
    let [told] = transitions(Some(&with("True")), &lack).try_into().unwrap();
    assert_eq!(
        (told.reason.as_str(), told.message.as_str(), told.warning),
        ("PodsWithoutToken", "1 of 1 pod lacks a token.", true)
    );
    assert_eq!(transitions(None, &lack), [told]);
    assert_eq!(transitions(Some(&lack), &lack), []);
    assert_eq!(transitions(Some(&lack), &with("True")), []);
}

#[test]
fn what_was_not_looked_at_stays_as_it_was_last_seen() {
    let bound = desired(&managed(&["a"]));
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    let settled = reconciled(Desired::Bound(bound.clone()), observed, Vec::new());
    let desired = Box::new(Desired::Bound(bound));
    let first = written(None, GENERATION, false, &settled, at(0));
    let fault = Fault::Azure(AzureFault {
        operation: "read the identity x".to_owned(),
        cause: AzureCause::Timeout,
    });
    let unobserved = Outcome::Unobserved {
        desired: Some(desired),
        fault,
    };
    let next = written(Some(&first), GENERATION, false, &unobserved, at(1));
    assert_eq!(next.identity, first.identity);
    assert_eq!(next.federated_credentials, first.federated_credentials);
    assert_eq!(next.service_accounts, first.service_accounts);
    assert_eq!(condition(&next, "IdentityReady").unwrap().status, "Unknown");
}

#[test]
fn an_identity_that_was_announced_stays_written_down_though_it_is_not_seen_yet() {
    let bound = desired(&managed(&["a"]));
    let seen = World::empty().observe(&accounts_of(&bound));
    let planned = wio_core::plan::plan(&Desired::Bound(bound.clone()), &seen);
    let announced = wio_core::status::announcing(None, bound.granted.identity(), &planned).unwrap();
    assert!(announced.identity.is_some());
    let fault = Fault::Azure(AzureFault {
        operation: "create the identity x".to_owned(),
        cause: AzureCause::Timeout,
    });
    let outcome = reconciled(Desired::Bound(bound), seen, vec![fault]);
    let next = written(Some(&announced), GENERATION, false, &outcome, at(0));
    assert_eq!(next.identity, announced.identity);
}

/// The binding's own was deleted, and somebody else made one of its name.
#[test]
fn an_identity_that_is_somebody_elses_is_no_longer_told_of_when_nothing_of_the_binding_is_left() {
    let bound = desired(&managed(&["a"]));
    let accounts = accounts_of(&bound);
    let told = |world: &World, previous| {
        let outcome = reconciled(Desired::Bound(bound.clone()), world.observe(&accounts), Vec::new());
        written(previous, GENERATION, false, &outcome, at(0)).identity
    };
    let outcome = reconciled(
        Desired::Bound(bound.clone()),
        World::as_desired(&bound).observe(&accounts),
        Vec::new(),
    );
    let before = written(None, GENERATION, false, &outcome, at(0));
    let mut world = World::as_desired(&bound);
    let identity = world.identity.as_mut().unwrap();
    identity.tags.clear();
    identity.credentials.clear();
    assert!(before.identity.is_some());
    world.accounts.clear();
    assert_eq!(told(&world, Some(&before)), None);
    world.identity.as_mut().unwrap().tags = tags_of(&other_owner(&bound, "invoices"));
    assert_eq!(told(&world, Some(&before)), None);
    world.identity.as_mut().unwrap().credentials = World::as_desired(&bound).credentials().to_vec();
    assert_eq!(told(&world, Some(&before)), before.identity, "its credential is to go");
}

/// What somebody edited is ours still, and is put right.
#[test]
fn a_service_account_with_our_label_is_told_of_whatever_else_it_carries() {
    let bound = desired(&managed(&["a"]));
    let mut seen = World::as_desired(&bound).observe(&accounts_of(&bound));
    let account = seen.service_accounts.values_mut().next().unwrap();
    account.client_id = Some("somebody-elses".to_owned());
    let outcome = reconciled(Desired::Bound(bound), seen, Vec::new());
    let told = written(None, GENERATION, false, &outcome, at(0)).service_accounts;
    assert_eq!(told.len(), 1);
}

/// Whose issuer the cluster has says nothing about the pods of a binding that works; every other reason to hold it does.
#[test]
fn a_ready_binding_that_is_held_stays_ready_only_for_what_says_nothing_about_its_pods() {
    let bound = desired(&managed(&["a"]));
    let seen = World::as_desired(&bound).observe(&accounts_of(&bound));
    let outcome = reconciled(Desired::Bound(bound), seen, Vec::new());
    let ready = written(None, GENERATION, false, &outcome, at(0));
    let held = |reason, generation, deleting| {
        let told = written(Some(&ready), generation, deleting, &blocked(reason, "x"), at(1));
        condition(&told, "Ready").unwrap().status == "True"
    };
    assert!(held(Reason::IssuerUnconfirmed, GENERATION, false));
    assert!(!held(Reason::NotDecided, GENERATION, false));
    assert!(!held(Reason::IssuerUnconfirmed, GENERATION + 1, false));
    assert!(!held(Reason::IssuerUnconfirmed, GENERATION, true));
}

fn not_there(reason: Reason) -> Outcome {
    let bound = desired(&managed(&["a"]));
    let observed = World::empty().observe(&accounts_of(&bound));
    let fault = Fault::Blocked(Blocked {
        reason,
        message: "it is not there".to_owned(),
    });
    reconciled(Desired::Bound(bound), observed, vec![fault])
}

fn is_stalled(status: &WorkloadIdentityBindingStatus) -> bool {
    condition(status, "Stalled").is_some()
}

/// One run of Flux applied a binding and the identity that it names, which took two minutes to be made; the binding was
/// stalled at its first look, and so the whole run had failed.
#[test]
fn what_others_may_still_be_creating_is_waited_for_while_the_binding_is_new() {
    let end = i64::try_from(NEW_FOR.as_secs()).unwrap();
    for (reason, waits) in [
        (Reason::IdentityNotFound, true),
        (Reason::RoleScopeNotFound, true),
        (Reason::ResourceGroupNotFound, true),
        (Reason::SubscriptionNotFound, false),
        (Reason::IdentityNotOwned, false),
    ] {
        let outcome = not_there(reason);
        let first = written(None, 1, false, &outcome, at(0));
        assert_eq!(is_stalled(&first), !waits, "{reason}");
        let ready = condition(&first, "Ready").unwrap();
        assert_eq!(ready.reason, reason.as_str(), "it says all the while what is missing");
        assert_eq!(ready.status, if waits { "Unknown" } else { "False" }, "{reason}");
        let later = written(Some(&first), 1, false, &outcome, at(end - 1));
        assert_eq!(is_stalled(&later), !waits, "{reason}");
        let last = written(Some(&later), 1, false, &outcome, at(end));
        assert!(is_stalled(&last), "{reason}");
        let after = written(Some(&last), 1, false, &outcome, at(end + 1));
        assert!(is_stalled(&after), "{reason}: it does not begin anew");
        let edited = written(Some(&after), 2, false, &outcome, at(end + 2));
        assert_eq!(is_stalled(&edited), !waits, "{reason}: of another spec it does");
    }
}

#[test]
fn a_spec_that_is_edited_while_the_operator_is_at_work_is_new_from_then_on() {
    let end = i64::try_from(NEW_FOR.as_secs()).unwrap();
    let busy = Outcome::Unobserved {
        desired: Some(Box::new(Desired::Bound(desired(&managed(&["a"]))))),
        fault: Fault::Blocked(Blocked {
            reason: Reason::AzureUnavailable,
            message: "Azure is away".to_owned(),
        }),
    };
    let missing = not_there(Reason::IdentityNotFound);
    let long = written(None, 1, false, &busy, at(0));
    let long = written(Some(&long), 1, false, &busy, at(end * 3));
    let edited = written(Some(&long), 2, false, &missing, at(end * 3 + 1));
    let again = written(Some(&edited), 2, false, &missing, at(end * 4));
    assert!(!is_stalled(&again));
    assert!(is_stalled(&written(Some(&again), 2, false, &missing, at(end * 4 + 1))));
}

/// What worked and vanished is not being created by anybody.
#[test]
fn what_vanishes_from_a_binding_that_worked_stalls_it_at_once() {
    let bound = desired(&managed(&["a"]));
    let works = reconciled(
        Desired::Bound(bound.clone()),
        World::as_desired(&bound).observe(&accounts_of(&bound)),
        Vec::new(),
    );
    let ready = written(None, 1, false, &works, at(0));
    let missing = not_there(Reason::IdentityNotFound);
    assert!(is_stalled(&written(Some(&ready), 1, false, &missing, at(3600))));
}

/// A part of Azure was away for a minute, and every binding that was looked at in it turned False, though all pods got tokens.
#[test]
fn a_binding_that_worked_stays_ready_while_azure_cannot_be_looked_at_until_that_lasts() {
    let bound = desired(&managed(&["a"]));
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    let works = reconciled(Desired::Bound(bound.clone()), observed, Vec::new());
    let before = written(None, GENERATION, false, &works, at(0));
    let unseen = |cause| Outcome::Unobserved {
        desired: Some(Box::new(Desired::Bound(bound.clone()))),
        fault: Fault::Azure(AzureFault {
            operation: "read it".to_owned(),
            cause,
        }),
    };
    let answer = |status, code: &str| {
        AzureCause::Answer(AzureAnswer {
            status,
            code: code.to_owned(),
            ..AzureAnswer::default()
        })
    };
    let after = |previous: &WorkloadIdentityBindingStatus, generation, outcome: &Outcome, lasted| {
        let subject = Subject {
            previous: Some(previous),
            lifecycle: &lifecycle(generation, false),
            cluster: &cluster(),
            heeded: None,
            failed_looks: Some(FailedLooks {
                reason: Reason::AzureUnavailable,
                lasted,
            }),
            written: true,
            contested: None,
        };
        status(subject, outcome, at(1))
    };
    for cause in [answer(503, "ServerBusy"), answer(429, ""), AzureCause::Timeout] {
        let outcome = unseen(cause);
        let first = after(&before, GENERATION, &outcome, Duration::ZERO);
        kstatus::assert_kept(&object(&first, false));
        let ready = condition(&first, "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Succeeded"));
        assert!(ready.message.contains("cannot be looked at"), "{}", ready.message);
        assert_eq!(transitions(Some(&before), &first), [], "nothing to learn of yet");
        let again = after(
            &first,
            GENERATION,
            &outcome,
            BELIEVED_FOR.saturating_sub(Duration::from_secs(1)),
        );
        assert_eq!(again, first, "nothing is written at each try");
        let long = after(&again, GENERATION, &outcome, BELIEVED_FOR);
        assert_eq!(condition(&long, "Ready").unwrap().status, "False");
        let edited = after(&before, GENERATION + 1, &outcome, Duration::ZERO);
        assert_eq!(
            condition(&edited, "Ready").unwrap().status,
            "False",
            "of another spec nothing is known"
        );
    }
    let broken = written(None, GENERATION, false, &blocked(Reason::IdentityNotOwned, "x"), at(0));
    let told = after(&broken, GENERATION, &unseen(AzureCause::Timeout), Duration::ZERO);
    let ready = condition(&told, "Ready").unwrap();
    assert_eq!(ready.reason, "AzureUnavailable", "it did not work before");
    let forbidden = unseen(answer(403, "AuthorizationFailed"));
    let told = after(&before, GENERATION, &forbidden, Duration::ZERO);
    assert_eq!(
        condition(&told, "Ready").unwrap().status,
        "False",
        "somebody has to act"
    );
}
