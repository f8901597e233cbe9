//! Whose the identity is that stands under the name of the one that a binding asks for.
//!
//! Tags say whose it is, and anybody who may write them in Azure can change them. What was recorded says which identity was
//! meant: its principal id is given by Azure and cannot be had by another one.

use wio_api::{Reason, keys};

use crate::desired::{DesiredBinding, DesiredIdentity, DesiredRemoval};
use crate::fault::Blocked;
use crate::names::IdentityId;
use crate::observed::{AzureState, ObservedRoleAssignment, PresentIdentity, tag};
use crate::owner::{Owner, is_claimed, was_adopted};
use crate::recorded::RecordedIds;
use crate::sharing::Sharing;

/// Whose an identity is.
pub(crate) enum Ownership {
    /// It is the one meant: the binding's own, or somebody else's that it names as existing.
    Usable,
    /// It belongs to no binding and is to be taken over.
    Free,
    /// It is the one that was recorded, and lost the tags that say so. What stands on it stays, and nothing is added.
    Untagged(Blocked),
    /// Nothing says that it is the binding's.
    Foreign(Blocked),
    /// It is another's, cannot be told from another's, or may not be had any more: what is the binding's on it by name goes.
    Forfeited(Blocked),
}

/// How much of an identity was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Provenance {
    /// Nothing: whatever its tags say was written before anything of this binding was.
    Unrecorded,
    /// Its name, or the ids of another one that had the name: the tags may have been written over somebody else's.
    Announced,
    /// The very identity.
    Proven,
}

/// Whose the identity is that stands where a binding's should.
pub(crate) fn ownership(
    desired: &DesiredBinding,
    present: &PresentIdentity,
    assignments: &[ObservedRoleAssignment],
) -> Ownership {
    let DesiredIdentity::Managed { adopt: asks, .. } = desired.identity else {
        return Ownership::Usable;
    };
    let words = Words(desired.granted.identity());
    let provenance = Provenance::of(desired.recorded, present);
    let adopts = asks && desired.granted.may_adopt();
    if desired.owner.owns(&present.tags) {
        if was_adopted(&present.tags) && !desired.granted.may_adopt() {
            return Ownership::Forfeited(words.adoption_withdrawn());
        }
        return match others(&desired.owner, &desired.sharing, present, assignments) {
            Some(others) if provenance == Provenance::Announced && !adopts => {
                Ownership::Forfeited(words.used_before(&others))
            }
            _ => Ownership::Usable,
        };
    }
    if desired.owner.is_contradicted_by(&present.tags) {
        return Ownership::Forfeited(words.of_another(present));
    }
    let proven = provenance == Provenance::Proven;
    if adopts && (proven || !is_claimed(&present.tags)) {
        return Ownership::Free;
    }
    if proven {
        return Ownership::Untagged(words.untagged(desired));
    }
    Ownership::Foreign(if is_claimed(&present.tags) {
        words.half_tagged()
    } else {
        words.foreign(asks)
    })
}

/// The identity, when it is the one meant.
pub(crate) fn usable<'a>(desired: &DesiredBinding, azure: &'a AzureState) -> Option<&'a PresentIdentity> {
    owned_as(desired, azure, |ownership| matches!(ownership, Ownership::Usable))
}

/// The identity, when it is the one meant or was it: what stands on it works, though nothing may be changed.
pub(crate) fn standing<'a>(desired: &DesiredBinding, azure: &'a AzureState) -> Option<&'a PresentIdentity> {
    owned_as(desired, azure, |ownership| {
        matches!(ownership, Ownership::Usable | Ownership::Untagged(_))
    })
}

fn owned_as<'a>(
    desired: &DesiredBinding,
    azure: &'a AzureState,
    is_so: impl Fn(&Ownership) -> bool,
) -> Option<&'a PresentIdentity> {
    let assignments = azure.role_assignments.known();
    let present = azure.identity.present()?;
    is_so(&ownership(desired, present, assignments)).then_some(present)
}

/// Whether an identity is so certainly the binding's that it may be deleted although others use it: it is the one that was
/// recorded, or nothing was, so that its tags were never written over another's.
pub(crate) fn is_certain(desired: &DesiredRemoval, present: &PresentIdentity) -> bool {
    Provenance::of(desired.recorded, present) != Provenance::Announced
}

