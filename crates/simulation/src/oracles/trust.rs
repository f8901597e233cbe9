//! Whom Entra trusts, from one moment to the next.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wio_azure_sim::Credential;

use super::Judged;
use crate::history::{CLIENT_ID, Cut, History, Moment, Owned, account_in, text};
use crate::plan::{Act, Timed};
use crate::world::SOMEBODY;

/// How long after an act its consequences may come: the longest silence of a watch that is believed, or the longest pause of a binding that
/// something else keeps from being ready, which is twelve minutes; and what is under way.
const CONSEQUENCES: Duration = Duration::from_mins(13);

/// How long a revocation may take: a write that came late, a lease that must run out, and a few tries.
const REVOKED: Duration = Duration::from_mins(5);

/// A federated credential of ours that came or went.
struct Change<'a> {
    before: &'a Moment,
    now: &'a Moment,
    credential: &'a Credential,
    owned: &'a Owned,
}

fn of<'a>(history: &'a History, moment: &'a Moment) -> impl Iterator<Item = (&'a Credential, &'a Owned)> {
    let all = moment
        .azure
        .identities
        .iter()
        .flat_map(|identity| &identity.credentials);
    all.filter_map(|credential| Some((credential, history.owner(&credential.name)?)))
}

/// What is in the second moment and was not in the first.
fn came<'a>(history: &'a History, from: &'a Moment, to: &'a Moment) -> Vec<(&'a Credential, &'a Owned)> {
    let news = of(history, to).filter(|(credential, _)| !of(history, from).any(|(other, _)| other == *credential));
    news.collect()
}

fn changes(history: &History, comes: bool) -> Vec<Change<'_>> {
    let steps = history
        .steps()
        .filter(|(before, now)| !Arc::ptr_eq(&before.azure, &now.azure));
    let all = steps.flat_map(|(before, now)| {
        let found = if comes {
            came(history, before, now)
        } else {
            came(history, now, before)
        };
        found.into_iter().map(move |(credential, owned)| Change {
            before,
            now,
            credential,
            owned,
        })
    });
    all.collect()
}

impl Change<'_> {
    fn account(&self) -> &str {
        account_in(self.credential)
    }

    fn said(&self, what: &str) -> String {
        format!(
            "{:.1} s: {} of {} {what}",
            self.now.at.as_secs_f64(),
            self.credential.name,
            self.credential.issuer
        )
    }

    /// Whether the binding asks for it at the moment.
    fn wanted(&self, history: &History) -> bool {
        history.is_wanted(self.now, self.owned, self.account())
    }

    fn lately(&self, history: &History, meant: impl Fn(&Timed) -> bool) -> bool {
        let since = self.now.at.saturating_sub(CONSEQUENCES);
        history
            .acts
            .iter()
            .any(|timed| timed.at >= since && timed.at <= self.now.at && meant(timed))
    }

    fn edited_by_somebody(&self, history: &History) -> bool {
        self.lately(history, |timed| {
            matches!(timed.act, Act::LoseCredential | Act::EditCredential | Act::LoseIdentity)
        })
    }

    /// Whether an operator asked for it that was cut off: it goes on taking away by what it knew until its lease is over.
    fn taken_by_one_cut_off(&self, history: &History) -> bool {
        let path = format!("/{}", self.credential.name.to_ascii_lowercase());
        let asked = |cut: &Cut| {
            let mut sent = history.sent.iter().filter(|sent| sent.life == cut.life);
            sent.any(|sent| {
                sent.method == "DELETE"
                    && sent.path.ends_with(&path)
                    && sent.begun >= cut.at
                    && sent.begun <= cut.until
                    && sent.begun <= self.now.at
            })
        };
        history.cuts.iter().any(asked)
    }

    fn edited_by_its_owner(&self, history: &History) -> bool {
        let concerned = |n: usize| {
            let named = |one: &&Owned| one.name == format!("b{n}");
            let edited = history.owners.iter().find(named);
            edited.is_some_and(|edited| edited.name == self.owned.name || edited.shares(self.owned))
        };
        self.lately(history, |timed| match timed.act {
            Act::Delete(n) | Act::DropAccount(n) => concerned(n),
            _ => false,
        })
    }

    fn denied_lately(&self, history: &History) -> bool {
        let since = self.now.at.saturating_sub(CONSEQUENCES);
        let all = history.permitted.get(&self.owned.namespace).into_iter().flatten();
        let current = all
            .clone()
            .rev()
            .find(|(at, _)| *at <= self.now.at)
            .is_some_and(|(_, is)| !is);
        self.owned.needs_policy && (current || all.clone().any(|(at, is)| !is && *at <= self.now.at && *at >= since))
    }

    /// Whether nothing explains that it went.
    fn unexplained(&self, history: &History) -> bool {
        self.wanted(history)
            && !self.edited_by_somebody(history)
            && !self.edited_by_its_owner(history)
            && !self.denied_lately(history)
            && !self.not_yet_written_down()
            && !self.taken_by_one_cut_off(history)
    }

    /// Whether policies went while the very first pass over the binding was under way: nothing says yet that one gave it anything, so there is nothing to
    /// hold, and nobody rests on it.
    fn not_yet_written_down(&self) -> bool {
        let binding = History::binding(self.before, self.owned);
        self.owned.needs_policy && binding.is_some_and(|binding| binding.pointer("/status/authorizedBy").is_none())
    }

    /// Whether another binding's or issuer's credential trusts the same subject there.
    fn replaced(&self, moment: &Moment) -> bool {
        let identity = self
            .before
            .azure
            .identities
            .iter()
            .find(|identity| identity.credentials.contains(self.credential));
        let now = identity.and_then(|identity| {
            moment
                .azure
                .identities
                .iter()
                .find(|other| other.client_id == identity.client_id)
        });
        now.is_some_and(|identity| {
            let mut all = identity.credentials.iter();
            all.any(|other| other.subject == self.credential.subject && other.name != self.credential.name)
        })
    }
}

