//! The plan for a binding whose service accounts are to be trusted.

use std::collections::BTreeSet;

use super::identity::{Identity, identity};
use super::steps::{GrantStep, Plan, Revocation};
use super::{credentials, export, removal, roles, service_accounts};
use crate::desired::{DesiredBinding, DesiredRemoval, Ending};
use crate::names::ServiceAccountName;
use crate::observed::{BoundBy, IdentityFacts, Observed, PresentIdentity};
use crate::own_cluster::Withheld;
use crate::sharing::Sharing;
use crate::traces::{Told, Traces};

pub(super) fn plan(desired: &DesiredBinding, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let (facts, present) = match identity(desired, observed, &mut plan) {
        Identity::Usable { facts, credentials } => (facts, credentials),
        Identity::Unusable { present } => {
            plan.revocations = unwanted(desired, present, observed);
            return plan;
        }
        Identity::Forfeited => {
            plan.revocations = forfeited(desired, desired.sharing.clone(), observed);
            return plan;
        }
        Identity::Own => {
            plan.revocations = forfeited(desired, desired.sharing.alone(), observed);
            return plan;
        }
    };
    let others = others_accounts(desired, observed, facts);
    let trusted = credentials::plan(desired, present, &others, &mut plan);
    // Before the service accounts, from which pods take the identity: one that starts then has its roles as early as can be.
    // Trust without a role does no harm, and a role without trust none either.
    let principal = facts.map(|facts| facts.principal_id);
    roles::assign(desired, principal, &observed.azure.role_assignments, &mut plan);
    service_accounts::release_unwanted(desired, observed, &mut plan);
    for account in &desired.service_accounts {
        if let Some(step) = service_accounts::apply(desired, account, observed, facts) {
            match step {
                // A client id without trust would give pods a token file that Entra refuses.
                Ok(step) if trusted.contains(&account.name) => plan.grants.push(step),
                Ok(_) => {}
                Err(blocked) => plan.blocked.push(blocked),
            }
        }
    }
    export::delete_unwanted(&desired.owner, desired.export.as_ref(), observed, &mut plan);
    export::apply(desired, facts, observed, &mut plan);
    if observed.azure.role_assignments.may_hide_ours() {
        plan.grants.retain(|step| !trusts_anew(step, observed));
    }
    if let Some(withheld) = &desired.withheld {
        withhold(withheld, observed.azure.identity.present().is_some(), &mut plan);
    }
    plan
}

/// Keeps back what may give the tokens of an identity by which the cluster acts: everything through one that stands, and roles by which one gets
/// them through any. What is right already needs nothing, and stays as it is.
fn withhold(withheld: &Withheld, stands: bool, plan: &mut Plan) {
    let before = plan.grants.len();
    plan.grants.retain(|step| match step {
        _ if stands => false,
        GrantStep::PutRoleAssignment(role) => !withheld.roles.contains(&role.definition()),
        _ => true,
    });
    if plan.grants.len() < before {
        plan.blocked.push(withheld.why.clone());
    }
}

/// What is the binding's by name and not wanted any more. It goes whatever the identity's tags say.
fn unwanted(desired: &DesiredBinding, present: Option<&PresentIdentity>, observed: &Observed) -> Vec<Revocation> {
    let mut plan = Plan::default();
    let credentials = present.map_or(&[][..], |present| &present.credentials);
    credentials::plan(desired, credentials, &BTreeSet::new(), &mut plan);
    let principal = present.map(|present| present.facts.principal_id);
    roles::assign(desired, principal, &observed.azure.role_assignments, &mut plan);
    service_accounts::release_unwanted(desired, observed, &mut plan);
    export::delete_unwanted(&desired.owner, desired.export.as_ref(), observed, &mut plan);
    plan.revocations
}

/// Whether a step lets somebody be trusted who is not yet. Nobody is while a role may stand unseen that is not permitted any more.
fn trusts_anew(step: &GrantStep, observed: &Observed) -> bool {
    match step {
        GrantStep::PutCredential(_) | GrantStep::ReplaceCredential { .. } => true,
        GrantStep::ApplyServiceAccount(account) => {
            let seen = observed.service_accounts.get(&account.name);
            !seen.is_some_and(|seen| seen.bound_by == BoundBy::Us)
        }
        GrantStep::CreateIdentity { .. }
        | GrantStep::TagIdentity { .. }
        | GrantStep::PutRoleAssignment(_)
        | GrantStep::ApplyExport(_) => false,
    }
}

/// The service accounts that are not the binding's to mark: no trust is given for them. The pods of such a one take their client id from
/// somebody else, and a binding that is stalled for it must not have it trusted all the same.
fn others_accounts(
    desired: &DesiredBinding,
    observed: &Observed,
    facts: Option<&IdentityFacts>,
) -> BTreeSet<ServiceAccountName> {
    let accounts = desired.service_accounts.iter();
    accounts
        .filter(|account| service_accounts::conflict(desired, account, observed, facts).is_some())
        .map(|account| account.name.clone())
        .collect()
}

/// What is taken away from an identity that may not be used: all of the binding's that is shown, and what its status tells of.
fn forfeited(desired: &DesiredBinding, sharing: Sharing, observed: &Observed) -> Vec<Revocation> {
    let removal = forfeit(desired, sharing);
    removal::plan(&removal, &removal.with_told(observed.clone(), None)).revocations
}

/// What of that a status tells of: what it made itself, and of what others made that of which it is known whose it is.
fn told_by(desired: &DesiredBinding, sharing: &Sharing) -> Vec<Told> {
    let prefix = desired.owner.credential_prefix();
    let is_known =
        |told: &&Told| prefix.owns(&told.credential.name) || sharing.knows_whose(&told.account, &told.credential);
    desired.told.iter().filter(is_known).cloned().collect()
}

/// The removal of all trust through an identity that may not be used; the identity stays.
fn forfeit(desired: &DesiredBinding, sharing: Sharing) -> DesiredRemoval {
    DesiredRemoval {
        revocable: desired.granted.revocable(),
        owner: desired.owner.clone(),
        recorded: desired.recorded,
        managed: true,
        ending: Ending::Stay,
        orphan_denied: None,
        wanted_by_others: BTreeSet::new(),
        traces: Traces {
            told: told_by(desired, &sharing),
            ..Traces::default()
        },
        elsewhere: None,
        sharing,
    }
}
