//! Service accounts that somebody else changes back each time they are written.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use litemap::LiteMap;
use wio_api::{Reason, keys};
use wio_core::fault::{Blocked, Fault};
use wio_core::names::{Namespace, ServiceAccountName};
use wio_core::observed::ObservedServiceAccount;
use wio_core::plan::{GrantStep, Plan, Revocation};
use wio_core::service_account::held;
use wio_core::status::Told;

use super::wire::read;
use crate::runtime::patience::Patience;

/// How long a service account that was changed back is remembered. Flux and Argo CD come round as seldom as every ten minutes.
const REMEMBERED: Duration = Duration::from_hours(1);

/// How much of the name of a field manager is told.
const MANAGER_CHARS_MAX: usize = 64;

/// The service accounts that were written lately, and who changes them back. Most bindings have one: the node of a tree, which has room for
/// eleven, took 3 KB for each binding.
#[derive(Debug, Default)]
pub(crate) struct Contested(LiteMap<ServiceAccountName, Box<Contest>>);

#[derive(Debug)]
struct Contest {
    patience: Patience<ObservedServiceAccount>,
    /// The other field manager.
    by: Option<String>,
}

// === impl Contested ===

impl Contested {
    /// Forgets those that a plan releases: that they are marked again later is nobody's answer to the last mark.
    pub(crate) fn forget_released(&mut self, plan: &Plan) {
        for step in &plan.revocations {
            if let Revocation::ReleaseServiceAccount { name, .. } = step {
                self.0.remove(name);
            }
        }
    }

    /// Takes those writes out of a plan whose time has not come, and tells why.
    pub(crate) fn hold_back(&mut self, plan: &mut Plan) -> Vec<Fault> {
        self.0.retain(|_, contest| !contest.patience.has_lasted());
        let mut held = Vec::new();
        plan.grants.retain(|step| {
            let GrantStep::ApplyServiceAccount(account) = step else {
                return true;
            };
            let Some(contest) = self.0.get(&account.name) else {
                return true;
            };
            let wanted = account.token_expiration.map(|seconds| seconds.to_string());
            let again = contest
                .patience
                .last()
                .is_some_and(|last| last.token_expiration == wanted);
            if contest.patience.is_due() || !again {
                return true;
            }
            held.extend(contest.fault(&account.name));
            false
        });
        held
    }

    /// Finds out who changes back again what a plan writes: after the write nothing may tell.
    pub(crate) async fn find_out(&mut self, client: &Client, namespace: &Namespace, plan: &Plan) {
        for step in &plan.grants {
            if let GrantStep::ApplyServiceAccount(account) = step
                && let Some(contest) = self.0.get_mut(&account.name)
                && contest.patience.was_repeated()
                && let Ok(Some(live)) = read(client, namespace, &account.name).await
            {
                contest.by = who(&live).or(contest.by.take());
            }
        }
    }

    /// Takes in what was written, and which of it is known to have been changed back before. Returns how many were put right that somebody else had
    /// changed back, and what people are told of those who go on.
    pub(crate) fn wrote(
        &mut self,
        written: Vec<(&ServiceAccountName, &ObservedServiceAccount)>,
        changed_back: &[ServiceAccountName],
    ) -> (usize, Vec<Told>) {
        let (mut put_right, mut told) = (0, Vec::new());
        for (name, written) in written {
            let contest = self.0.entry(name.clone()).or_insert_with(|| Box::new(Contest::new()));
            contest.patience.wrote(written.clone());
            if changed_back.contains(name) {
                contest.patience.was_changed_back(REMEMBERED);
            }
            put_right += usize::from(contest.patience.was_repeated());
            if contest.patience.is_fought() {
                told.push(contest.told(name));
            }
        }
        (put_right, told)
    }

    /// What the status says of those that stand as they should, and that somebody changes back again and again; none when nobody does.
    pub(crate) fn note(&self) -> Option<String> {
        let fought = self.0.iter().filter(|(_, contest)| contest.patience.is_fought());
        let notes: Vec<String> = fought.map(|(name, contest)| contest.said(name)).collect();
        (!notes.is_empty()).then(|| notes.join(" "))
    }
}

// === impl Contest ===

impl Contest {
    fn new() -> Self {
        Self {
            patience: Patience::new(Duration::from_secs(2), Duration::from_mins(10)),
            by: None,
        }
    }

    /// What keeps it from being written now. A first repetition is not told: it may be a mere slip.
    fn fault(&self, name: &ServiceAccountName) -> Option<Fault> {
        self.patience.is_fought().then(|| {
            Fault::Blocked(Blocked {
                reason: Reason::ServiceAccountConflict,
                message: self.said(name),
            })
        })
    }

    fn told(&self, name: &ServiceAccountName) -> Told {
        Told {
            warning: true,
            reason: Reason::ServiceAccountConflict.to_string(),
            message: self.said(name),
        }
    }

    fn said(&self, name: &ServiceAccountName) -> String {
        let by = match &self.by {
            Some(by) => format!("Field manager {by:?}"),
            None => "Another writer".to_owned(),
        };
        format!(
            "{by} changes service account {name} back again and again, and pods that are created before the operator has put it right, which \
             it does in growing pauses, get no token, or another identity's. Have it leave the annotations alone that the operator writes."
        )
    }
}

/// The field manager that holds what is ours to write, and where somebody only took it away, the one that wrote last.
fn who(metadata: &ObjectMeta) -> Option<String> {
    let mut held = held(metadata);
    let ours = [
        keys::CLIENT_ID_ANNOTATION,
        keys::TENANT_ID_ANNOTATION,
        keys::BOUND_BY_LABEL,
    ];
    let holder = ours.into_iter().find_map(|key| held.remove(key));
    let by = holder
        .map(|held| held.manager)
        .or_else(|| last_other_writer(metadata))?;
    Some(by.chars().take(MANAGER_CHARS_MAX).collect())
}

/// The field manager, other than us, that wrote last.
fn last_other_writer(metadata: &ObjectMeta) -> Option<String> {
    let managers = metadata.managed_fields.iter().flatten();
    let others = managers.filter(|entry| entry.manager.as_deref().is_some_and(|name| name != keys::FIELD_MANAGER));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    last.manager.clone()
}
