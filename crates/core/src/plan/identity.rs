//! The plan for the identity: whose it is, and whether it can be used.

use wio_api::{Reason, keys};

use super::steps::{GrantStep, Plan};
use crate::desired::{DesiredBinding, DesiredIdentity};
use crate::fault::Blocked;
use crate::observed::{IdentityFacts, Observed, ObservedCredential, ObservedIdentity, Tags, tag, with_tags};
use crate::owner::is_claimed;

/// Whether the identity can be used.
pub(super) enum Identity<'a> {
    /// It is there (with its facts) or will be when the plan's first step is done.
    Usable {
        facts: Option<&'a IdentityFacts>,
        credentials: &'a [ObservedCredential],
    },
    /// It cannot be used; the plan says why.
    Unusable,
    /// It may not be used, or not any more, and what is ours on it goes; the plan says why.
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
    if let DesiredIdentity::Managed { tags, .. } = &desired.identity {
        match ownership(desired, &present.tags) {
            Ownership::Ours => retag(tags, &present.tags, plan),
            Ownership::Free => {
                let adopted = (keys::ADOPTED_TAG.to_owned(), "true".to_owned());
                retag(
                    &tags.clone().into_iter().chain([adopted]).collect(),
                    &present.tags,
                    plan,
                );
            }
            Ownership::Forfeited(blocked) => {
                plan.blocked.push(blocked);
                return Identity::Forfeited;
            }
            Ownership::NotOurs(blocked) => {
                plan.blocked.push(blocked);
                return Identity::Unusable;
            }
        }
    }
    Identity::Usable {
        facts: Some(&present.facts),
        credentials: &present.credentials,
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
                    "{} does not exist; create it, or correct spec.identity.existing.resourceId",
                    desired.granted.identity()
                ),
            });
            Identity::Unusable
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

/// Whose an identity is that stands under the name of a managed one.
enum Ownership {
    Ours,
    /// It belongs to no binding and may be taken over.
    Free,
    /// It was taken over, which is not allowed any more.
    Forfeited(Blocked),
    NotOurs(Blocked),
}

fn ownership(desired: &DesiredBinding, tags: &Tags) -> Ownership {
    const POLICY: &str = "adopt: true in spec.managedIdentities of a WorkloadIdentityPolicy for this namespace";
    let id = desired.granted.identity();
    if desired.may_use(tags) {
        return Ownership::Ours;
    }
    let not_ours = |message| {
        Ownership::NotOurs(Blocked {
            reason: Reason::IdentityNotOwned,
            message,
        })
    };
    if desired.owner.owns(tags) {
        return Ownership::Forfeited(Blocked {
            reason: Reason::NotPermitted,
            message: format!(
                "{id} was taken over by this binding, and no policy allows that any more; ask the platform team to set {POLICY}, \
                 or delete the identity"
            ),
        });
    }
    if is_claimed(tags) {
        let whose = tag(tags, keys::BINDING_TAG).map_or_else(String::new, |binding| format!(" ({binding})"));
        return not_ours(format!(
            "{id} exists and carries the tags of another binding{whose}; delete it, or give the binding another \
             spec.identity.managed.name"
        ));
    }
    let asks = matches!(desired.identity, DesiredIdentity::Managed { adopt: true, .. });
    match (asks, desired.granted.may_adopt()) {
        (true, true) => Ownership::Free,
        (true, false) => not_ours(format!(
            "{id} exists and does not carry this binding's tags, and no policy allows to take it over; ask the platform team to \
             set {POLICY}, or give the binding another spec.identity.managed.name"
        )),
        (false, _) => not_ours(format!(
            "{id} exists and does not carry this binding's tags; delete it, give the binding another \
             spec.identity.managed.name, or take it over with spec.identity.managed.adopt: true, which needs {POLICY}"
        )),
    }
}

fn retag(wanted: &Tags, present: &Tags, plan: &mut Plan) {
    let tags = with_tags(present, wanted);
    plan.grants.extend(tags.map(|tags| GrantStep::TagIdentity { tags }));
}
