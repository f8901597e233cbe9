//! Service accounts that somebody else changes back each time they are written.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use wio_api::{Reason, keys};
use wio_core::fault::{Blocked, Fault};
use wio_core::names::{Namespace, ServiceAccountName};
use wio_core::observed::ObservedServiceAccount;
use wio_core::plan::{GrantStep, Plan};

use super::wire::read;
use crate::runtime::patience::Patience;

/// How much of the name of a field manager is told.
const MANAGER_CHARS_MAX: usize = 64;

/// The service accounts that were written lately, and who changes them back.
#[derive(Debug, Default)]
pub(crate) struct Contested(BTreeMap<ServiceAccountName, Contest>);

#[derive(Debug)]
struct Contest {
    patience: Patience<ObservedServiceAccount>,
    /// The other field manager.
    by: Option<String>,
}

// === impl Contested ===

impl Contested {
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

    /// Takes in what was written, and tells what somebody else changes back each time.
    pub(crate) async fn wrote(
        &mut self,
        client: &Client,
        namespace: &Namespace,
        written: Vec<(&ServiceAccountName, &ObservedServiceAccount)>,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (name, written) in written {
            let contest = self.0.entry(name.clone()).or_insert_with(Contest::new);
            contest.patience.wrote(written.clone());
            if contest.patience.is_fought() {
                contest.find_out(client, namespace, name).await;
                faults.extend(contest.fault(name));
            }
        }
        faults
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

    /// Finds out who it is: what the cache holds does not say.
    async fn find_out(&mut self, client: &Client, namespace: &Namespace, name: &ServiceAccountName) {
        let live = read(client, namespace, name).await;
        if let Ok(Some(live)) = live
            && let Some(other) = last_other_writer(&live)
        {
            self.by = Some(other);
        }
    }

    /// What is told of it. A first repetition is not told: it may be a mere slip.
    fn fault(&self, name: &ServiceAccountName) -> Option<Fault> {
        let by = match &self.by {
            Some(by) => format!("field manager {by:?}"),
            None => "another writer".to_owned(),
        };
        self.patience.is_fought().then(|| {
            Fault::Blocked(Blocked {
                reason: Reason::ServiceAccountConflict,
                message: format!(
                    "{by} changes service account {name} back each time the operator has written it, and pods that are created meanwhile \
                     get no token. Have it leave the annotations alone that the operator writes; until then the operator tries again in \
                     growing pauses"
                ),
            })
        })
    }
}

/// The field manager, other than us, that wrote last.
fn last_other_writer(metadata: &ObjectMeta) -> Option<String> {
    let managers = metadata.managed_fields.iter().flatten();
    let others = managers.filter(|entry| entry.manager.as_deref().is_some_and(|name| name != keys::FIELD_MANAGER));
    let last = others.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
    Some(last.manager.as_deref()?.chars().take(MANAGER_CHARS_MAX).collect())
}
