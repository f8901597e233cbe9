//! What Argo CD makes of our objects by the Lua of `config/argocd`: in upstream's test format, and for every status that is written.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use proptest::prelude::*;
use serde_json::{Value, json};
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding, keys};
use wio_core::desired::Desired;
use wio_core::fault::{AzureAnswer, AzureCause, AzureFault, Fault, KubernetesCause, KubernetesFault};
use wio_core::observed::BoundBy;
use wio_core::outcome::Outcome;
use wio_core::policy::Policies;
use wio_core::status::{Admission, of_policy};
use wio_core::verdict::Verdict;
use wio_testkit::fixtures::{PolicyBuilder, policy};
use wio_testkit::kstatus::{self, State};

use crate::given::{
    EXISTING, VAULT, accounts_of, cases, config, desired, existing, gone, managed, rules_by, verdict_of,
};
use crate::lua;
use crate::plan_roles::reconciled;
use crate::status::{GENERATION, any_outcome, at, written};
use crate::worlds::{Values, World, account};

/// Writes the examples anew instead of comparing them.
const RENEW: &str = "WIO_RENEW";

fn customizations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/argocd/resource_customizations")
}

fn of_kind(kind: &str) -> PathBuf {
    customizations().join("workloadidentity.dev").join(kind)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn yaml(path: &Path) -> Value {
    serde_yaml_ng::from_str(&text(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of kinds that have such a file.
fn folders_with(file: &str) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    };
    let kinds = entries(&customizations()).into_iter().flat_map(|group| entries(&group));
    kinds.filter(|kind| kind.join(file).exists()).collect()
}

// === Examples ===

/// A binding as the API server has it, with its status.
fn stored(object: &WorkloadIdentityBinding, status: &Value, generation: i64) -> Value {
    let mut stored = json!(object);
    stored["metadata"]["generation"] = json!(generation);
    stored["status"] = status.clone();
    stored
}

/// A binding of which an outcome was the last one.
fn after(object: &WorkloadIdentityBinding, outcome: &Outcome) -> Value {
    let status = written(
        None,
        GENERATION,
        object.metadata.deletion_timestamp.is_some(),
        outcome,
        at(0),
    );
    stored(object, &json!(status), GENERATION)
}

fn orders() -> WorkloadIdentityBinding {
    managed(&["orders"])
}

fn suspended(mut object: WorkloadIdentityBinding) -> WorkloadIdentityBinding {
    object.spec.suspend = true;
    object
}

/// A binding for which the operator found this world, and carries nothing out.
fn found(object: &WorkloadIdentityBinding, world: impl FnOnce(World) -> World, faults: Vec<Fault>) -> Value {
    let bound = desired(object);
    let observed = world(World::as_desired(&bound)).observe(&accounts_of(&bound));
    after(object, &reconciled(Desired::Bound(bound), observed, faults))
}

/// A binding to an identity that no policy gives.
fn payments() -> WorkloadIdentityBinding {
    existing(&["orders"])
}

fn is_denied(object: &WorkloadIdentityBinding) -> Value {
    let outcome = match verdict_of(object, rules_by(config(), &[])) {
        Verdict::Pursue(desired) => reconciled(*desired, World::empty().observe(&BTreeSet::new()), Vec::new()),
        Verdict::Hold(blocked) => Outcome::Held(blocked),
        other => panic!("{other:?}"),
    };
    after(object, &outcome)
}

fn unavailable(operation: &str) -> Fault {
    Fault::Azure(AzureFault {
        operation: operation.to_owned(),
        cause: AzureCause::Answer(AzureAnswer {
            status: 503,
            code: "ServiceUnavailable".to_owned(),
            message: "The service is unavailable.".to_owned(),
            retry_after: None,
            request_id: None,
        }),
    })
}

/// Another field manager holds another client id.
fn contested(mut world: World) -> World {
    let others = Values {
        client_id: Some("00000000-0000-0000-0000-000000000001".to_owned()),
        ..Values::default()
    };
    for held in world.accounts.values_mut() {
        *held = crate::worlds::Account {
            others: others.clone(),
            ..account(0, BoundBy::Nobody)
        };
    }
    world
}

fn is_deleted() -> Value {
    let mut object = orders();
    object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
    let bound = desired(&orders());
    let observed = World::as_desired(&bound).observe(&accounts_of(&bound));
    after(
        &object,
        &reconciled(
            gone(&bound, DeletionPolicy::Delete),
            observed,
            vec![unavailable("delete the identity wib-shop-orders-5v47tcb6dry2gzmb")],
        ),
    )
}

/// What the API server gives an object that the operator has not seen.
fn given_at_first(definition: &CustomResourceDefinition) -> Value {
    let definition = json!(definition);
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["default"].clone()
}

fn unseen(object: &WorkloadIdentityBinding) -> Value {
    stored(object, &given_at_first(&wio_api::crd()), 1)
}

fn changed(mut object: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut object);
    object
}

/// The examples by their names; the last three are what actions make of others.
fn examples() -> Vec<(&'static str, Value)> {
    let ready = || found(&orders(), |world| world, Vec::new());
    let new_and_suspended = || found(&suspended(orders()), |_| World::empty(), Vec::new());
    vec![
        ("unseen", unseen(&orders())),
        ("ready", ready()),
        ("progressing", found(&orders(), |_| World::empty(), Vec::new())),
        (
            "retrying",
            found(
                &orders(),
                |_| World::empty(),
                vec![unavailable("create the identity wib-shop-orders-5v47tcb6dry2gzmb")],
            ),
        ),
        ("denied", is_denied(&payments())),
        ("conflict", found(&orders(), contested, Vec::new())),
        ("suspended", found(&suspended(orders()), |world| world, Vec::new())),
        ("suspended_new", new_and_suspended()),
        ("suspended_unseen", unseen(&suspended(orders()))),
        ("suspended_denied", is_denied(&suspended(payments()))),
        (
            "stale",
            changed(ready(), |it| it["metadata"]["generation"] = json!(GENERATION + 1)),
        ),
        ("deleting", is_deleted()),
        (
            "ready_suspended",
            changed(ready(), |it| it["spec"]["suspend"] = json!(true)),
        ),
        (
            "suspended_new_resumed",
            changed(new_and_suspended(), |it| it["spec"]["suspend"] = json!(false)),
        ),
        (
            "ready_reconciled",
            changed(ready(), |it| {
                it["metadata"]["annotations"] = json!({ keys::RECONCILE_AT_ANNOTATION: LONG_AGO });
            }),
        ),
    ]
}

fn shop() -> PolicyBuilder {
    policy("shop").namespace("shop").existing(EXISTING)
}

/// A policy after the merged policy was written, or not.
fn judged(policy: PolicyBuilder, admission: &Admission) -> Value {
    let mut policy = policy.build();
    policy.metadata.generation = Some(GENERATION);
    policy.status = Some(of_policy(&policy, &Policies::parse([&policy]), admission, at(0)));
    json!(policy)
}

fn policy_examples() -> Vec<(&'static str, Value)> {
    let lagging = Admission::LagsBehind(Fault::Kubernetes(KubernetesFault {
        operation: "write the merged policy".to_owned(),
        cause: KubernetesCause::Transport("connection refused".to_owned()),
    }));
    let misspelt = shop().role("Key Vault Secrets Userz", &[VAULT]);
    let mut unseen = json!(shop().build());
    unseen["metadata"]["generation"] = json!(1);
    unseen["status"] = given_at_first(&wio_api::policy_crd());
    vec![
        ("unseen", unseen),
        ("ready", judged(shop(), &Admission::Knows)),
        ("lagging", judged(shop(), &lagging)),
        ("misspelt", judged(misspelt, &Admission::Knows)),
    ]
}

#[test]
fn the_examples_are_what_the_operator_writes() {
    let kinds = [
        ("WorkloadIdentityBinding", examples()),
        ("WorkloadIdentityPolicy", policy_examples()),
    ];
    for (kind, examples) in kinds {
        let folder = of_kind(kind).join("testdata");
        let mut expected = BTreeSet::new();
        for (name, object) in examples {
            let path = folder.join(format!("{name}.yaml"));
            if std::env::var_os(RENEW).is_some() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(&path, serde_yaml_ng::to_string(&object).unwrap()).unwrap();
            }
            assert_eq!(yaml(&path), object, "{}: {RENEW}=1 writes it anew", path.display());
            expected.insert(path);
        }
        let entries = fs::read_dir(&folder).unwrap();
        let there: BTreeSet<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(there, expected);
    }
}

