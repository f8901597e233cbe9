//! The plan for the identity: whose it is, and whether it can be used.

use wio_api::{Reason, keys};

use super::steps::{GrantStep, Plan};
use crate::desired::{DesiredBinding, DesiredIdentity};
use crate::fault::Blocked;
use crate::observed::{
    IdentityFacts, Observed, ObservedCredential, ObservedIdentity, PresentIdentity, Tags, with_tags,
};
use crate::ownership::{Ownership, ownership};

/// Whether the identity can be used.
pub(super) enum Identity<'a> {
    /// It is there (with its facts) or will be when the plan's first step is done.
    Usable {
        facts: Option<&'a IdentityFacts>,
        credentials: &'a [ObservedCredential],
    },
    /// It cannot be used; the plan says why. Nothing is given through it, and what is ours on it and not wanted any more goes.
    Unusable { present: Option<&'a PresentIdentity> },
    /// It may not be used, and what is ours on it goes; the plan says why.
    Forfeited,
    /// It is the operator's own, which no binding may use: what is ours on it goes, whoever relies on it; the plan says why.
    Own,
}

/// Plans the identity, and tells whether it can be used.
pub(super) fn identity<'a>(desired: &DesiredBinding, observed: &'a Observed, plan: &mut Plan) -> Identity<'a> {
    let present = match &observed.azure.identity {
        ObservedIdentity::Absent => return absent(desired, plan),
        ObservedIdentity::Present(present) => present,
    };
    if observed.signed_in_as == Some(present.facts.client_id) {
        plan.blocked.push(own_identity(desired));
        return Identity::Own;
    }
    let assignments = observed.azure.role_assignments.known();
    let blocked = match ownership(desired, present, assignments) {
        Ownership::Usable => {
            retag(desired, present, None, plan);
            return usable(present);
        }
        Ownership::Free => {
            let adopted = (keys::ADOPTED_TAG.to_owned(), "true".to_owned());
            retag(desired, present, Some(adopted), plan);
            return usable(present);
        }
        Ownership::Untagged(blocked) | Ownership::Foreign(blocked) => {
            plan.blocked.push(blocked);
            return Identity::Unusable { present: Some(present) };
        }
        Ownership::Forfeited(blocked) => blocked,
    };
    plan.blocked.push(blocked);
    Identity::Forfeited
}

const fn usable(present: &PresentIdentity) -> Identity<'_> {
    Identity::Usable {
        facts: Some(&present.facts),
        credentials: present.credentials.as_slice(),
    }
}

fn absent(desired: &DesiredBinding, plan: &mut Plan) -> Identity<'static> {
    match &desired.identity {
        DesiredIdentity::Managed { location, tags, .. } => {
            plan.grants.push(GrantStep::CreateIdentity {
                location: location.clone(),
                tags: tags.clone(),
            });
            Identity::Usable {
                facts: None,
                credentials: &[],
            }
        }
        DesiredIdentity::Existing => {
            plan.blocked.push(Blocked {
                reason: Reason::IdentityNotFound,
                message: format!(
                    "{} does not exist; create it, or correct spec.identity.existing",
                    desired.granted.identity()
                ),
            });
            Identity::Unusable { present: None }
        }
    }
}

fn own_identity(desired: &DesiredBinding) -> Blocked {
    Blocked {
        reason: Reason::NotPermitted,
        message: format!(
            "{} is the identity of the operator itself, which no binding may have whatever a policy says; use another one",
            desired.granted.identity()
        ),
    }
}

/// Has a managed identity carry the tags that it should.
fn retag(desired: &DesiredBinding, present: &PresentIdentity, more: Option<(String, String)>, plan: &mut Plan) {
    let DesiredIdentity::Managed { tags, .. } = &desired.identity else {
        return;
    };
    let wanted: Tags = tags.clone().into_iter().chain(more).collect();
    let tags = with_tags(&present.tags, &wanted);
    plan.grants.extend(tags.map(|tags| GrantStep::TagIdentity { tags }));
}
