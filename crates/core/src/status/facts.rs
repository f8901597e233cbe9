//! What was observed, as it is recorded.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use wio_api::{IdentityOrigin, ServiceAccountOrigin};

use super::roles;
use crate::desired::{Desired, DesiredBinding, DesiredCredential, DesiredIdentity, DesiredRemoval};
use crate::names::{ConfigMapName, CredentialName, ServiceAccountName};
use crate::observed::{
    BoundBy, Observed, ObservedCredential, ObservedIdentity, ObservedServiceAccount, PresentIdentity,
};
use crate::outcome::Reconciled;
use crate::owner::was_adopted;
use crate::ownership::{standing, usable};
use crate::plan::carries;
use crate::recorded::{
    CredentialUsage, Recorded, RecordedCredential, RecordedIdentity, RecordedServiceAccount, RetiringCredential,
};
use crate::sharing::Sharing;

/// How long the credential of an issuer that the cluster had before stays: the longest life of a service account token that the pod
/// webhook asks for, a day, and an hour in which API servers that are restarted one after the other may still issue some.
const RETIREMENT: SignedDuration = SignedDuration::from_hours(25);

/// What is recorded after a reconcile.
pub(super) fn observed(previous: &Recorded, reconciled: &Reconciled, now: Timestamp) -> Recorded {
    let seen = reconciled.observed();
    let mut next = match reconciled.desired() {
        Desired::Bound(desired) => bound(previous, desired, reconciled, now),
        Desired::Denied(denial) => gone(previous, denial.removal(), seen),
        Desired::Gone(removal) => Recorded {
            exports: exports(seen),
            ..gone(previous, removal, seen)
        },
    };
    let desired = reconciled.desired();
    next.exchanges = match (reconciled.proof(), reconciled.is_to_be_proven()) {
        (Some(proof), _) => proof.records().cloned().collect(),
        // There is no identity that could be proven, and may be one again.
        (None, true) => next.exchanges,
        (None, false) => Vec::new(),
    };
    next.role_assignments = roles::observed(previous, desired, seen);
    next.role_assignment_scopes = roles::scopes(previous, reconciled, &next.role_assignments);
    next.former_principals = roles::former_principals(previous, reconciled);
    if let Desired::Gone(_) = desired {
        // What is still on its way is looked for by these.
        next.identity.clone_from(&previous.identity);
        next.role_assignment_scopes
            .extend(previous.role_assignment_scopes.iter().cloned());
    }
    next
}

fn bound(previous: &Recorded, desired: &DesiredBinding, reconciled: &Reconciled, now: Timestamp) -> Recorded {
    let observed = reconciled.observed();
    let present = standing(desired, &observed.azure);
    let wanted = desired.credentials.iter();
    let wanted: Vec<RecordedCredential> = wanted
        .filter_map(|wanted| credential(desired, wanted, present?))
        .collect();
    let retires = match (present, &observed.azure.identity) {
        (Some(present), _) => retiring(previous, desired, present, now),
        (None, identity) => still_retiring(previous, &desired.sharing, identity),
    };
    let told = wanted.iter().map(|credential| &credential.name);
    let told = told.chain(retires.iter().map(|credential| &credential.name));
    let names: BTreeSet<CredentialName> = told.cloned().collect();
    Recorded {
        authorized_by: desired.granted.authorized_by().iter().cloned().collect(),
        identity: match usable(desired, &observed.azure) {
            Some(present) => Some(identity(desired, present)),
            // What was made is known by it, or may have been.
            None if present.is_some() || may_be_left(desired, reconciled) => previous.identity.clone(),
            None => None,
        },
        credentials: wanted
            .into_iter()
            .chain(left(previous, &desired.sharing, observed, &names))
            .collect(),
        retiring: retires,
        credential_usage: present.map(|present| usage(desired, present)),
        service_accounts: accounts(observed, |name, seen| {
            is_bound((desired, present), observed, name, seen)
        })
        .into_iter()
        .map(|account| RecordedServiceAccount {
            foreign_credential: present.and_then(|present| foreign_credential(desired, &account.name, present)),
            ..account
        })
        .collect(),
        exports: exports(observed)
            .into_iter()
            .chain(announced(previous, desired, observed))
            .collect(),
        rewrites: previous.rewrites.lasting(now, |account| desired.wants(account)),
        ..previous.clone()
    }
}

/// The ConfigMaps that stand and are ours.
fn exports(observed: &Observed) -> BTreeSet<ConfigMapName> {
    let ours = observed.exports.iter().filter(|(_, seen)| seen.ours);
    ours.map(|(name, _)| name.clone()).collect()
}

