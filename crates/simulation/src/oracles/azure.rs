//! What stands in Azure, moment by moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use wio_azure_sim::{Credential, Identity};

use super::Judged;
use crate::history::{History, Moment, account_in, has_finalizer};
use crate::plan::Outlives;

pub(super) fn foreign(history: &History) -> Judged {
    let mut judged = Judged::default();
    let Some(first) = history.moments.first() else {
        return judged;
    };
    for (before, now) in history.steps() {
        if Arc::ptr_eq(&before.azure, &now.azure) {
            continue;
        }
        for identity in &first.azure.identities {
            let found = now.azure.identities.iter().find(|other| other.id == identity.id);
            let same = found.is_some_and(|found| {
                let others: Vec<&Credential> = found
                    .credentials
                    .iter()
                    .filter(|one| history.owner(&one.name).is_none())
                    .collect();
                found.tags == identity.tags
                    && found.client_id == identity.client_id
                    && others.iter().copied().eq(&identity.credentials)
            });
            judged.case(same, || {
                format!("{:.1} s: {} was touched", now.at.as_secs_f64(), identity.id)
            });
        }
    }
    judged
}

pub(super) fn finalizer(history: &History) -> Judged {
    let mut judged = Judged::default();
    let mut principals: BTreeMap<Uuid, usize> = BTreeMap::new();
    for now in &history.moments {
        for (n, owned) in history.owners.iter().enumerate() {
            let held = History::binding(now, owned).is_some_and(has_finalizer) || history.was_left(owned, now.at);
            let said = |what: &str| {
                format!(
                    "{:.1} s: {what} of {}/{} stands without its finalizer",
                    now.at.as_secs_f64(),
                    owned.namespace,
                    owned.name
                )
            };
            for identity in &now.azure.identities {
                if identity.id.name == owned.identity {
                    principals.insert(identity.principal_id, n);
                    judged.case(held || owned.outlives == Outlives::Identity, || said("the identity"));
                }
                for credential in identity
                    .credentials
                    .iter()
                    .filter(|one| one.name.starts_with(&owned.prefix))
                {
                    let held = held || history.is_held(now, owned, account_in(credential));
                    judged.case(held, || said(&credential.name));
                }
            }
            let roles = now.azure.role_assignments.iter();
            for _ in roles.filter(|role| principals.get(&role.principal_id) == Some(&n)) {
                judged.case(held, || said("a role assignment"));
            }
        }
    }
    judged
}

pub(super) fn identity_last(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for identity in &before.azure.identities {
            let goes = !now
                .azure
                .identities
                .iter()
                .any(|other| other.client_id == identity.client_id);
            if !goes || taken_by_somebody(history, now) {
                continue;
            }
            let trusted = ours(history, identity).find(|credential| !came_unheard(history, credential));
            judged.case(trusted.is_none(), || {
                format!(
                    "{:.1} s: {} went while {:?} stood",
                    now.at.as_secs_f64(),
                    identity.id.name,
                    trusted.map(|one| &one.name)
                )
            });
        }
    }
    judged
}

/// Whether a credential was made by a request whose answer nobody heard: it may have come since the last look, and goes with its identity.
fn came_unheard(history: &History, credential: &Credential) -> bool {
    let path = format!("/{}", credential.name.to_ascii_lowercase());
    let mut sent = history.sent.iter().rev();
    let last = sent.find(|sent| sent.method == "PUT" && sent.path.ends_with(&path));
    last.is_some_and(|sent| sent.status.is_none())
}

/// Whether the plan itself took an identity away at this moment.
fn taken_by_somebody(history: &History, now: &Moment) -> bool {
    history
        .acts
        .iter()
        .any(|timed| timed.act == crate::plan::Act::LoseIdentity && timed.at == now.at)
}

fn ours<'a>(history: &'a History, identity: &'a Identity) -> impl Iterator<Item = &'a Credential> {
    identity
        .credentials
        .iter()
        .filter(|credential| history.owner(&credential.name).is_some())
}
