//! The plan for a binding whose service accounts are to be trusted.

use std::collections::BTreeSet;

use wio_api::{DeletionPolicy, Reason, keys};

use super::{GrantStep, MAX_CREDENTIALS, Plan, Revocation, removal, roles};
use crate::desired::{
    DesiredBinding, DesiredCredential, DesiredIdentity, DesiredRemoval, DesiredServiceAccount, is_claimed,
};
use crate::fault::Blocked;
use crate::names::{CredentialName, ServiceAccountName};
use crate::observed::{
    BoundBy, IdentityFacts, Observed, ObservedCredential, ObservedIdentity, ObservedServiceAccount, Tags, tag,
};

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
        apply_account(account, seen, facts, trusted.contains(&account.name), &mut plan);
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
    /// It is ours and may not be used any more; the plan says why.
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
    }
}

fn identity<'a>(desired: &DesiredBinding, observed: &'a ObservedIdentity, plan: &mut Plan) -> Identity<'a> {
    let id = desired.authorized.identity();
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
    // What carries our name and is not wanted goes, and so does what was edited to trust somebody else: its name
    // cannot change, and two edited ones could hold each other's subject, which Azure allows only once.
    let keeps = |credential: &ObservedCredential| {
        !prefix.owns(&credential.name)
            || desired
                .credentials
                .iter()
                .any(|wanted| wanted.name == credential.name && trusts_the_same(credential, wanted))
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
            Some(credential) if credential.name == wanted.name => {
                plan.grants.push(GrantStep::PutCredential(wanted.clone()));
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
                plan.blocked.push(no_room(
                    desired,
                    wanted,
                    kept.iter().filter(|c| !prefix.owns(&c.name)).count(),
                ));
                continue;
            }
        }
        trusted.insert(wanted.account.clone());
    }
    trusted
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

/// Service accounts that carry our mark and are no longer in the spec.
fn release_accounts(desired: &DesiredBinding, observed: &Observed, plan: &mut Plan) {
    for (name, seen) in &observed.service_accounts {
        let wanted = desired.service_accounts.iter().any(|account| account.name == *name);
        if !wanted && seen.bound_by == BoundBy::Us {
            plan.revocations.push(release(name, seen));
        }
    }
}

pub(super) fn release(name: &ServiceAccountName, seen: &ObservedServiceAccount) -> Revocation {
    Revocation::ReleaseServiceAccount {
        name: name.clone(),
        uid: seen.uid.clone(),
        delete: seen.created_by_us,
    }
}

fn apply_account(
    account: &DesiredServiceAccount,
    seen: Option<&ObservedServiceAccount>,
    facts: Option<&IdentityFacts>,
    trusted: bool,
    plan: &mut Plan,
) {
    match seen {
        None if !account.create => plan.blocked.push(Blocked {
            reason: Reason::ServiceAccountNotFound,
            message: format!("service account {} does not exist; create it, or set create: true", account.name),
        }),
        Some(ObservedServiceAccount { bound_by: BoundBy::Other { binding }, .. }) => plan.blocked.push(Blocked {
            reason: Reason::ServiceAccountConflict,
            message: format!(
                "service account {} is bound by WorkloadIdentityBinding {binding}; a service account has one client id, \
                 so remove it from one of the two",
                account.name
            ),
        }),
        // A client id without trust would give pods a token file that Entra refuses.
        _ if !trusted => {}
        Some(seen) if facts.is_some_and(|facts| carries(seen, account, facts)) => {}
        _ => plan.grants.push(GrantStep::ApplyServiceAccount(account.clone())),
    }
}

/// Whether a service account carries everything that the pod webhook reads.
pub(crate) fn carries(seen: &ObservedServiceAccount, account: &DesiredServiceAccount, facts: &IdentityFacts) -> bool {
    seen.bound_by == BoundBy::Us
        && seen.client_id.as_deref() == Some(&facts.client_id.to_string())
        && seen.tenant_id.as_deref() == Some(&facts.tenant_id.to_string())
        && seen.token_expiration == account.token_expiration.map(|seconds| seconds.to_string())
}
