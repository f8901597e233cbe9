//! Restarts owners of pods that lack a token, where a binding asks for it. Whom and when, the core says.

use wio_api::{Rollout, WorkloadIdentityBinding, WorkloadIdentityBindingStatus, WorkloadsStatus};
use wio_core::names::ClientId;
use wio_core::rollout::{Held, Restart, Round, ToRead, Written};
use wio_core::workloads::Tally;

use super::owners::Owners;
use super::schedule::Schedule;
use crate::reconcile::context::Api;
use crate::reconcile::footing::read_whole;

/// The binding whose pods were looked at.
pub(super) struct Asking<'a> {
    pub(super) object: &'a WorkloadIdentityBinding,
    /// The status that is about to be written.
    pub(super) next: &'a WorkloadIdentityBindingStatus,
    pub(super) client_id: ClientId,
    /// Whether that status says Ready.
    pub(super) ready: bool,
    /// Whether somebody else changes its service accounts back.
    pub(super) contested: bool,
}

// === impl Asking ===

impl Asking<'_> {
    /// What is told of the pods, with what became of their owners.
    pub(super) async fn answer(&self, api: &Api, schedule: &mut Schedule, tally: &Tally) -> WorkloadsStatus {
        let candidates = tally.candidates();
        let seen = tally.status(Vec::new());
        let Some(Rollout::Restart) = self.object.spec.rollout else {
            return seen;
        };
        let previous = self.object.status.as_ref();
        let previous = previous.and_then(|previous| previous.workloads.as_ref());
        let previous = schedule.untold().or(previous);
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
                    let written = self.restart((api, &owners), &restart, schedule).await;
                    round.wrote(&candidate, &written, (api.clock)());
                }
            }
        }
        tally.status(round.into_told())
    }

    /// Restarts an owner, if the binding still asks for it. Of one that is not confirmed nothing is known that lets another one be tried.
    async fn restart(&self, (api, owners): (&Api, &Owners<'_>), restart: &Restart, schedule: &mut Schedule) -> Written {
        if !self.is_live(api).await {
            return Written::Unknown;
        }
        let written = owners.restart(restart).await;
        if written == Written::Done {
            tracing::info!(owner = %restart.maker(), client_id = %self.client_id, "restarted");
            api.metrics.restarted();
            schedule.restarted();
        }
        written
    }

    /// Whether the API server has the binding as it is restarted for. The look can have taken minutes, and another replica can lead by now.
    async fn is_live(&self, api: &Api) -> bool {
        match read_whole(&api.client, &self.object.metadata).await {
            Ok(Some(live)) => self.is_of(&live),
            Ok(None) => false,
            Err(fault) => {
                tracing::warn!(%fault, "nothing was restarted, because the binding could not be read");
                false
            }
        }
    }

    fn is_of(&self, live: &WorkloadIdentityBinding) -> bool {
        let (was, is) = (&self.object.metadata, &live.metadata);
        let identity = live.status.as_ref().and_then(|status| status.identity.as_ref());
        let client_id = identity.and_then(|identity| identity.client_id.as_deref());
        (&was.uid, was.generation) == (&is.uid, is.generation)
            && is.deletion_timestamp.is_none()
            && client_id.is_some_and(|id| id.parse().is_ok_and(|id: ClientId| id == self.client_id))
    }

    fn held(&self, api: &Api, schedule: &Schedule) -> Option<Held> {
        let has_settled = |interval| schedule.has_settled(self.next, interval);
        if !api.workloads.restarts() {
            Some(Held::NotTold)
        } else if self.object.spec.suspend {
            Some(Held::Suspended)
        } else if !self.ready {
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
