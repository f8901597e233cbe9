//! Policies, what the operator makes of them, and bindings.

use std::collections::BTreeMap;

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::ResourceExt;
use wio_api::{Condition, ConditionType, WorkloadIdentityEffectivePolicySpec};

use crate::output::shell;

use super::super::facts::{Facts, Looked, OPERATOR, Unseen, seen};
use super::super::finding::Verdict;
use super::super::words::{counted, some};

/// The policy that keeps status and finalizer for the operator.
pub(super) const RECORD: &str = "workload-identity-operator-record";

pub(super) fn admission(facts: &Facts) -> Looked<Verdict> {
    let policies = seen(&facts.admission.policies)?;
    let bindings = seen(&facts.admission.bindings)?;
    let mut problems = Vec::new();
    for (name, what) in [
        (
            OPERATOR,
            "kubectl apply says nothing early of what a policy does not allow",
        ),
        (
            RECORD,
            "whoever may write a binding's status or finalizers can mislead the operator",
        ),
    ] {
        if !policies.iter().any(|policy| policy.name_any() == name) {
            problems.push(format!("ValidatingAdmissionPolicy {name} is not there: {what}"));
        } else if !bindings.iter().any(|binding| denies(binding, name)) {
            problems.push(format!("no ValidatingAdmissionPolicyBinding has {name} deny: {what}"));
        }
    }
    Ok(if problems.is_empty() {
        Verdict::green("both are there and deny")
    } else {
        Verdict::yellow("not all are there; the operator decides all the same, but later")
            .with_details(problems)
            .fix("kubectl apply --server-side --kustomize config/admission")
    })
}

fn denies(binding: &ValidatingAdmissionPolicyBinding, policy: &str) -> bool {
    let spec = binding.spec.clone().unwrap_or_default();
    let actions = spec.validation_actions.unwrap_or_default();
    spec.policy_name.as_deref() == Some(policy) && actions.iter().any(|action| action == "Deny")
}

/// Whether the record of bindings is kept for the operator, as far as it can be seen.
pub(super) fn record_is_kept(facts: &Facts) -> bool {
    let bindings = facts.admission.bindings.iter().flatten();
    let mut policies = facts.admission.policies.iter().flatten();
    policies.any(|policy| policy.name_any() == RECORD) && bindings.into_iter().any(|binding| denies(binding, RECORD))
}

fn spec(facts: &Facts) -> Looked<&WorkloadIdentityEffectivePolicySpec> {
    let found = seen(&facts.effective)?.as_ref().map(|found| &found.spec);
    found.ok_or_else(|| Unseen::nothing("there is no merged policy"))
}

pub(super) fn effective(facts: &Facts) -> Looked<Verdict> {
    let namespace = &facts.operator.namespace;
    Ok(match seen(&facts.effective)? {
        None => Verdict::red("the operator has not written it, so admission takes no binding").fix(format!(
            "kubectl logs --namespace {namespace} --selector app.kubernetes.io/name={OPERATOR} --tail 50"
        )),
        Some(found) => Verdict::green(format!(
            "{}; managed identities are created in {} in {}",
            counted_policies(found.spec.policies.len()),
            found.spec.resource_group,
            found.spec.location
        )),
    })
}

fn counted_policies(count: usize) -> String {
    if count == 1 {
        "1 policy".to_owned()
    } else {
        format!("{count} policies")
    }
}

pub(super) fn problems(facts: &Facts) -> Looked<Verdict> {
    let problems = &spec(facts)?.problems;
    Ok(if problems.is_empty() {
        Verdict::green("all can be used")
    } else {
        Verdict::yellow(format!(
            "{} cannot be used and gives nothing to anybody",
            counted(problems.len(), "part")
        ))
        .with_details(some(problems.iter().cloned()))
        .fix("kubectl describe workloadidentitypolicies")
    })
}

pub(super) fn vanished(facts: &Facts) -> Looked<Verdict> {
    let vanished = &spec(facts)?.vanished;
    Ok(if vanished.is_empty() {
        Verdict::green("none")
    } else {
        Verdict::yellow("they disappeared together, which is taken for an accident: what they allowed stands, and nothing new is allowed by them")
            .with_details(some(vanished.iter().map(|name| format!("WorkloadIdentityPolicy {name}"))))
            .detail("apply them again; or say that it is meant, with the word that a binding's message has")
            .fix(reasons_of(MASS))
    })
}

const MASS: &str = "MassDisappearance";

