//! Whose pods the operator would restart, where a binding asks for that: by the pods that run now.

use std::collections::BTreeMap;

use kube::api::ListParams;
use wio_api::{RestartResult, Rollout, WorkloadIdentityBinding};
use wio_core::names::ClientId;
use wio_core::workloads::Tally;

use super::foresee::Word;
use super::show::Forecasts;
use super::world::World;
use crate::pods::{PodGlance, pods, runs_as};
use crate::session::{Session, told};

/// What no identity has: no pod has the client id of one that is still to be made.
const NOBODYS: &str = "ffffffff-ffff-4fff-bfff-ffffffffffff";

/// Says in forecasts of bindings that ask for restarts whose pods lack the token, as it would be. What it costs is a list of pods for a namespace.
pub(crate) async fn foresee_restarts(forecasts: &mut Forecasts, after: &World, session: &Session) {
    let mut read: BTreeMap<String, Option<Vec<PodGlance>>> = BTreeMap::new();
    for one in &mut forecasts.bindings {
        let key = one.namespace.parse().ok().zip(one.name.parse().ok());
        let Some(binding) = key.and_then(|key| after.binding(&key)) else {
            continue;
        };
        if binding.spec.rollout != Some(Rollout::Restart) || one.forecast.verdict != Word::Granted {
            continue;
        }
        if !read.contains_key(&one.namespace) {
            let listed = pods(session, Some(&one.namespace), &ListParams::default()).await;
            let listed = listed.map_err(|error| {
                forecasts.not_read.push(format!(
                    "the pods of namespace {}, whose owners the operator would restart where they lack the token: {}",
                    one.namespace,
                    told(error)
                ));
            });
            read.insert(one.namespace.clone(), listed.ok());
        }
        if let Some(Some(pods)) = read.get(&one.namespace) {
            one.forecast.restarts = restarted(binding, pods);
        }
    }
}

fn restarted(binding: &WorkloadIdentityBinding, pods: &[PodGlance]) -> Vec<String> {
    let status = binding.status.as_ref();
    let identity = status.and_then(|status| status.identity.as_ref());
    let known: Option<ClientId> = identity.and_then(|identity| identity.client_id.as_deref()?.parse().ok());
    let Some(client_id) = known.or_else(|| NOBODYS.parse().ok()) else {
        return Vec::new();
    };
    let mut tally = Tally::default();
    let bound = |pod: &&PodGlance| binding.spec.service_accounts.iter().any(|one| one.name == runs_as(pod));
    for pod in pods.iter().filter(bound) {
        tally.see((&pod.metadata, &pod.spec, pod.status.as_ref()), runs_as(pod), client_id);
    }
    let told = status.and_then(|status| status.workloads.as_ref());
    // Once for a client id; and whom the operator does not restart it says.
    let is_done = |owner: &str| {
        let mut restarts = told.iter().flat_map(|told| &told.restarts);
        restarts.any(|one| {
            one.owner == owner && one.result != RestartResult::Waiting && one.client_id.parse().ok() == Some(client_id)
        })
    };
    let candidates = tally.candidates().into_iter().filter(|one| one.maker.is_some());
    let owners = candidates.map(|one| one.owner.to_string());
    owners.filter(|owner| !is_done(owner)).collect()
}
