//! The plan for a binding of which nothing is to be left: trust ends first, the identity goes last.

use wio_api::{DeletionPolicy, Reason};

use super::{Plan, Revocation, bound::release};
use crate::desired::DesiredRemoval;
use crate::fault::Blocked;
use crate::observed::{BoundBy, Observed, ObservedIdentity, PresentIdentity};

pub(super) fn plan(desired: &DesiredRemoval, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if desired.policy == DeletionPolicy::Orphan {
        return plan;
    }
    let prefix = desired.owner.credential_prefix();
    if let ObservedIdentity::Present(present) = &observed.identity {
        let ours = present
            .credentials
            .iter()
            .filter(|credential| prefix.owns(&credential.name));
        plan.revocations
            .extend(ours.map(|credential| Revocation::DeleteCredential(credential.name.clone())));
    }
    for (name, seen) in &observed.service_accounts {
        if seen.bound_by == BoundBy::Us {
            plan.revocations.push(release(name, seen));
        }
    }
    if let ObservedIdentity::Present(present) = &observed.identity {
        delete_identity(desired, present, &mut plan);
    }
    plan
}

fn delete_identity(desired: &DesiredRemoval, present: &PresentIdentity, plan: &mut Plan) {
    let ours_to_delete =
        desired.managed && desired.policy == DeletionPolicy::Delete && desired.owner.owns_exactly(&present.tags);
    if !ours_to_delete {
        return;
    }
    let prefix = desired.owner.credential_prefix();
    let mut foreign: Vec<&str> = present
        .credentials
        .iter()
        .map(|credential| &credential.name)
        .filter(|name| !prefix.owns(name))
        .map(super::CredentialName::as_str)
        .collect();
    // In whatever order Azure lists them, the message stays the same.
    foreign.sort_unstable();
    if foreign.is_empty() {
        plan.revocations.push(Revocation::DeleteIdentity);
    } else {
        plan.blocked.push(Blocked {
            reason: Reason::DeletionBlocked,
            message: format!(
                "{} is still used through federated credentials that are not of this binding: {}; delete them, or set \
                 deletionPolicy: RetainIdentity",
                desired.authorized.identity(),
                foreign.join(", ")
            ),
        });
    }
}
