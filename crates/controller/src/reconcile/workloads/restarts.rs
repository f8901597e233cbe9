//! Restarts owners of pods that lack a token, where a binding asks for it. Whom and when, the core says.

use wio_api::{ConditionType, Rollout, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, WorkloadsStatus};
use wio_core::names::ClientId;
use wio_core::rollout::{Held, Round, ToRead, Written};
use wio_core::workloads::Tally;

use super::owners::Owners;
use super::schedule::Schedule;
use crate::reconcile::context::Api;

/// The binding whose pods were looked at.
pub(super) struct Asking<'a> {
    pub(super) object: &'a WorkloadIdentityBinding,
    /// The status that is about to be written.
    pub(super) next: &'a WorkloadIdentityBindingStatus,
    pub(super) client_id: ClientId,
    /// Whether somebody else changes its service accounts back.
    pub(super) contested: bool,
}

// === impl Asking ===

impl Asking<'_> {
    /// What is told of the pods, with what became of their owners.
    pub(super) async fn answer(&self, api: &Api, schedule: &mut Schedule, tally: Tally) -> WorkloadsStatus {
        let candidates = tally.candidates();
        let mut seen = tally.into_status();
        let Some(Rollout::Restart) = self.object.spec.rollout else {
            return seen;
        };
        let previous = self.object.status.as_ref();
        let previous = previous.and_then(|previous| previous.workloads.as_ref());
        let held = self.held(api, schedule);
        let mut round = Round::begin(self.client_id, candidates, (&seen, previous), held);
        let namespace = self.object.metadata.namespace.as_deref().unwrap_or_default();
        let owners = Owners::new(&api.client, namespace);
        while let Some(next) = round.next_to_read() {
            match next {
                ToRead::Restarted(kind, name) => {
                    let read = owners.named(kind, &name).await;
                    round.saw_restarted((kind, &name), &read);
                }
                ToRead::Candidate(candidate, maker) => {
                    let read = owners.of(&maker).await;
                    let Some(restart) = round.saw(&candidate, &read) else {
                        continue;
                    };
                    let written = owners.restart(&restart).await;
                    if written == Written::Done {
                        tracing::info!(owner = %candidate.owner, client_id = %self.client_id, "restarted");
                        api.metrics.restarted();
                        schedule.restarted();
                    }
                    round.wrote(&candidate, &written);
                }
            }
        }
        seen.restarts = round.into_told();
        seen
    }

    fn held(&self, api: &Api, schedule: &Schedule) -> Option<Held> {
        let ready = self.next.condition(ConditionType::Ready);
        let has_settled = |interval| schedule.has_settled(self.next, interval);
        if !api.workloads.restarts() {
            Some(Held::NotTold)
        } else if self.object.spec.suspend {
            Some(Held::Suspended)
        } else if ready.is_none_or(|ready| ready.status != "True") {
            Some(Held::NotReady)
        } else if self.contested {
            Some(Held::Contested)
        } else if !api.workloads.interval().is_some_and(has_settled) {
            Some(Held::New)
        } else {
            None
        }
    }
}