// === Upstream's tests ===

#[test]
fn health_is_what_the_health_tests_expect() {
    let folders = folders_with("health_test.yaml");
    assert_eq!(folders.len(), 3, "{folders:?}");
    for folder in folders {
        let script = text(&folder.join("health.lua"));
        let tests = yaml(&folder.join("health_test.yaml"));
        let tests = tests["tests"].as_array().unwrap();
        assert!(!tests.is_empty(), "{}", folder.display());
        for test in tests {
            let input = folder.join(test["inputPath"].as_str().unwrap());
            assert_eq!(
                lua::run(&script, &yaml(&input)),
                test["healthStatus"],
                "{}",
                input.display()
            );
        }
    }
}

/// Stands for the time at which an action is taken, as upstream's tests have it.
const LONG_AGO: &str = "0001-01-01T00:00:00Z";

fn without_time(mut object: Value) -> Value {
    let annotations = object.pointer_mut("/metadata/annotations");
    if let Some(time) = annotations.and_then(|all| all.get_mut(keys::RECONCILE_AT_ANNOTATION)) {
        time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        *time = json!(LONG_AGO);
    }
    object
}

#[test]
fn actions_are_offered_and_do_what_the_action_tests_expect() {
    let folder = of_kind("WorkloadIdentityBinding").join("actions");
    let discovery = text(&folder.join("discovery.lua"));
    let tests = yaml(&folder.join("action_test.yaml"));
    for test in tests["discoveryTests"].as_array().unwrap() {
        let input = folder.join(test["inputPath"].as_str().unwrap());
        let offered = lua::run(&discovery, &yaml(&input));
        let expected = test["result"].as_array().unwrap();
        assert_eq!(offered.as_object().unwrap().len(), expected.len(), "{offered}");
        for mut action in expected.clone() {
            let name = action.as_object_mut().unwrap().remove("name").unwrap();
            assert_eq!(offered[name.as_str().unwrap()], action, "{name} of {}", input.display());
        }
    }
    let mut acted = BTreeSet::new();
    for test in tests["actionTests"].as_array().unwrap() {
        let (action, input) = (
            test["action"].as_str().unwrap(),
            yaml(&folder.join(test["inputPath"].as_str().unwrap())),
        );
        let script = text(&folder.join(action).join("action.lua"));
        let expected = yaml(&folder.join(test["expectedOutputPath"].as_str().unwrap()));
        assert_eq!(without_time(lua::act(&script, &input)), expected, "{action}");
        acted.insert(action.to_owned());
    }
    assert_eq!(
        acted,
        BTreeSet::from(["suspend", "resume", "reconcile"].map(str::to_owned))
    );
}

