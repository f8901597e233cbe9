//! The plan for service accounts: who carries the client id, and who carries it no more.

use wio_api::{ConflictPolicy, Reason, keys};

use super::steps::{GrantStep, Plan, Revocation};
use crate::desired::{DesiredBinding, DesiredServiceAccount, Ending};
use crate::fault::{Blocked, HeldField, KubernetesCause, KubernetesFault};
use crate::names::{BindingUid, ServiceAccountName};
use crate::observed::{BoundBy, Held, IdentityFacts, Observed, ObservedServiceAccount};
use crate::sharing::BindingLabel;

/// Service accounts that are bound and no longer in the spec, unless another binding relies on them. They stay: only the end of the
/// binding deletes what it created.
pub(super) fn release_unwanted(desired: &DesiredBinding, observed: &Observed, plan: &mut Plan) {
    let released = observed.service_accounts.iter().filter_map(|(name, seen)| {
        if desired.wants(name) {
            return None;
        }
        let label = desired
            .sharing
            .label_to_release(&desired.owner, name, seen, observed.azure.identity.present())?;
        Some(release(name, seen, label, Ending::Stay))
    });
    plan.revocations.extend(released);
}

pub(super) fn release(
    name: &ServiceAccountName,
    seen: &ObservedServiceAccount,
    label: &BindingUid,
    ending: Ending,
) -> Revocation {
    Revocation::ReleaseServiceAccount {
        name: name.clone(),
        uid: seen.uid.clone(),
        label: label.clone(),
        delete: seen.created_by_us && ending.deletes_accounts(),
    }
}

/// The step that brings a service account to what is wanted, or why it cannot be had; none when it is as wanted.
pub(super) fn apply(
    desired: &DesiredBinding,
    account: &DesiredServiceAccount,
    observed: &Observed,
    facts: Option<&IdentityFacts>,
) -> Option<Result<GrantStep, Blocked>> {
    if let Some(conflict) = conflict(desired, account, observed, facts) {
        return Some(Err(conflict));
    }
    match observed.service_accounts.get(&account.name) {
        None if !account.create => Some(Err(Blocked {
            reason: Reason::ServiceAccountNotFound,
            message: format!(
                "service account {} does not exist; create it, or set create: true",
                account.name
            ),
        })),
        Some(seen) if facts.is_some_and(|facts| carries(desired, seen, account, facts)) => None,
        _ => Some(Ok(GrantStep::ApplyServiceAccount(account.clone()))),
    }
}

/// Why a service account is not the binding's to mark: another binding's label is on it, or what another field manager wrote. None when
/// it carries already what it should.
pub(crate) fn conflict(
    desired: &DesiredBinding,
    account: &DesiredServiceAccount,
    observed: &Observed,
    facts: Option<&IdentityFacts>,
) -> Option<Blocked> {
    let seen = observed.service_accounts.get(&account.name)?;
    if facts.is_some_and(|facts| carries(desired, seen, account, facts)) {
        return None;
    }
    label_conflict(desired, account, seen).or_else(|| held_by_others(account, seen, facts))
}

/// Why a service account that no binding marked yet cannot be marked: others hold keys of ours with other values. Of one that carries our
/// label the API server says it when it is written.
fn held_by_others(
    account: &DesiredServiceAccount,
    seen: &ObservedServiceAccount,
    facts: Option<&IdentityFacts>,
) -> Option<Blocked> {
    if account.conflict_policy == ConflictPolicy::Force || seen.bound_by == BoundBy::Us {
        return None;
    }
    let wanted = |key: &str| match key {
        // Of an identity that is still to be made nobody can know the client id.
        keys::CLIENT_ID_ANNOTATION => Wanted::This(facts.map(|facts| facts.client_id.to_string())),
        keys::TENANT_ID_ANNOTATION => {
            facts.map_or(Wanted::Any, |facts| Wanted::This(Some(facts.tenant_id.to_string())))
        }
        keys::TOKEN_EXPIRATION_ANNOTATION => account
            .token_expiration
            .map_or(Wanted::Any, |seconds| Wanted::This(Some(seconds.to_string()))),
        _ => Wanted::This(None),
    };
    let in_the_way = seen.held.iter().filter(|(key, held)| wanted(key).differs(&held.value));
    let fields: Vec<HeldField> = in_the_way.map(|(key, held)| held_field(key, held)).collect();
    if fields.is_empty() {
        return None;
    }
    let fault = KubernetesFault {
        operation: format!("annotate the service account {}", account.name),
        cause: KubernetesCause::FieldsHeld(fields),
    };
    Some(Blocked {
        reason: Reason::ServiceAccountConflict,
        message: fault.to_string(),
    })
}

/// The value that a label or annotation is to have.
enum Wanted {
    /// Whatever stands there may stay.
    Any,
    /// This one; none when it cannot stand there yet.
    This(Option<String>),
}

impl Wanted {
    fn differs(&self, value: &str) -> bool {
        match self {
            Self::Any => false,
            Self::This(wanted) => wanted.as_deref() != Some(value),
        }
    }
}

fn held_field(key: &str, held: &Held) -> HeldField {
    let kind = if key == keys::BOUND_BY_LABEL {
        "labels"
    } else {
        "annotations"
    };
    HeldField {
        manager: held.manager.clone(),
        field: format!(".metadata.{kind}.{key}"),
        empty: held.value.is_empty(),
    }
}

/// Why a service account that carries another binding's label cannot be had.
fn label_conflict(
    desired: &DesiredBinding,
    account: &DesiredServiceAccount,
    seen: &ObservedServiceAccount,
) -> Option<Blocked> {
    let BoundBy::Other { binding, uid } = &seen.bound_by else {
        return None;
    };
    let message = match label_of_other(desired, uid, account) {
        BindingLabel::Shared | BindingLabel::Left => return None,
        BindingLabel::Taken => format!(
            "service account {} is bound by WorkloadIdentityBinding {binding}; a service account has one client id, \
             so remove it from one of the two",
            account.name
        ),
        BindingLabel::Differs => format!(
            "service account {} is bound to the same identity by WorkloadIdentityBinding {binding}; make spec.audience and its \
             tokenExpirationSeconds the same in both, or remove it from one of the two",
            account.name
        ),
    };
    Some(Blocked {
        reason: Reason::ServiceAccountConflict,
        message,
    })
}

/// Whether a service account carries everything that the pod webhook reads, put there by us or by another binding that wants the same.
pub(crate) fn carries(
    desired: &DesiredBinding,
    seen: &ObservedServiceAccount,
    account: &DesiredServiceAccount,
    facts: &IdentityFacts,
) -> bool {
    let labelled = match &seen.bound_by {
        BoundBy::Us => true,
        // The other one's mark serves this one as long as it says what this one wants, whatever else the two differ in.
        BoundBy::Other { uid, .. } => {
            matches!(
                label_of_other(desired, uid, account),
                BindingLabel::Shared | BindingLabel::Differs
            )
        }
        BoundBy::Nobody | BoundBy::Gone { .. } => false,
    };
    labelled
        && seen.client_id.as_deref() == Some(&facts.client_id.to_string())
        && seen.tenant_id.as_deref() == Some(&facts.tenant_id.to_string())
        && seen.token_expiration == account.token_expiration.map(|seconds| seconds.to_string())
}

fn label_of_other(desired: &DesiredBinding, uid: &BindingUid, account: &DesiredServiceAccount) -> BindingLabel {
    match desired.claim(account) {
        Some(wanted) => desired.sharing.label(uid, &wanted),
        None => BindingLabel::Left,
    }
}
