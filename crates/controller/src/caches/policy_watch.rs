//! The policies that stood, and those that vanished.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::Instant;
use wio_api::WorkloadIdentityPolicy;
use wio_core::fault::Fault;
use wio_core::names::PolicyName;
use wio_core::policy::{Policies, QUIET, Vanished, Vanishing};

use crate::runtime::pages::FEW;
use crate::runtime::request::request;

/// The policies that stood, and those that vanished. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct PolicyWatch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    seen: Mutex<Seen>,
    started: Instant,
    /// What is to be kept in the cluster, for whoever keeps it.
    believed: watch::Sender<Option<BTreeSet<PolicyName>>>,
}

#[derive(Debug, Default)]
struct Seen {
    vanishing: Vanishing,
    /// Those that were seen last, where none had vanished: every pass asks, and most of them about the same ones.
    complete: Option<Arc<Policies>>,
}

// === impl PolicyWatch ===

impl PolicyWatch {
    /// Takes in what the cluster keeps of the policies that stood, and the word that their end is meant.
    pub(crate) fn learn(&self, stood: BTreeSet<PolicyName>, vanished: BTreeSet<PolicyName>, word: Option<String>) {
        self.change(|state| state.learn(stood, vanished, word));
    }

    /// Takes in the policies as they are now, and says what became of those that stood before.
    pub(crate) fn see(&self, policies: &Arc<Policies>) -> Vanished {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen
            .complete
            .as_ref()
            .is_some_and(|complete| Arc::ptr_eq(complete, policies))
        {
            return Vanished::None;
        }
        let vanished = seen.vanishing.see(policies, self.0.started.elapsed());
        seen.complete = (vanished == Vanished::None).then(|| Arc::clone(policies));
        self.tell(&seen.vanishing);
        vanished
    }

    /// Asks for a list of the policies where their end waits for one: a watch that is behind would have a part of what vanished count as all of it. As long as
    /// the list cannot be had or shows something else, nothing is taken away for their end.
    pub(crate) async fn prove(&self, client: &Client, policies: &Arc<Policies>) {
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

    fn waits_for_list(&self, policies: &Arc<Policies>) -> bool {
        matches!(self.see(policies), Vanished::Unproven(_))
    }

    /// How long it takes until the policies have been quiet for long enough; once they have, as long again until the next list.
    pub(crate) fn quiet_in(&self) -> Duration {
        let seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.vanishing.quiet_in(self.0.started.elapsed()) {
            Duration::ZERO => QUIET,
            soon => soon,
        }
    }

    /// What is to be kept in the cluster, as it changes.
    pub(crate) fn believed(&self) -> watch::Receiver<Option<BTreeSet<PolicyName>>> {
        self.0.believed.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Vanishing)) {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut seen.vanishing);
        self.tell(&seen.vanishing);
    }

    fn tell(&self, vanishing: &Vanishing) {
        self.0.believed.send_if_modified(|kept| {
            let differs = kept.as_ref() != vanishing.believed();
            if differs {
                *kept = vanishing.believed().cloned();
            }
            differs
        });
    }
}

impl Default for PolicyWatch {
    fn default() -> Self {
        Self(Arc::new(Watched {
            seen: Mutex::default(),
            started: Instant::now(),
            believed: watch::Sender::new(None),
        }))
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
