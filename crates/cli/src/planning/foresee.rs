//! What becomes of a binding. Pure: Azure is as it was read or as the status tells.

use std::collections::BTreeMap;

use serde::Serialize;
use wio_core::active_namespaces::left_alone;
use wio_core::binding::Binding;
use wio_core::case::Case;
use wio_core::desired::Desired;
use wio_core::known_state;
use wio_core::names::{ConfigMapName, IdentityId, ServiceAccountName};
use wio_core::observed::{
    AzureState, Observed, ObservedExport, ObservedIdentity, ObservedRoleAssignments, ObservedServiceAccount,
};
use wio_core::plan::{GrantStep, Plan, Revocation, plan};
use wio_core::verdict::{Verdict, verdict};
use wio_core::verification::Proof;

/// A binding as it is and as it would be.
pub(crate) struct Asked<'a> {
    /// The case as it is; none of a binding that is not there yet.
    pub(crate) before: Option<&'a Case>,
    /// The case as it would be.
    pub(crate) after: &'a Case,
    /// Its service accounts.
    pub(crate) accounts: BTreeMap<ServiceAccountName, ObservedServiceAccount>,
    /// The state of Azure, where it was read.
    pub(crate) azure: Option<AzureState>,
}

/// The forecast for a binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Forecast {
    pub(crate) verdict: Word,
    /// Why, where the word does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The identity that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identity: Option<String>,
    /// What of Azure the forecast rests on.
    pub(crate) azure: Basis,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) takes_away: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) gives: Vec<String>,
    /// The service accounts whose tokens are exchanged with Entra, once all that is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) proves: Vec<String>,
    /// The owners of pods that the operator would restart, where it may, once all that is done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) restarts: Vec<String>,
    /// What cannot be done until somebody else acts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) blocked: Vec<String>,
}

/// The verdict, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Word {
    /// It may have what it asks for.
    Granted,
    /// It may not, and what it has is taken away.
    Denied,
    /// Nothing is given and nothing is taken away.
    Held,
    /// Nothing is decided or written: the operator does not act in its namespace.
    LeftAlone,
    /// It may have what it asks for, and nothing is written.
    Suspended,
    /// It goes, and what it had with it.
    Deleted,
    /// It goes, and what it had stays.
    Orphaned,
    /// It goes, and had nothing.
    Released,
}

/// What of Azure a forecast rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Basis {
    /// It was read.
    Read,
    /// It is as the status of a binding that is ready tells.
    Status,
    /// Nothing was ever made for it.
    Nothing,
    /// It matters, and is not known.
    Unknown,
    /// It does not matter.
    NotNeeded,
}

/// Foresees what becomes of a binding.
pub(crate) fn foresee(asked: Asked<'_>) -> Forecast {
    let binding = &asked.after.candidate.binding;
    let namespace = binding.owner.namespace.as_str();
    if !asked.after.rules.config.namespaces.contains(namespace) {
        return Forecast::without_plan(Word::LeftAlone, Some(left_alone(namespace)));
    }
    let desired = match verdict(asked.after) {
        Verdict::Pursue(desired) => *desired,
        Verdict::Orphan(_) => return Forecast::without_plan(Word::Orphaned, None),
        Verdict::Release(_) => return Forecast::without_plan(Word::Released, None),
        Verdict::Hold(why) => {
            return Forecast::without_plan(Word::Held, Some(format!("{}: {}", why.reason, why.message)));
        }
    };
    let (word, why) = word(&desired);
    let identity = desired.revocable().identity().clone();
    let (state, basis) = match (asked.azure, known(asked.before, binding)) {
        (Some(state), _) => (state, Basis::Read),
        (None, Some((state, basis))) => (state, basis),
        (None, None) => {
            return Forecast {
                why,
                identity: Some(identity.to_string()),
                azure: Basis::Unknown,
                ..Forecast::without_plan(word, None)
            };
        }
    };
    let observed = Observed {
        exports: exports(binding, &state),
        azure: state,
        service_accounts: asked.accounts,
        signed_in_as: None,
    };
    let plan = plan(&desired, &observed);
    Forecast {
        why,
        azure: basis,
        proves: proves(asked.after, &desired, (&plan, &observed)),
        ..Forecast::of(word, &identity, &plan)
    }
}

/// Whose tokens are exchanged: nobody's before everything else is done.
fn proves(case: &Case, desired: &Desired, (plan, observed): (&Plan, &Observed)) -> Vec<String> {
    if !plan.blocked.is_empty() {
        return Vec::new();
    }
    let recorded = &case.candidate.binding.recorded.exchanges;
    let accounts = Proof::foreseen(desired, observed, recorded, case.now);
    accounts.iter().map(ToString::to_string).collect()
}

