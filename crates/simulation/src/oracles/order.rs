//! In which order trust ends: federated credentials, then role assignments and the marks on service accounts, then the identity.

use std::time::Duration;

use serde_json::Value;
use wio_azure_sim::{Credential, Identity};

use super::Judged;
use crate::history::{CLIENT_ID, History, Moment, Sent, bound_by, text};
use crate::plan::Act;

const ASSIGNMENTS: &str = "/roleassignments/";
/// For how long a refusal may hold other deletions back: the longest wait for an answer, and what Azure says then.
const REFUSAL: Duration = Duration::from_mins(1);

/// What was when something was sent.
fn moment_of<'a>(history: &'a History, sent: &Sent) -> Option<&'a Moment> {
    history.moments.iter().rev().find(|moment| moment.at <= sent.begun)
}

fn ours<'a>(history: &'a History, identity: &'a Identity) -> impl Iterator<Item = &'a Credential> {
    let all = identity.credentials.iter();
    all.filter(|credential| history.owner(&credential.name).is_some())
}

/// Whether it was asked of Azure before that a credential goes: it may be back by a write that came late. Or it was not, because Azure
/// refuses deletions: one that is refused stops no other step.
fn was_asked(history: &History, before: Duration, credential: &Credential) -> bool {
    let path = format!("/{}", credential.name.to_ascii_lowercase());
    let mut sent = history
        .sent
        .iter()
        .filter(|sent| sent.begun <= before && sent.method == "DELETE");
    sent.any(|sent| {
        let refused = !matches!(sent.status, Some(200 | 204 | 404));
        sent.path.ends_with(&path) || refused && before.saturating_sub(sent.begun) <= REFUSAL
    })
}

pub(super) fn roles(history: &History) -> Judged {
    let mut judged = Judged::default();
    let all = history.sent.iter().filter(|sent| sent.method == "DELETE");
    for sent in all {
        let Some((_, name)) = sent.path.split_once(ASSIGNMENTS) else {
            continue;
        };
        let Some(moment) = moment_of(history, sent) else {
            continue;
        };
        let role = moment
            .azure
            .role_assignments
            .iter()
            .find(|role| role.name.to_string() == name);
        let identity = role.and_then(|role| {
            let mut identities = moment.azure.identities.iter();
            identities.find(|identity| identity.principal_id == role.principal_id)
        });
        for credential in identity.into_iter().flat_map(|identity| ours(history, identity)) {
            judged.case(was_asked(history, sent.begun, credential), || {
                format!(
                    "{:.1} s: a role assignment goes before {}",
                    sent.begun.as_secs_f64(),
                    credential.name
                )
            });
        }
        judged.cases += usize::from(identity.is_some());
    }
    judged
}

/// The name of the binding whose mark a service account carries.
fn marked_by<'a>(moment: &'a Moment, account: &Value) -> Option<&'a str> {
    let uid = bound_by(account)?;
    let mut bindings = moment.bindings.iter();
    let binding = bindings.find(|binding| text(binding, "/metadata/uid") == uid)?;
    Some(text(binding, "/metadata/name"))
}

pub(super) fn marks(history: &History) -> Judged {
    let mut judged = Judged::default();
    for (before, now) in history.steps() {
        for was in &before.accounts {
            let client = text(was, CLIENT_ID);
            let is = now
                .accounts
                .iter()
                .find(|is| text(is, "/metadata/uid") == text(was, "/metadata/uid"));
            let gone = is.map_or("", |is| text(is, CLIENT_ID)).is_empty() && !client.is_empty();
            if !gone || history.did(now.at, |act| matches!(act, Act::LoseAccount(_))) {
                continue;
            }
            let subject = format!(
                "system:serviceaccount:{}:{}",
                text(was, "/metadata/namespace"),
                text(was, "/metadata/name")
            );
            let mut identities = now.azure.identities.iter();
            let identity = identities.find(|identity| identity.client_id.to_string() == client);
            let marked_by = marked_by(before, was);
            let trusted = identity.and_then(|identity| {
                let mut all = ours(history, identity);
                all.find(|one| {
                    // Another binding that asks for the same trust may be giving it anew right now: it marks the account then.
                    let is_its = history
                        .owner(&one.name)
                        .is_some_and(|owned| marked_by == Some(owned.name.as_str()));
                    is_its && one.subject.as_deref() == Some(&subject) && !was_asked(history, now.at, one)
                })
            });
            judged.case(trusted.is_none(), || {
                format!(
                    "{:.1} s: the client id of {subject} went before its trust",
                    now.at.as_secs_f64()
                )
            });
        }
    }
    judged
}
