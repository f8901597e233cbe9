//! From what was gathered to the report. Pure.

use std::collections::BTreeMap;

use kube::ResourceExt;
use wio_api::{
    BoundServiceAccount, Condition, ConditionType, IdentityStatus, RestartStatus, WorkloadIdentityBinding,
    WorkloadIdentityBindingStatus, keys,
};
use wio_core::names::ClientId;
use wio_core::workloads::{NoToken, PodOwner, PodToken, is_over, judge};

use super::data::{Account, AccountState, Phase, PodReport, Report, Restarts, Role};
use super::gather::Surroundings;
use super::next_step::next_step;
use crate::pods::PodGlance;

/// The conditions of the parts, in the order in which they come about.
const PARTS: [ConditionType; 6] = [
    ConditionType::Authorized,
    ConditionType::IdentityReady,
    ConditionType::FederatedCredentialsReady,
    ConditionType::RoleAssignmentsReady,
    ConditionType::ServiceAccountsReady,
    ConditionType::TokenExchangeVerified,
];

/// The report about a binding.
pub(crate) fn report(binding: &WorkloadIdentityBinding, around: &Surroundings) -> Report {
    let nothing = WorkloadIdentityBindingStatus::default();
    let status = binding.status.as_ref().unwrap_or(&nothing);
    let namespace = binding.namespace().unwrap_or_default();
    let not_judged = around.not_judged();
    let judged = not_judged.is_empty();
    let not_looked_at = around.not_looked_at.iter().cloned().chain(not_judged).collect();
    let asked = &binding.spec.service_accounts;
    let mut report = Report {
        phase: phase(binding, status, around.is_active(&namespace)),
        ready: status.condition(ConditionType::Ready).cloned(),
        waits_for: waits_for(status),
        authorized_by: status.authorized_by.clone(),
        identity: status.identity.clone(),
        issuer: status.issuer.clone(),
        credential_usage: status.federated_credential_usage.clone(),
        shares_identity_with: sharers(binding, status.identity.as_ref(), around),
        roles: roles(binding, status),
        service_accounts: asked
            .iter()
            .map(|one| account(&namespace, one, status, around))
            .collect(),
        workloads: status.workloads.clone().filter(|_| !around.sees_pods()),
        restarts: restarts(binding, status),
        name: binding.name_any(),
        namespace,
        not_looked_at,
        well: false,
        next_step: None,
    };
    report.next_step = next_step(&report);
    // Whoever may not see the pods must not be told that all of them have their token.
    report.well = report.next_step.is_none() && judged;
    report
}

/// Of the client id as it is: what was told of another one is over.
fn restarts(binding: &WorkloadIdentityBinding, status: &WorkloadIdentityBindingStatus) -> Option<Restarts> {
    binding.spec.rollout?;
    let client_id = client_id(status);
    let Some(workloads) = &status.workloads else {
        let told = status.condition(ConditionType::WorkloadsReady);
        let told = told.map(|condition| condition.message.clone());
        let unknown = told.unwrap_or_else(|| {
            "the operator did not look at the pods yet, or was not told to: its setting --workloads".to_owned()
        });
        return Some(Restarts {
            unknown: Some(unknown),
            owners: Vec::new(),
        });
    };
    let of_now = |one: &&RestartStatus| client_id.is_some() && one.client_id.parse().ok() == client_id;
    Some(Restarts {
        unknown: None,
        owners: workloads.restarts.iter().filter(of_now).cloned().collect(),
    })
}

fn client_id(status: &WorkloadIdentityBindingStatus) -> Option<ClientId> {
    status.identity.as_ref()?.client_id.as_deref()?.parse().ok()
}

fn phase(binding: &WorkloadIdentityBinding, status: &WorkloadIdentityBindingStatus, is_active: bool) -> Phase {
    if !is_active {
        Phase::LeftAlone
    } else if binding.metadata.deletion_timestamp.is_some() {
        Phase::Deleting
    } else if binding.spec.suspend {
        Phase::Suspended
    } else if status.observed_generation == binding.metadata.generation {
        Phase::Observed
    } else {
        Phase::NotObserved
    }
}

