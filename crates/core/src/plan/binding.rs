//! The plan for a binding whose service accounts are to be trusted.

use super::identity::{Identity, identity};
use super::steps::{GrantStep, Plan};
use super::{credentials, removal, roles, service_accounts};
use crate::desired::{DesiredBinding, DesiredRemoval, Ending};
use crate::observed::{BoundBy, Observed};
use crate::sharing::Sharing;

pub(super) fn plan(desired: &DesiredBinding, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let (facts, present) = match identity(desired, observed, &mut plan) {
        Identity::Usable { facts, credentials } => (facts, credentials),
        // Nothing is given through an identity that is not the one meant, and nothing of it is touched.
        Identity::Unusable => {
            service_accounts::release_unwanted(desired, observed, &mut plan);
            return plan;
        }
        Identity::Forfeited => {
            plan.revocations = removal::plan(&forfeit(desired, desired.sharing.clone()), observed).revocations;
            return plan;
        }
        Identity::Own => {
            plan.revocations = removal::plan(&forfeit(desired, desired.sharing.alone()), observed).revocations;
            return plan;
        }
    };
    let trusted = credentials::plan(desired, present, &mut plan);
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
    if observed.azure.role_assignments.may_hide_ours() {
        plan.grants.retain(|step| !trusts_anew(step, observed));
    }
    plan
}

/// Whether a step lets somebody be trusted who is not yet. Nobody is while a role may stand unseen that is not permitted any more.
fn trusts_anew(step: &GrantStep, observed: &Observed) -> bool {
    match step {
        GrantStep::PutCredential(_) => true,
        GrantStep::ApplyServiceAccount(account) => {
            let seen = observed.service_accounts.get(&account.name);
            !seen.is_some_and(|seen| seen.bound_by == BoundBy::Us)
        }
        GrantStep::CreateIdentity { .. } | GrantStep::TagIdentity { .. } | GrantStep::PutRoleAssignment(_) => false,
    }
}

/// The removal of all trust through an identity that may not be used; the identity stays.
fn forfeit(desired: &DesiredBinding, sharing: Sharing) -> DesiredRemoval {
    DesiredRemoval {
        revocable: desired.granted.revocable(),
        owner: desired.owner.clone(),
        managed: true,
        ending: Ending::Stay,
        orphan_denied: None,
        sharing,
    }
}
