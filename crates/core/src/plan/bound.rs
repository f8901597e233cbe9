//! The plan for a binding whose service accounts are to be trusted.

use std::collections::BTreeSet;

use wio_api::{DeletionPolicy, Reason, keys};

use super::{GrantStep, MAX_CREDENTIALS, Plan, Revocation, removal, roles};
use crate::desired::{
    DesiredBinding, DesiredCredential, DesiredIdentity, DesiredRemoval, DesiredServiceAccount, is_claimed,
};
use crate::fault::Blocked;
use crate::names::{BindingUid, CredentialName, ServiceAccountName};
use crate::observed::{
    BoundBy, IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedServiceAccount, Tags, tag,
};
use crate::sharing::{BindingLabel, Sharer};

pub(super) fn plan(desired: &DesiredBinding, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let (facts, credentials) = match identity(desired, &observed.identity, &mut plan) {
        Identity::Usable { facts, credentials } => (facts, credentials),
        // Nothing is given through an identity that is not the one meant, and nothing of it is touched.
        Identity::Unusable => {
            release_accounts(desired, observed, &mut plan);
            return plan;
        }
        Identity::Forfeited => {
            plan.revocations = removal::plan(&forfeit(desired), observed).revocations;
            return plan;
        }
    };
    let trusted = trust(desired, credentials, &mut plan);
    // Before the service accounts, from which pods take the identity: one that starts then has its roles as early as can be.
    // Trust without a role does no harm, and a role without trust none either.
    roles::assign(
        &desired.owner,
        &desired.roles,
        facts.map(|facts| facts.principal_id),
        &observed.role_assignments,
        &mut plan,
    );
    release_accounts(desired, observed, &mut plan);
    for account in &desired.service_accounts {
        let seen = observed.service_accounts.get(&account.name);
        apply_account(
            desired,
            account,
            seen,
            facts,
            trusted.contains(&account.name),
            &mut plan,
        );
    }
    plan
}

enum Identity<'a> {
    /// It is there (with its facts) or will be when the plan's first step is done.
    Usable {
        facts: Option<&'a IdentityFacts>,
        credentials: &'a [ObservedCredential],
    },
    /// It cannot be used; the plan says why.
    Unusable,
    /// It may not be used, or not any more, and what is ours on it goes; the plan says why.
    Forfeited,
}

/// What is trusted goes, and the identity stays.
fn forfeit(desired: &DesiredBinding) -> DesiredRemoval {
    DesiredRemoval {
        authorized: desired.authorized.revoking(),
        owner: desired.owner.clone(),
        managed: true,
        policy: DeletionPolicy::RetainIdentity,
        despite_users: false,
        sharing: desired.sharing.clone(),
    }
}

