//! The guard on our own CRDs, which are read before anything is taken away: what disappears with its CRD was not wished away.

use std::collections::BTreeSet;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use wio_api::{WorkloadIdentityPolicy, keys};
use wio_core::case::Case;
use wio_core::crd_guard::{CrdState, Crds, PoliciesLeft, shares_identity};
use wio_core::desired::Desired;
use wio_core::fault::{Blocked, Fault};
use wio_core::names::PolicyName;
use wio_core::policy::{Policies, QUIET, Vanished, Vanishing};
use wio_core::verdict::Verdict;

use crate::runtime::pages::FEW;
use crate::runtime::request::request;

/// How long the answer that nothing may be taken away is believed. Believing it for too long takes nothing away, and in that
/// state every binding of the cluster may ask again and again.
const WITHHELD_FOR: Duration = Duration::from_secs(10);

/// The guard on our CRDs, with what it read last, and on the policies.
#[derive(Debug)]
pub(crate) struct CrdGuard {
    last: Mutex<Option<LastRead>>,
    pub(crate) policies: PolicyWatch,
}

/// The policies that stood, and those that vanished.
#[derive(Debug)]
pub(crate) struct PolicyWatch {
    state: StdMutex<Vanishing>,
    started: Instant,
    /// What is to be kept in the cluster, for whoever keeps it.
    believed: watch::Sender<Option<BTreeSet<PolicyName>>>,
}

#[derive(Debug)]
struct LastRead {
    begun: Instant,
    found: Result<Crds, Fault>,
}

// === impl CrdGuard ===

impl CrdGuard {
    /// Asks whether what a verdict takes away may have disappeared by accident. What gives is not asked about.
    ///
    /// # Errors
    /// Why nothing may be taken away, or why that could not be found out.
    pub(crate) async fn confirm(&self, client: &Client, case: &Case, verdict: &Verdict) -> Result<(), Fault> {
        let binding = &case.candidate.binding;
        let confirmed = match verdict {
            Verdict::Hold(_) | Verdict::Release(_) => Ok(()),
            Verdict::Pursue(desired) => match &**desired {
                Desired::Bound(_) => Ok(()),
                Desired::Denied(denial) => {
                    let crds = self.read(client).await?;
                    crds.confirm_denial(binding, &self.left(case), denial.why())
                }
                Desired::Gone(removal) => {
                    let crds = self.read(client).await?;
                    let deletion = self.confirm_deletion(&crds, case);
                    match &removal.orphan_denied {
                        Some(why) => deletion.and_then(|()| crds.confirm_denial(binding, &self.left(case), why)),
                        None => deletion,
                    }
                }
            },
            Verdict::Orphan(_) => self.confirm_deletion(&self.read(client).await?, case),
        };
        confirmed.map_err(Fault::Blocked)
    }

    /// Asks about a deletion: it takes away what the binding shares, which those that wait for vanished policies have to keep.
    fn confirm_deletion(&self, crds: &Crds, case: &Case) -> Result<(), Blocked> {
        let binding = &case.candidate.binding;
        let neighbours = case.neighbours.iter().map(|neighbour| &neighbour.binding);
        let sharing = neighbours.filter(|neighbour| shares_identity(binding, neighbour));
        let others_by: BTreeSet<PolicyName> = sharing
            .flat_map(|neighbour| neighbour.recorded.authorized_by.iter().cloned())
            .collect();
        if others_by.is_empty() {
            return crds.confirm();
        }
        crds.confirm_deletion_of_shared(binding, &others_by, &self.left(case))
    }

    /// What is left of the policies by which a case is decided.
    fn left(&self, case: &Case) -> PoliciesLeft {
        let policies = &case.rules.policies;
        PoliciesLeft {
            any: !policies.is_empty(),
            vanished: self.policies.see(policies),
        }
    }

    /// The state of the CRDs, from a read that began after it was asked for: a CRD that disappears does so before its objects.
    /// Whoever asks while one is under way shares the next one with all others that wait for it.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(crate) async fn read(&self, client: &Client) -> Result<Crds, Fault> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(read) = last.as_ref().filter(|read| read.serves(asked)) {
            return read.found.clone();
        }
        let begun = Instant::now();
        let found = read(client).await;
        *last = Some(LastRead {
            begun,
            found: found.clone(),
        });
        found
    }
}

// === impl PolicyWatch ===

impl PolicyWatch {
    /// Takes in what the cluster keeps of the policies that stood, and the word that their end is meant.
    pub(crate) fn learn(&self, stood: BTreeSet<PolicyName>, vanished: BTreeSet<PolicyName>, word: Option<String>) {
        self.change(|state| state.learn(stood, vanished, word));
    }

    /// Takes in the policies as they are now, and says what became of those that stood before.
    pub(crate) fn see(&self, policies: &Policies) -> Vanished {
        self.change(|state| state.see(policies, self.started.elapsed()))
    }

    /// Asks for a list of the policies where their end waits for one: a watch that is behind would have a part of what vanished count as all of it. As long as
    /// the list cannot be had or shows something else, nothing is taken away for their end.
    pub(crate) async fn prove(&self, client: &Client, policies: &Policies) {
        if !self.waits_for_list(policies) {
            return;
        }
        match names(client).await {
            Ok(shown) => self.change(|state| state.prove(shown)),
            Err(fault) => return tell_unknown(&fault),
        }
        if self.waits_for_list(policies) {
            tell_behind();
        }
    }