// === Every status ===

fn health(kind: &str, object: &Value) -> (String, String) {
    let health = lua::run(&text(&of_kind(kind).join("health.lua")), object);
    let field = |name: &str| {
        health[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} of {health}"))
            .to_owned()
    };
    (field("status"), field("message"))
}

/// The health that follows from kstatus, but for what it knows nothing of: suspension, and that an object which does not say Ready
/// was not seen yet.
fn expected(object: &Value) -> &'static str {
    let status = kstatus::compute(object);
    let suspended = object["spec"]["suspend"] == true;
    let conditions = object["status"]["conditions"].as_array();
    let says_ready = conditions.is_some_and(|all| all.iter().any(|condition| condition["type"] == "Ready"));
    match status.state {
        State::Failed if suspended && status.reason == Reason::Suspended.as_str() => "Suspended",
        State::Failed => "Degraded",
        State::Current | State::InProgress if suspended => "Suspended",
        State::Terminating | State::InProgress => "Progressing",
        State::Current if !says_ready => "Progressing",
        State::Current => "Healthy",
    }
}

/// How an object can stand to a status that was written of it.
#[derive(Clone, Copy, Debug)]
enum Standing {
    Observed,
    Edited,
    NeverSeen,
    WithoutStatus,
    Deleted,
}