fn waits_for(status: &WorkloadIdentityBindingStatus) -> Vec<Condition> {
    let conditions = PARTS.iter().filter_map(|part| status.condition(*part));
    conditions
        .filter(|condition| condition.status != "True")
        .cloned()
        .collect()
}

/// The other bindings that have or ask for the same identity.
fn sharers(binding: &WorkloadIdentityBinding, identity: Option<&IdentityStatus>, around: &Surroundings) -> Vec<String> {
    let Some(identity) = identity else {
        return Vec::new();
    };
    let others = around.users_of(&identity.resource_id);
    let others = others.filter(|other| other.uid() != binding.uid());
    others
        .map(|other| format!("{}/{}", other.namespace().unwrap_or_default(), other.name_any()))
        .collect()
}

fn roles(binding: &WorkloadIdentityBinding, status: &WorkloadIdentityBindingStatus) -> Vec<Role> {
    let given = &status.role_assignments;
    let asked = binding.spec.role_assignments.iter().map(|asked| {
        let mut given = given.iter();
        let assignment = given.find(|one| one.role == asked.role && one.scope.eq_ignore_ascii_case(&asked.scope));
        Role {
            name: asked.role.clone(),
            scope: asked.scope.clone(),
            assignment: assignment.cloned(),
        }
    });
    asked.collect()
}

fn account(
    namespace: &str,
    asked: &BoundServiceAccount,
    status: &WorkloadIdentityBindingStatus,
    around: &Surroundings,
) -> Account {
    let credential = status
        .federated_credentials
        .iter()
        .find(|one| one.service_account == asked.name);
    let recorded = status.service_accounts.iter().find(|one| one.name == asked.name);
    let client_id = client_id(status);
    let workloads = status.workloads.as_ref();
    let restarts = workloads.map_or(&[][..], |workloads| &workloads.restarts);
    let state = match around.account(namespace, &asked.name) {
        Ok(None) => AccountState::Missing,
        Ok(Some(found)) => annotated(found, client_id),
        Err(_) => AccountState::Unknown,
    };
    let pods = around.pods_of(namespace, &asked.name).ok();
    let running = |pods: &[PodGlance]| {
        let pods = pods.iter().filter(|pod| !pod.status.as_ref().is_some_and(is_over));
        pods.map(|pod| of_pod(pod, client_id, restarts)).collect()
    };
    Account {
        name: asked.name.clone(),
        state,
        credential: credential
            .map(|one| one.name.clone())
            .or_else(|| recorded.and_then(|one| one.foreign_credential.clone())),
        subject: credential.map(|one| one.subject.clone()),
        audience: credential.map(|one| one.audience.clone()),
        pods: pods.map(running),
    }
}

fn annotated(found: &BTreeMap<String, String>, client_id: Option<ClientId>) -> AccountState {
    let carries = found.get(keys::CLIENT_ID_ANNOTATION);
    match (carries, client_id) {
        (_, None) => AccountState::Unknown,
        (Some(carries), Some(ours)) if carries.parse().is_ok_and(|carries: ClientId| carries == ours) => {
            AccountState::Annotated
        }
        (carries, Some(_)) => AccountState::OtherClientId(carries.cloned()),
    }
}

fn of_pod(pod: &PodGlance, client_id: Option<ClientId>, restarts: &[RestartStatus]) -> PodReport {
    let token = client_id.map(|id| judge(pod.labels(), pod.annotations(), &pod.spec, id));
    let (has_token, why) = match token {
        None => (None, None),
        Some(PodToken::Given) => (Some(true), None),
        Some(PodToken::Missing(why)) => (Some(false), Some(why)),
    };
    PodReport {
        name: pod.name_any(),
        asks: why != Some(NoToken::NotAsked),
        has_token,
        next_step: why.as_ref().map(|why| {
            let owner = PodOwner::of(&pod.metadata).to_string();
            wio_core::workloads::next_step(why, &owner, restarts).to_owned()
        }),
        why: why.map(|why| why.to_string()),
    }
}