/// The ConfigMaps that the status names, as they were written: they are not read.
fn exports(binding: &Binding, azure: &AzureState) -> BTreeMap<ConfigMapName, ObservedExport> {
    let holds = azure.identity.present().map(|present| present.facts);
    let seen = |name: &ConfigMapName| {
        let written = ObservedExport {
            uid: "recorded".parse().ok()?,
            ours: true,
            owned: true,
            holds,
        };
        Some((name.clone(), written))
    };
    binding.recorded.exports.iter().filter_map(seen).collect()
}

/// The identity whose state in Azure matters; none when none does.
pub(crate) fn in_doubt(after: &Case) -> Option<IdentityId> {
    match verdict(after) {
        Verdict::Pursue(desired) => Some(desired.revocable().identity().clone()),
        Verdict::Orphan(_) | Verdict::Release(_) | Verdict::Hold(_) => None,
    }
}

fn word(desired: &Desired) -> (Word, Option<String>) {
    match desired {
        Desired::Bound(bound) if bound.suspended => (Word::Suspended, None),
        Desired::Bound(_) => (Word::Granted, None),
        Desired::Denied(denial) => (Word::Denied, Some(denial.why().to_string())),
        Desired::Gone(_) => (Word::Deleted, None),
    }
}

/// The state of Azure that is known without a read.
fn known(before: Option<&Case>, after: &Binding) -> Option<(AzureState, Basis)> {
    let nothing = || AzureState {
        identity: ObservedIdentity::Absent,
        role_assignments: ObservedRoleAssignments::read(Vec::new()),
    };
    if !after.may_have_something() {
        return Some((nothing(), Basis::Nothing));
    }
    let before = before?;
    let Verdict::Pursue(desired) = verdict(before) else {
        return None;
    };
    let Desired::Bound(bound) = *desired else { return None };
    let state = known_state::from_status(&bound, &before.candidate.binding)?;
    Some((state, Basis::Status))
}

// === impl Forecast ===

impl Forecast {
    const fn without_plan(verdict: Word, why: Option<String>) -> Self {
        Self {
            verdict,
            why,
            identity: None,
            azure: Basis::NotNeeded,
            takes_away: Vec::new(),
            gives: Vec::new(),
            proves: Vec::new(),
            restarts: Vec::new(),
            blocked: Vec::new(),
        }
    }

    fn of(verdict: Word, identity: &IdentityId, plan: &Plan) -> Self {
        let writes = verdict != Word::Suspended;
        let takes = plan.revocations.iter().filter(|_| writes);
        let gives = plan.grants.iter().filter(|_| writes);
        Self {
            identity: Some(identity.to_string()),
            takes_away: takes.map(|step| taken(step, identity)).collect(),
            gives: gives.map(|step| given(step, identity)).collect(),
            blocked: plan
                .blocked
                .iter()
                .map(|one| format!("{}: {}", one.reason, one.message))
                .collect(),
            ..Self::without_plan(verdict, None)
        }
    }

    /// Whether the same comes of both, whatever the words.
    pub(crate) fn comes_to(&self, other: &Self) -> bool {
        self.verdict == other.verdict
            && (&self.takes_away, &self.gives, &self.proves) == (&other.takes_away, &other.gives, &other.proves)
            && self.blocked.len() == other.blocked.len()
    }

    /// Whether anything would be written, be asked of Entra, or be refused.
    pub(crate) const fn changes_something(&self) -> bool {
        let writes = !self.takes_away.is_empty() || !self.gives.is_empty();
        writes || !self.proves.is_empty() || !self.restarts.is_empty() || !self.blocked.is_empty()
    }
}

fn taken(step: &Revocation, identity: &IdentityId) -> String {
    match step {
        Revocation::DeleteIdentity => format!("managed identity {}", identity.name),
        Revocation::ReleaseServiceAccount { name, delete: true, .. } => format!("service account {name}"),
        Revocation::DeleteCredential(_)
        | Revocation::DeleteRoleAssignment { .. }
        | Revocation::ReleaseServiceAccount { .. }
        | Revocation::DeleteExport { .. } => step.to_string(),
    }
}

fn given(step: &GrantStep, identity: &IdentityId) -> String {
    match step {
        GrantStep::CreateIdentity { location, .. } => format!("managed identity {} in {location}", identity.name),
        GrantStep::TagIdentity { .. } => format!("tags of managed identity {}", identity.name),
        GrantStep::PutCredential(_)
        | GrantStep::ReplaceCredential { .. }
        | GrantStep::PutRoleAssignment(_)
        | GrantStep::ApplyServiceAccount(_)
        | GrantStep::ApplyExport(_) => step.to_string(),
    }
}