/// The messages of bindings with a reason.
fn reasons_of(reason: &str) -> String {
    let path =
        format!("{{range .items[*].status.conditions[?(@.reason==\"{reason}\")]}}{{.message}}{{\"\\n\"}}{{end}}");
    format!(
        "kubectl get workloadidentitybindings --all-namespaces --output jsonpath={}",
        shell::word(&path)
    )
}

/// Settings that would take trust from many are held: bindings have what they have by the former ones.
pub(super) fn settings(facts: &Facts) -> Looked<Verdict> {
    let now = spec(facts)?;
    let before = &now.accepted;
    if before.resource_group_id.is_empty() {
        return Err("the operator has not yet kept by which settings bindings have what they have".into());
    }
    let group = format!(
        "/subscriptions/{}/resourceGroups/{}",
        now.subscription_id, now.resource_group
    );
    let mut held = Vec::new();
    if !before.resource_group_id.eq_ignore_ascii_case(&group) {
        held.push(format!(
            "the resource group was {} and is {group}",
            before.resource_group_id
        ));
    }
    if !before.location.eq_ignore_ascii_case(&now.location) {
        held.push(format!("the region was {} and is {}", before.location, now.location));
    }
    if before.require_policy != now.require_policy {
        let needed = |needed| if needed { "was needed" } else { "was not needed" };
        held.push(format!(
            "a policy for each managed identity {} and now is not as before",
            needed(before.require_policy)
        ));
    }
    Ok(if held.is_empty() {
        Verdict::green("those by which bindings have what they have")
    } else {
        Verdict::yellow(
            "they changed, and bindings would lose by it: that is held until somebody says that it is meant",
        )
        .with_details(held)
        .detail("set them back; or say that it is meant, with the word that a binding's message has")
        .fix(reasons_of(MASS))
    })
}

pub(super) fn ready(facts: &Facts) -> Looked<Verdict> {
    let policies = seen(&facts.policies)?;
    let unready: Vec<String> = policies
        .iter()
        .filter_map(|policy| {
            let ready = policy
                .status
                .as_ref()
                .and_then(|status| status.condition(ConditionType::Ready));
            not_ready(ready).map(|why| format!("{}: {why}", policy.name_any()))
        })
        .collect();
    Ok(match (policies.len(), unready.is_empty()) {
        (0, _) => Verdict::green("there are none: bindings get identities in the operator's own place, and no roles"),
        (all, true) => Verdict::green(format!("{} ready", counted_policies(all))),
        (all, false) => Verdict::yellow(format!("{} of {all} not ready", unready.len()))
            .with_details(some(unready))
            .fix("kubectl describe workloadidentitypolicies"),
    })
}

fn not_ready(ready: Option<&Condition>) -> Option<String> {
    match ready {
        None => Some("the operator has not seen it".to_owned()),
        Some(condition) if condition.status == "True" => None,
        Some(condition) => Some(format!("{}: {}", condition.reason, condition.message)),
    }
}

pub(super) fn bindings(facts: &Facts) -> Looked<Verdict> {
    let bindings = facts.own_bindings()?;
    let elsewhere = seen(&facts.bindings)?.len().saturating_sub(bindings.len());
    let mut by_reason: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for binding in &bindings {
        let ready = binding
            .status
            .as_ref()
            .and_then(|status| status.condition(ConditionType::Ready));
        let reason = match ready {
            Some(condition) if condition.status == "True" => continue,
            Some(condition) => condition.reason.clone(),
            None => "NotSeen".to_owned(),
        };
        let place = format!("{}/{}", binding.namespace().unwrap_or_default(), binding.name_any());
        by_reason.entry(reason).or_insert((0, place)).0 += 1;
    }
    let unready: usize = by_reason.values().map(|(count, _)| count).sum();
    let mut verdict = match (bindings.len(), unready) {
        (0, _) => Verdict::green("there are none"),
        (all, 0) => Verdict::green(format!("{} ready", counted(all, "binding"))),
        (all, unready) => Verdict::yellow(format!("{unready} of {all} not ready")),
    };
    if elsewhere > 0 {
        let left = counted(elsewhere, "more binding");
        verdict = verdict.detail(format!(
            "{left} in namespaces in which its settings let the operator not act"
        ));
    }
    for (reason, (count, example)) in by_reason {
        let (namespace, name) = example.split_once('/').unwrap_or_default();
        verdict = verdict
            .detail(format!("{count} {reason}, such as {example}"))
            .fix(format!("kubectl wib status {name} --namespace {namespace}"));
    }
    Ok(verdict)
}