pub(super) fn issuer(history: &History) -> Judged {
    let mut judged = Judged::default();
    for change in changes(history, true) {
        let since = change.now.at.saturating_sub(CONSEQUENCES);
        let ended = history.issuers.iter().skip(1).map(|(at, _)| *at).chain([Duration::MAX]);
        let known =
            history.issuers.iter().zip(ended).any(|((at, issuer), ended)| {
                *at <= change.now.at && ended >= since && *issuer == change.credential.issuer
            });
        judged.case(known, || {
            change.said("came, and the API server did not say this issuer lately")
        });
    }
    judged
}

pub(super) fn reason(history: &History) -> Judged {
    let mut judged = Judged::default();
    for change in changes(history, false) {
        let shared = change.replaced(change.now);
        judged.case(shared || !change.unexplained(history), || {
            change.said("went, and nobody wished it")
        });
    }
    judged
}

pub(super) fn mass(history: &History) -> Judged {
    let mut judged = Judged::default();
    let mut since = None;
    for timed in &history.acts {
        match timed.act {
            Act::PoliciesVanish => since = Some(timed.at),
            Act::PoliciesReturn => {
                let Some(from) = since.take() else { continue };
                let stood = history.moments.iter().rev().find(|moment| moment.at <= from);
                judged.cases += stood.map_or(0, |moment| {
                    of(history, moment).filter(|(_, owned)| owned.needs_policy).count()
                });
                let during = |change: &Change<'_>| {
                    change.now.at > from && change.now.at <= timed.at && change.owned.needs_policy
                };
                for change in changes(history, false).into_iter().filter(during) {
                    let shared = change.replaced(change.now);
                    judged.case(shared || !change.unexplained(history), || {
                        change.said("went while the policies were gone")
                    });
                }
            }
            _ => {}
        }
    }
    judged
}

pub(super) fn new_first(history: &History) -> Judged {
    let mut judged = Judged::default();
    for change in changes(history, false) {
        let mut issuers = history.issuers.iter().filter(|(at, _)| *at <= change.now.at);
        let former = issuers
            .next_back()
            .is_some_and(|(_, issuer)| *issuer != change.credential.issuer);
        if former && change.unexplained(history) {
            judged.case(change.replaced(change.before), || {
                change.said("went before the new issuer's came")
            });
        }
    }
    // That the new one came and the former stayed is a case, too.
    for change in changes(history, true) {
        let mut others = of(history, change.now).map(|(other, _)| other);
        let former =
            others.any(|other| other.subject == change.credential.subject && other.issuer != change.credential.issuer);
        judged.cases += usize::from(former);
    }
    judged
}