    fn waits_for_list(&self, policies: &Policies) -> bool {
        matches!(self.see(policies), Vanished::Unproven(_))
    }

    /// How long it takes until the policies have been quiet for long enough; once they have, as long again until the next list.
    pub(crate) fn quiet_in(&self) -> Duration {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.quiet_in(self.started.elapsed()) {
            Duration::ZERO => QUIET,
            soon => soon,
        }
    }

    /// What is to be kept in the cluster, as it changes.
    pub(crate) fn believed(&self) -> watch::Receiver<Option<BTreeSet<PolicyName>>> {
        self.believed.subscribe()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vanishing) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut state);
        self.believed.send_if_modified(|kept| {
            let differs = kept.as_ref() != state.believed();
            if differs {
                *kept = state.believed().cloned();
            }
            differs
        });
        changed
    }
}

impl Default for CrdGuard {
    fn default() -> Self {
        Self {
            last: Mutex::default(),
            policies: PolicyWatch {
                state: StdMutex::default(),
                started: Instant::now(),
                believed: watch::Sender::new(None),
            },
        }
    }
}

// === impl LastRead ===

impl LastRead {
    fn serves(&self, asked: Instant) -> bool {
        let withholds = matches!(&self.found, Ok(crds) if crds.confirm().is_err());
        self.begun > asked || withholds && self.begun.elapsed() < WITHHELD_FOR
    }
}

fn tell_unknown(fault: &Fault) {
    tracing::warn!(%fault, "whether policies vanished is not known, so nothing is taken away for their end yet");
}

fn tell_behind() {
    tracing::warn!(
        "a list of the policies shows others than the watch, so nothing is taken away for the end of any yet"
    );
}

/// The names of the policies by a list of now.
async fn names(client: &Client) -> Result<BTreeSet<PolicyName>, Fault> {
    let api: Api<WorkloadIdentityPolicy> = Api::all(client.clone());
    let (mut names, mut pages) = (BTreeSet::new(), ListParams::default().limit(FEW));
    loop {
        let page = request(|| "list the policies".to_owned(), api.list_metadata(&pages)).await?;
        let found = page
            .items
            .iter()
            .filter_map(|one| one.metadata.name.as_deref()?.parse().ok());
        names.extend(found);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => pages = pages.continue_token(&token),
            None => return Ok(names),
        }
    }
}

async fn read(client: &Client) -> Result<Crds, Fault> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let [bindings, policies] = Crds::NAMES.map(|name| {
        let api = &api;
        async move {
            let operation = || format!("find out whether the custom resource definition {name} stands");
            let found = request(operation, api.get_metadata_opt(name)).await?;
            Ok::<_, Fault>(state(found.as_ref().map(|crd| &crd.metadata)))
        }
    });
    let (bindings, policies) = tokio::try_join!(bindings, policies)?;
    Ok(Crds { bindings, policies })
}

fn state(metadata: Option<&ObjectMeta>) -> CrdState {
    let Some(metadata) = metadata else {
        return CrdState::Gone;
    };
    if metadata.deletion_timestamp.is_some() {
        let annotations = metadata.annotations.as_ref();
        let value = annotations.and_then(|all| all.get(keys::ALLOW_DELETION_ANNOTATION));
        return CrdState::Going {
            meant: value.is_some_and(|value| value == "true"),
        };
    }
    CrdState::Stands {
        since: metadata.creation_timestamp.as_ref().map(|time| time.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_read(begun: Instant, bindings: CrdState) -> LastRead {
        let policies = CrdState::Stands { since: None };
        LastRead {
            begun,
            found: Ok(Crds { bindings, policies }),
        }
    }

    /// A CRD that was deleted after that read would be missed.
    #[tokio::test(start_paused = true)]
    async fn that_all_is_well_is_believed_only_of_a_read_that_began_later() {
        let asked = Instant::now();
        let well = |begun| last_read(begun, CrdState::Stands { since: None });
        assert!(!well(asked).serves(asked));
        assert!(well(asked + Duration::from_millis(1)).serves(asked));
    }

    #[tokio::test(start_paused = true)]
    async fn that_something_is_wrong_is_believed_for_a_while() {
        let seen = last_read(Instant::now(), CrdState::Gone);
        tokio::time::advance(WITHHELD_FOR / 2).await;
        assert!(seen.serves(Instant::now()));
        tokio::time::advance(WITHHELD_FOR).await;
        assert!(!seen.serves(Instant::now()));
    }

    #[test]
    fn a_crd_that_goes_is_meant_to_go_only_by_its_annotation() {
        let going = |value: Option<&str>| {
            let mut metadata = ObjectMeta {
                deletion_timestamp: Some(serde_json::from_str("\"2026-01-01T00:00:00Z\"").unwrap()),
                ..ObjectMeta::default()
            };
            metadata.annotations = value.map(|value| {
                [(keys::ALLOW_DELETION_ANNOTATION.to_owned(), value.to_owned())]
                    .into_iter()
                    .collect()
            });
            state(Some(&metadata))
        };
        assert_eq!(going(Some("true")), CrdState::Going { meant: true });
        assert_eq!(going(Some("yes")), CrdState::Going { meant: false });
        assert_eq!(going(None), CrdState::Going { meant: false });
        assert_eq!(state(None), CrdState::Gone);
    }
}