fn identity<'a>(desired: &DesiredBinding, observed: &'a ObservedIdentity, plan: &mut Plan) -> Identity<'a> {
    let id = desired.authorized.identity();
    if let ObservedIdentity::Present(present) = observed
        && desired.own_client_id == Some(present.facts.client_id)
    {
        plan.blocked.push(Blocked {
            reason: Reason::NotPermitted,
            message: format!(
                "{id} is the identity of the operator itself, which no binding may have whatever a policy says; use another one"
            ),
        });
        return Identity::Forfeited;
    }
    match (&desired.identity, observed) {
        (DesiredIdentity::Managed { location, tags, .. }, ObservedIdentity::Absent) => {
            plan.grants.push(GrantStep::CreateIdentity {
                location: location.clone(),
                tags: tags.clone(),
            });
            Identity::Usable {
                facts: None,
                credentials: &[],
            }
        }
        (DesiredIdentity::Managed { tags, .. }, ObservedIdentity::Present(present)) => {
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
            Identity::Usable {
                facts: Some(&present.facts),
                credentials: &present.credentials,
            }
        }
        (DesiredIdentity::Existing, ObservedIdentity::Present(present)) => Identity::Usable {
            facts: Some(&present.facts),
            credentials: &present.credentials,
        },
        (DesiredIdentity::Existing, ObservedIdentity::Absent) => {
            plan.blocked.push(Blocked {
                reason: Reason::IdentityNotFound,
                message: format!("{id} does not exist; create it, or correct spec.identity.existing.resourceId"),
            });
            Identity::Unusable
        }
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
    let id = desired.authorized.identity();
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
    match (asks, desired.authorized.may_adopt()) {
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

/// Tags of others stay: an Azure Policy may have put them there, and would again. One that is wanted replaces what
/// stands there in another case of its name: to Azure they are one tag, and two in a request are an error.
fn retag(wanted: &Tags, present: &Tags, plan: &mut Plan) {
    if wanted.iter().any(|(name, value)| tag(present, name) != Some(value)) {
        let others = present.iter().filter(|(name, _)| tag(wanted, name).is_none());
        let tags = others
            .chain(wanted)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        plan.grants.push(GrantStep::TagIdentity { tags });
    }
}

/// Plans the federated credentials and tells which service accounts are trusted when the plan is done.
fn trust(desired: &DesiredBinding, present: &[ObservedCredential], plan: &mut Plan) -> BTreeSet<ServiceAccountName> {
    let prefix = desired.owner.credential_prefix();
    let ours =
        |credential: &ObservedCredential| prefix.owns(&credential.name) || desired.sharing.member(credential).is_some();
    // What is ours and not wanted goes, unless a sibling relies on it, and so does what was edited to trust somebody else: its
    // name cannot change, and two edited ones could hold each other's subject, which Azure allows only once.
    let keeps = |credential: &ObservedCredential| {
        !ours(credential)
            || desired
                .sharing
                .member(credential)
                .is_some_and(|account| desired.wants(account))
            || desired.sharing.relied_on_by(credential).is_some()
    };
    let goes: BTreeSet<&CredentialName> = present.iter().filter(|c| !keeps(c)).map(|c| &c.name).collect();
    // By name: a list that changed between its pages can show one name twice.
    let kept: Vec<&ObservedCredential> = present.iter().filter(|c| !goes.contains(&c.name)).collect();
    plan.revocations
        .extend(goes.into_iter().cloned().map(Revocation::DeleteCredential));

    let mut room = MAX_CREDENTIALS.saturating_sub(kept.len());
    let mut trusted = BTreeSet::new();
    for wanted in &desired.credentials {
        match kept.iter().find(|credential| trusts_the_same(credential, wanted)) {
            Some(credential) if credential.has_audience(&wanted.audience) => {}
            Some(credential) if ours(credential) => {
                if let Some(sibling) = desired.sharing.relied_on_by(credential) {
                    plan.blocked.push(shared(sibling, credential, wanted));
                    continue;
                }
                // Also one that a sibling left: Azure allows one for a subject, and deleting it first would interrupt.
                plan.grants
                    .push(GrantStep::PutCredential(wanted.named(&credential.name)));
            }
            Some(foreign) => {
                plan.blocked.push(conflicting(desired, foreign, wanted));
                continue;
            }
            None if room > 0 => {
                room -= 1;
                plan.grants.push(GrantStep::PutCredential(wanted.clone()));
            }
            None => {
                plan.blocked
                    .push(no_room(desired, wanted, kept.iter().filter(|c| !ours(c)).count()));
                continue;
            }
        }
        trusted.insert(wanted.account.clone());
    }
    trusted
}

impl DesiredCredential {
    /// The same trust under the name that it has.
    fn named(&self, name: &CredentialName) -> Self {
        // Azure may answer in another case than was sent.
        let name = if self.name == *name { &self.name } else { name };
        Self {
            name: name.clone(),
            ..self.clone()
        }
    }
}

impl DesiredBinding {
    fn mark(&self, uid: &BindingUid, account: &DesiredServiceAccount) -> BindingLabel {
        self.sharing.mark(uid, account, self.credential_of(&account.name))
    }
}

fn trusts_the_same(credential: &ObservedCredential, wanted: &DesiredCredential) -> bool {
    credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
}

fn conflicting(desired: &DesiredBinding, foreign: &ObservedCredential, wanted: &DesiredCredential) -> Blocked {
    Blocked {
        reason: Reason::FederatedCredentialConflict,
        message: format!(
            "the federated credential {} of {} is not of this binding and trusts {} with audience {} instead of {}; delete \
             it, or set spec.audience to its audience",
            foreign.name,
            desired.authorized.identity(),
            wanted.subject,
            foreign.audiences.join(", "),
            wanted.audience,
        ),
    }
}

fn shared(sibling: &Sharer, credential: &ObservedCredential, wanted: &DesiredCredential) -> Blocked {
    Blocked {
        reason: Reason::FederatedCredentialConflict,
        message: format!(
            "WorkloadIdentityBinding {} binds service account {} to the same identity with audience {} instead of {}; make \
             spec.audience the same in both",
            sibling.name,
            wanted.account,
            credential.audiences.join(", "),
            wanted.audience,
        ),
    }
}

fn no_room(desired: &DesiredBinding, wanted: &DesiredCredential, foreign: usize) -> Blocked {
    Blocked {
        reason: Reason::FederatedCredentialQuotaExceeded,
        message: format!(
            "{} has no room for the federated credential of service account {}: Azure allows {MAX_CREDENTIALS}, and \
             {foreign} are not of this binding; remove some, or bind fewer service accounts to it",
            desired.authorized.identity(),
            wanted.account,
        ),
    }
}

/// Service accounts that are bound and no longer in the spec, unless a sibling relies on them.
fn release_accounts(desired: &DesiredBinding, observed: &Observed, plan: &mut Plan) {
    let released = observed.service_accounts.iter().filter_map(|(name, seen)| {
        if desired.wants(name) {
            return None;
        }
        let mark = desired
            .sharing
            .label_to_release(&desired.owner, name, seen, observed.identity.present())?;
        Some(release(name, seen, mark))
    });
    plan.revocations.extend(released);
}

pub(super) fn release(name: &ServiceAccountName, seen: &ObservedServiceAccount, mark: &BindingUid) -> Revocation {
    Revocation::ReleaseServiceAccount {
        name: name.clone(),
        uid: seen.uid.clone(),
        mark: mark.clone(),
        delete: seen.created_by_us,
    }
}

fn apply_account(
    desired: &DesiredBinding,
    account: &DesiredServiceAccount,
    seen: Option<&ObservedServiceAccount>,
    facts: Option<&IdentityFacts>,
    trusted: bool,
    plan: &mut Plan,
) {
    if let Some(conflict) = seen.and_then(|seen| mark_conflict(desired, account, seen)) {
        plan.blocked.push(conflict);
        return;
    }
    match seen {
        None if !account.create => plan.blocked.push(Blocked {
            reason: Reason::ServiceAccountNotFound,
            message: format!(
                "service account {} does not exist; create it, or set create: true",
                account.name
            ),
        }),
        // A client id without trust would give pods a token file that Entra refuses.
        _ if !trusted => {}
        Some(seen) if facts.is_some_and(|facts| carries(desired, seen, account, facts)) => {}
        _ => plan.grants.push(GrantStep::ApplyServiceAccount(account.clone())),
    }
}

/// Why a service account that carries another binding's mark cannot be had.
fn mark_conflict(
    desired: &DesiredBinding,
    account: &DesiredServiceAccount,
    seen: &ObservedServiceAccount,
) -> Option<Blocked> {
    let BoundBy::Other { binding, uid } = &seen.bound_by else {
        return None;
    };
    let message = match desired.mark(uid, account) {
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

/// Whether a service account carries everything that the pod webhook reads, put there by us or by a sibling that wants the same.
pub(crate) fn carries(
    desired: &DesiredBinding,
    seen: &ObservedServiceAccount,
    account: &DesiredServiceAccount,
    facts: &IdentityFacts,
) -> bool {
    let marked = match &seen.bound_by {
        BoundBy::Us => true,
        BoundBy::Other { uid, .. } => desired.mark(uid, account) == BindingLabel::Shared,
        BoundBy::Nobody | BoundBy::Gone { .. } => false,
    };
    marked
        && seen.client_id.as_deref() == Some(&facts.client_id.to_string())
        && seen.tenant_id.as_deref() == Some(&facts.tenant_id.to_string())
        && seen.token_expiration == account.token_expiration.map(|seconds| seconds.to_string())
}