/// The ConfigMap that is wanted and was announced, and does not stand yet: what comes before it was refused, and each try would announce it anew.
fn announced(previous: &Recorded, desired: &DesiredBinding, observed: &Observed) -> Option<ConfigMapName> {
    let wanted = desired.export.clone()?;
    (previous.exports.contains(&wanted) && !observed.exports.contains_key(&wanted)).then_some(wanted)
}

/// Whether something of the binding may be left that is found by the identity that was recorded: it was announced and may have been
/// created, or not everything that is to go has gone. As long as the identity carries our tags, they may have been written over
/// another's, which is known only by the record.
fn may_be_left(desired: &DesiredBinding, reconciled: &Reconciled) -> bool {
    let azure = &reconciled.observed().azure;
    azure
        .identity
        .present()
        .is_none_or(|present| desired.owner.owns(&present.tags))
        || azure.role_assignments.unread().next().is_some()
        || !reconciled.rest().revocations.is_empty()
}

/// The credential of somebody else on which a service account's trust rests; none when it rests on ours, or on nothing.
pub(super) fn foreign_credential(
    desired: &DesiredBinding,
    account: &ServiceAccountName,
    present: &PresentIdentity,
) -> Option<CredentialName> {
    let wanted = desired.credential_of(account)?;
    let trusts = |credential: &&ObservedCredential| {
        credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str()) && credential.has_audience(&wanted.audience)
    };
    let trusting = || present.credentials.iter().filter(trusts);
    let ours = trusting().any(|credential| desired.sharing.owns(credential));
    trusting()
        .next()
        .filter(|_| !ours)
        .map(|credential| credential.name.clone())
}

/// The credentials of issuers that the cluster had before. Each stays as long as a token can live, counted from when it was first told
/// of; and where nobody knows whether its issuer is another cluster's now, until somebody says so.
fn retiring(
    previous: &Recorded,
    desired: &DesiredBinding,
    present: &PresentIdentity,
    now: Timestamp,
) -> Vec<RetiringCredential> {
    let told = |name: &CredentialName| previous.retiring.iter().find(|before| before.name == *name);
    // Whoever could write a status might have trust stay for ever.
    let bounded = |until: Timestamp| end_of_retirement(now).map_or(until, |latest| until.min(latest));
    let retiring = |seen: &ObservedCredential| {
        let account = desired.sharing.account_of(seen)?;
        let ends = || desired.sharing.was_replaced(seen).then(|| end_of_retirement(now))?;
        Some(RetiringCredential {
            name: told(&seen.name).map_or(&seen.name, |before| &before.name).clone(),
            account: account.clone(),
            issuer: seen.issuer.parse().ok()?,
            subject: seen.subject.as_deref()?.parse().ok()?,
            audience: seen.audiences.first()?.parse().ok()?,
            until: told(&seen.name)
                .and_then(|before| before.until)
                .map(bounded)
                .or_else(ends),
        })
    };
    let outdated = present
        .credentials
        .iter()
        .filter(|seen| desired.sharing.is_outdated(seen));
    let mut all: Vec<RetiringCredential> = outdated.filter_map(retiring).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// Those of them that are still there to be taken away.
fn still_retiring(previous: &Recorded, sharing: &Sharing, identity: &ObservedIdentity) -> Vec<RetiringCredential> {
    let there = |name: &CredentialName| {
        let mut all = identity.present().into_iter().flat_map(|present| &present.credentials);
        all.any(|credential| credential.name == *name && sharing.takes(credential))
    };
    let before = previous.retiring.iter();
    before.filter(|credential| there(&credential.name)).cloned().collect()
}

/// In whole seconds, as a status tells it.
fn end_of_retirement(now: Timestamp) -> Option<Timestamp> {
    Timestamp::from_second(now.as_second())
        .ok()?
        .checked_add(RETIREMENT)
        .ok()
}

/// Whether a service account is told of as one of the binding: it is wanted and carries what it should, or is still to be let go
/// of.
fn is_bound(
    (desired, standing): (&DesiredBinding, Option<&PresentIdentity>),
    observed: &Observed,
    name: &ServiceAccountName,
    seen: &ObservedServiceAccount,
) -> bool {
    let identity = &observed.azure.identity;
    match desired.service_accounts.iter().find(|wanted| wanted.name == *name) {
        Some(_) if seen.bound_by == BoundBy::Us => true,
        Some(wanted) => standing.is_some_and(|present| carries(desired, seen, wanted, &present.facts)),
        None => desired
            .sharing
            .label_to_release(&desired.owner, name, seen, identity.present())
            .is_some(),
    }
}

fn usage(desired: &DesiredBinding, present: &PresentIdentity) -> CredentialUsage {
    let ours = present
        .credentials
        .iter()
        .filter(|credential| desired.sharing.owns(credential))
        .count();
    CredentialUsage {
        ours: count(ours),
        foreign: count(present.credentials.len() - ours),
    }
}

/// The credential by which a service account is trusted, unless it is a foreign one.
fn credential(
    desired: &DesiredBinding,
    wanted: &DesiredCredential,
    present: &PresentIdentity,
) -> Option<RecordedCredential> {
    let trusts = |credential: &&ObservedCredential| {
        credential.trusts(wanted.issuer.as_str(), wanted.subject.as_str())
            && desired.sharing.account_of(credential) == Some(&wanted.account)
            && credential.has_audience(&wanted.audience)
    };
    let found = present.credentials.iter().find(trusts)?;
    // Azure may answer in another case than was sent.
    let name = if found.name == wanted.name {
        &wanted.name
    } else {
        &found.name
    };
    Some(RecordedCredential {
        name: name.clone(),
        account: wanted.account.clone(),
        subject: wanted.subject.clone(),
        audience: wanted.audience.clone(),
    })
}

/// The credentials that are still there to be taken away. **A record is never narrower than what stands**: one of an earlier binding, or
/// of a sibling, is known as ours by the account that it is for, and only for as long as that is written down.
fn left<'a>(
    previous: &'a Recorded,
    sharing: &'a Sharing,
    observed: &'a Observed,
    told: &'a BTreeSet<CredentialName>,
) -> impl Iterator<Item = RecordedCredential> + 'a {
    let present = observed.azure.identity.present();
    let there = present.into_iter().flat_map(|present| &present.credentials);
    there
        .filter(|credential| sharing.takes(credential) && !told.contains(&credential.name))
        .filter_map(|credential| {
            let before = previous
                .credentials
                .iter()
                .find(|before| before.name == credential.name);
            before.cloned().or_else(|| inherited(sharing, credential))
        })
}