pub(super) fn permitted(history: &History) -> Judged {
    let mut judged = Judged::default();
    let blind = history.acts.iter().any(|timed| is_blinding(&timed.act));
    // What was sent lands within 75 s; who hears of nothing notices it within minutes.
    let bound = if blind { CONSEQUENCES } else { Duration::from_secs(90) };
    for change in changes(history, true).iter().filter(|change| !is_edit(history, change)) {
        let since = change.now.at.saturating_sub(bound);
        let may = !change.owned.needs_policy || history.permitted_since(&change.owned.namespace, since, change.now.at);
        judged.case(may, || change.said("came, and no policy permits it"));
        let asked = wanted_since(history, change, since);
        judged.case(asked, || change.said("came, and the binding does not ask for it"));
    }
    judged
}

/// What stands for long after nobody may have it any more. Judged where every operator could hear of it.
pub(super) fn revoked(history: &History) -> Judged {
    let mut judged = Judged::default();
    let held = |timed: &Timed| is_blinding(&timed.act) || matches!(timed.act, Act::PoliciesVanish);
    if history.acts.iter().any(held) {
        return judged;
    }
    for now in &history.moments {
        let Some(since) = now.at.checked_sub(REVOKED) else {
            continue;
        };
        for (credential, owned) in of(history, now).filter(|(_, owned)| owned.needs_policy) {
            let may = history.permitted_since(&owned.namespace, since, now.at);
            judged.case(may, || {
                format!(
                    "{:.1} s: {} stands, and no policy permits it",
                    now.at.as_secs_f64(),
                    credential.name
                )
            });
        }
    }
    judged
}

/// Whether an operator does not hear of something then.
pub(super) fn is_blinding(act: &Act) -> bool {
    matches!(act, Act::CutOff | Act::HoldEvents(_) | Act::LoseEvent(_))
}

/// Whether somebody else edited it at this moment.
fn is_edit(history: &History, change: &Change<'_>) -> bool {
    history
        .acts
        .iter()
        .any(|timed| timed.act == Act::EditCredential && timed.at == change.now.at)
}

fn wanted_since(history: &History, change: &Change<'_>, since: Duration) -> bool {
    let before = history.moments.iter().rev().find(|moment| moment.at <= since);
    let after = history
        .moments
        .iter()
        .filter(|moment| moment.at > since && moment.at <= change.now.at);
    before
        .into_iter()
        .chain(after)
        .any(|now| history.is_asked(now, change.owned, change.account()))
}

pub(super) fn client_id(history: &History) -> Judged {
    let mut judged = Judged::default();
    let mut past: Vec<&Moment> = Vec::new();
    for (before, now) in history.steps() {
        past.push(before);
        for account in &now.accounts {
            let client = text(account, CLIENT_ID);
            let had = |object: &&Arc<Value>| text(object, "/metadata/uid") == text(account, "/metadata/uid");
            let before = before
                .accounts
                .iter()
                .find(had)
                .map_or("", |object| text(object, CLIENT_ID));
            if client == before || client.is_empty() || client == SOMEBODY {
                continue;
            }
            let subject = format!(
                "system:serviceaccount:{}:{}",
                text(account, "/metadata/namespace"),
                text(account, "/metadata/name")
            );
            let trusted = past.iter().rev().chain([&now]).any(|moment| {
                let mut identities = moment.azure.identities.iter();
                let identity = identities.find(|identity| identity.client_id.to_string() == client);
                identity.is_some_and(|identity| {
                    identity
                        .credentials
                        .iter()
                        .any(|one| one.subject.as_deref() == Some(&subject))
                })
            });
            judged.case(trusted, || {
                format!("{:.1} s: {subject} got {client} without trust", now.at.as_secs_f64())
            });
        }
    }
    judged
}
