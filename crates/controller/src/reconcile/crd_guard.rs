//! The guard on our own CRDs, which are read before anything is taken away: what disappears with its CRD was not wished away.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tokio::time::Instant;
use wio_api::keys;
use wio_core::binding::Binding;
use wio_core::case::Case;
use wio_core::crd_guard::{CrdState, Crds, PoliciesLeft, shares_identity};
use wio_core::desired::{Desired, DesiredRemoval};
use wio_core::fault::{Blocked, Fault};
use wio_core::names::PolicyName;
use wio_core::verdict::Verdict;

use crate::caches::policy_watch::PolicyWatch;
use crate::runtime::request::request;

/// How long the answer that nothing may be taken away is believed. Believing it for too long takes nothing away, and in that
/// state every binding of the cluster may ask again and again.
const WITHHELD_FOR: Duration = Duration::from_secs(10);

/// The guard on our CRDs, with what it read last.
#[derive(Debug, Default)]
pub(crate) struct CrdGuard {
    last: Mutex<Option<LastRead>>,
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
    pub(crate) async fn confirm(
        &self,
        (client, policies): (&Client, &PolicyWatch),
        case: &Case,
        verdict: &Verdict,
    ) -> Result<(), Fault> {
        let left = || left(policies, case);
        let binding = &case.candidate.binding;
        let confirmed = match verdict {
            Verdict::Hold(_) | Verdict::Release(_) => Ok(()),
            Verdict::Pursue(desired) => match &**desired {
                Desired::Bound(_) => Ok(()),
                Desired::Denied(denial) => {
                    let crds = self.read(client).await?;
                    let left = left();
                    let denied = crds.confirm_denial(binding, &left, denial.why());
                    let others = sharing(case, Some(denial.removal()));
                    denied.and_then(|()| crds.confirm_denial_of_shared(others, &left))
                }
                Desired::Gone(removal) => {
                    let crds = self.read(client).await?;
                    let deletion = confirm_deletion(&crds, (case, Some(removal)), left);
                    match &removal.orphan_denied {
                        Some(why) => deletion.and_then(|()| crds.confirm_denial(binding, &left(), why)),
                        None => deletion,
                    }
                }
            },
            Verdict::Orphan(_) => confirm_deletion(&self.read(client).await?, (case, None), left),
        };
        confirmed.map_err(Fault::Blocked)
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

/// Asks about a deletion: it takes away what the binding shares, which those that wait for vanished policies have to keep.
fn confirm_deletion(
    crds: &Crds,
    (case, removal): (&Case, Option<&DesiredRemoval>),
    left: impl FnOnce() -> PoliciesLeft,
) -> Result<(), Blocked> {
    let binding = &case.candidate.binding;
    let others_by: BTreeSet<PolicyName> = sharing(case, removal)
        .flat_map(|neighbour| neighbour.recorded.authorized_by.iter().cloned())
        .collect();
    if others_by.is_empty() {
        return crds.confirm();
    }
    crds.confirm_deletion_of_shared(binding, &others_by, &left())
}

/// The other bindings of the namespace that have by a policy what is taken away.
fn sharing<'a>(case: &'a Case, removal: Option<&'a DesiredRemoval>) -> impl Iterator<Item = &'a Binding> {
    let neighbours = case.neighbours.iter().map(|neighbour| &neighbour.binding);
    neighbours.filter(move |neighbour| shares_identity(&case.candidate.binding, removal, neighbour))
}

/// What is left of the policies by which a case is decided.
fn left(policies: &PolicyWatch, case: &Case) -> PoliciesLeft {
    let now = &case.rules.policies;
    PoliciesLeft {
        any: !now.is_empty(),
        vanished: policies.see(now),
    }
}

// === impl LastRead ===

impl LastRead {
    fn serves(&self, asked: Instant) -> bool {
        let withholds = matches!(&self.found, Ok(crds) if crds.confirm().is_err());
        self.begun > asked || withholds && self.begun.elapsed() < WITHHELD_FOR
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
