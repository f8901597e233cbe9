//! The status that an outcome makes, whatever the outcome.

use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use wio_api::{Condition, DeletionPolicy, FederatedCredentialStatus, Reason, WorkloadIdentityBindingStatus};
use wio_core::authorize::NotPermitted;
use wio_core::desired::{Desired, DesiredBinding};
use wio_core::fault::{
    AzureAnswer, AzureCause, AzureFault, Blocked, Fault, HeldField, KubernetesCause, KubernetesFault,
};
use wio_core::outcome::Outcome;
use wio_core::reasons::Disposition;
use wio_core::spec::InvalidField;
use wio_core::status::{Subject, status, transition};
use wio_testkit::kstatus;

use crate::given::{accounts_of, any_binding, any_policy, cases, cluster, denied, desired, gone, lifecycle, managed};
use crate::plan_roles::reconciled;
use crate::seeds::any_world;
use crate::worlds::World;

const GENERATION: i64 = 5;

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
fn any_outcome() -> BoxedStrategy<(Outcome, bool)> {
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
fn written(
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
    };
    status(subject, outcome, now)
}

fn at(second: i64) -> Timestamp {
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
        prop_assert_eq!(ready.status == "True", outcome.problems().is_empty() && !deleting);
        let problems = outcome.problems();
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
        prop_assert_eq!(transition(Some(&first), &second), None);
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
            let changed = before.as_ref().map(&ready) != Some(ready(&now));
            let told = transition(before.as_ref(), &now);
            prop_assert_eq!(told.is_some(), changed);
            if let Some(told) = told {
                prop_assert_eq!(&told.message, &condition(&now, "Ready").unwrap().message);
                prop_assert!(!told.warning || ready(&now).0 == "False" || told.reason == "MassDisappearance");
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
    assert_eq!(transition(None, &empty), None);
    let told = transition(Some(&empty), &made).unwrap();
    assert_eq!((told.reason.as_str(), told.warning), ("Succeeded", false));
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