fn any_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        4 => Just(Standing::Observed),
        1 => Just(Standing::Edited),
        1 => Just(Standing::NeverSeen),
        1 => Just(Standing::WithoutStatus),
        1 => Just(Standing::Deleted),
    ]
}

fn standing(how: Standing, mut object: Value) -> Value {
    match how {
        Standing::Observed => {}
        Standing::Edited => object["metadata"]["generation"] = json!(GENERATION + 1),
        Standing::NeverSeen => object["status"] = json!({ "observedGeneration": -1 }),
        Standing::WithoutStatus => {
            object.as_object_mut().unwrap().remove("status");
        }
        Standing::Deleted => object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
    }
    object
}

/// Conditions as they may stand together, and some that would break the contract.
fn any_conditions() -> impl Strategy<Value = Value> {
    let condition = |kind: &str, status: &str| {
        json!({ "type": kind, "status": status, "reason": "Because", "message": format!("{kind} is {status}."),
            "observedGeneration": GENERATION, "lastTransitionTime": "2026-01-01T00:00:00Z" })
    };
    let ready = prop::sample::select(vec!["True", "False", "Unknown"]);
    let beside = prop::sample::select(vec![
        None,
        Some(("Reconciling", "True")),
        Some(("Reconciling", "False")),
        Some(("Stalled", "True")),
        Some(("Stalled", "False")),
    ]);
    (prop::option::weighted(0.9, ready), beside).prop_map(move |(ready, beside)| {
        let ready = ready.map(|status| condition("Ready", status));
        let beside = beside.map(|(kind, status)| condition(kind, status));
        ready.into_iter().chain(beside).collect()
    })
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn health_is_what_kubectl_wait_and_flux_see_of_every_status(
        (outcome, deleting) in any_outcome(), how in any_standing(), suspend in any::<bool>(),
    ) {
        let made = written(None, GENERATION, deleting, &outcome, at(0));
        let mut object = stored(&if suspend { suspended(orders()) } else { orders() }, &json!(made), GENERATION);
        if deleting {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let object = standing(how, object);
        let (status, message) = health("WorkloadIdentityBinding", &object);
        prop_assert_eq!(&status, expected(&object), "{:#}", object);
        if matches!(how, Standing::Observed) {
            let told = &object["status"]["conditions"][0]["message"];
            prop_assert_eq!(&json!(message), told, "it is the message of Ready");
        }
    }

    #[test]
    fn health_is_what_kubectl_wait_and_flux_see_of_any_conditions(
        conditions in any_conditions(), how in any_standing(), kind in prop::sample::select(vec!["Binding", "Policy"]),
    ) {
        let kind = format!("WorkloadIdentity{kind}");
        let object = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": kind,
            "metadata": { "name": "shop", "generation": GENERATION },
            "spec": {},
            "status": { "observedGeneration": GENERATION, "conditions": conditions },
        });
        let object = standing(how, object);
        let (status, message) = health(&kind, &object);
        prop_assert_eq!(&status, expected(&object), "{:#}", object);
        prop_assert!(!message.is_empty());
    }
}