/// Whom else an identity serves, in words; none when nobody. What is shared within the namespace is not anybody else's.
fn others(
    owner: &Owner,
    sharing: &Sharing,
    present: &PresentIdentity,
    assignments: &[ObservedRoleAssignment],
) -> Option<String> {
    let credentials = present
        .credentials
        .iter()
        .filter(|credential| !sharing.owns(credential) && sharing.relied_on_by(credential).is_none())
        .map(|credential| format!("federated credential {}", credential.name));
    let principal = present.facts.principal_id;
    let roles = assignments
        .iter()
        .filter(|assignment| assignment.principal == principal && !owner.owns_assignment(assignment))
        .map(|assignment| format!("role {assignment}"));
    let mut others: Vec<String> = credentials.chain(roles).collect();
    others.sort();
    others.dedup();
    (!others.is_empty()).then(|| others.join(", "))
}

// === impl Provenance ===

impl Provenance {
    fn of(recorded: Option<RecordedIds>, present: &PresentIdentity) -> Self {
        match recorded {
            None => Self::Unrecorded,
            Some(ids) if ids.principal == Some(present.facts.principal_id) => Self::Proven,
            Some(_) => Self::Announced,
        }
    }
}

/// What is told about an identity that is not the one meant.
struct Words<'a>(&'a IdentityId);

impl Words<'_> {
    const POLICY: &'static str = "adopt: true in spec.managedIdentities of a WorkloadIdentityPolicy for this namespace";

    fn adoption_withdrawn(&self) -> Blocked {
        let (id, policy) = (self.0, Self::POLICY);
        Blocked {
            reason: Reason::NotPermitted,
            message: format!(
                "{id} was taken over by this binding, and no policy allows that any more; ask the platform team to set {policy}, or \
                 delete the identity"
            ),
        }
    }

    fn used_before(&self, others: &str) -> Blocked {
        let (id, policy) = (self.0, Self::POLICY);
        not_owned(format!(
            "{id} carries this binding's tags, but it was in use before the operator is sure to have created it ({others}); have \
             that removed, delete the identity, or take it over with spec.identity.managed.adopt: true, which needs {policy}"
        ))
    }

    fn of_another(&self, present: &PresentIdentity) -> Blocked {
        let whose = tag(&present.tags, keys::BINDING_TAG).map_or_else(String::new, |binding| format!(" ({binding})"));
        let cluster = tag(&present.tags, keys::CLUSTER_TAG)
            .map_or_else(String::new, |cluster| format!(" of the cluster with id {cluster}"));
        not_owned(format!(
            "{id} carries the tags of another binding{whose}{cluster}; what this binding had on it is taken away. Delete the identity, \
             or give the binding another spec.identity.managed.name",
            id = self.0,
        ))
    }

    /// The very command: the portal replaces tags one by one, and the obvious one replaces all others.
    fn untagged(&self, desired: &DesiredBinding) -> Blocked {
        let DesiredIdentity::Managed { tags, .. } = &desired.identity else {
            return not_owned(format!("{} lost its tags", self.0));
        };
        let ours: Vec<String> = tags
            .iter()
            .filter(|(name, _)| name.starts_with(wio_api::GROUP))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        not_owned(format!(
            "{id} is the identity of this binding, and the tags that say so were removed; what it has stays, and nothing is changed. \
             Put them back with: az tag update --operation merge --resource-id {id} --tags {tags}",
            id = self.0,
            tags = ours.join(" "),
        ))
    }

    fn half_tagged(&self) -> Blocked {
        not_owned(format!(
            "{} exists and carries tags of the operator, but not all that say whose it is; delete it, or give the binding another \
             spec.identity.managed.name",
            self.0
        ))
    }

    fn foreign(&self, asks: bool) -> Blocked {
        let (id, policy) = (self.0, Self::POLICY);
        not_owned(if asks {
            format!(
                "{id} exists and does not carry this binding's tags, and no policy allows to take it over; ask the platform team to set \
                 {policy}, or give the binding another spec.identity.managed.name"
            )
        } else {
            format!(
                "{id} exists and does not carry this binding's tags; delete it, give the binding another spec.identity.managed.name, or \
                 take it over with spec.identity.managed.adopt: true, which needs {policy}"
            )
        })
    }
}

const fn not_owned(message: String) -> Blocked {
    Blocked {
        reason: Reason::IdentityNotOwned,
        message,
    }
}