/// The record of a credential that is ours because of the account that it is for.
fn inherited(sharing: &Sharing, credential: &ObservedCredential) -> Option<RecordedCredential> {
    Some(RecordedCredential {
        name: credential.name.clone(),
        account: sharing.account_of(credential)?.clone(),
        subject: credential.subject.as_deref()?.parse().ok()?,
        audience: credential.audiences.first()?.parse().ok()?,
    })
}

fn gone(previous: &Recorded, desired: &DesiredRemoval, observed: &Observed) -> Recorded {
    let identity = &observed.azure.identity;
    let present = identity.present();
    let mut next = previous.clone();
    let retires: BTreeSet<CredentialName> = previous
        .retiring
        .iter()
        .map(|credential| credential.name.clone())
        .collect();
    next.credentials = left(previous, &desired.sharing, observed, &retires).collect();
    next.retiring = still_retiring(previous, &desired.sharing, identity);
    next.authorized_by = BTreeSet::new();
    next.credential_usage = None;
    next.service_accounts = accounts(observed, |name, seen| {
        desired
            .sharing
            .label_to_release(&desired.owner, name, seen, present)
            .is_some()
    });
    if *identity == ObservedIdentity::Absent {
        next.identity = None;
    }
    next
}

fn identity(desired: &DesiredBinding, present: &PresentIdentity) -> RecordedIdentity {
    RecordedIdentity {
        id: desired.granted.identity().clone(),
        ids: present.facts.into(),
        origin: match desired.identity {
            DesiredIdentity::Managed { .. } if was_adopted(&present.tags) => IdentityOrigin::Adopted,
            DesiredIdentity::Managed { .. } => IdentityOrigin::Created,
            DesiredIdentity::Existing => IdentityOrigin::Referenced,
        },
    }
}

fn accounts(
    observed: &Observed,
    ours: impl Fn(&ServiceAccountName, &ObservedServiceAccount) -> bool,
) -> Vec<RecordedServiceAccount> {
    let accounts = observed.service_accounts.iter();
    accounts
        .filter(|(name, seen)| ours(name, seen))
        .map(|(name, seen)| RecordedServiceAccount {
            name: name.clone(),
            uid: seen.uid.clone(),
            origin: if seen.created_by_us {
                ServiceAccountOrigin::Created
            } else {
                ServiceAccountOrigin::Adopted
            },
            foreign_credential: None,
        })
        .collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
