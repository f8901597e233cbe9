//! What a report rests on, read with the caller's rights.

use std::collections::{BTreeMap, BTreeSet};

use futures::future;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use wio_api::{EFFECTIVE_POLICY_NAME, WorkloadIdentityBinding, WorkloadIdentityEffectivePolicy};
use wio_core::active_namespaces::ActiveNamespaces;

use crate::pages::{list, list_metadata};
use crate::pods::{PodGlance, pods, runs_as};
use crate::session::{Session, told};

/// A namespace, and a name in it.
type Key = (String, String);

/// What was looked at, or why not.
pub(crate) type Looked<T> = Result<T, String>;

/// Everything around bindings that a report about one of them rests on.
pub(crate) struct Surroundings {
    /// The bindings of all namespaces, or of as many as the caller may list.
    pub(crate) bindings: Vec<WorkloadIdentityBinding>,
    /// The annotations of the service accounts, of the same namespaces.
    accounts: Looked<BTreeMap<Key, BTreeMap<String, String>>>,
    /// The pods by their service accounts, of the same namespaces.
    pods: Looked<BTreeMap<Key, Vec<PodGlance>>>,
    /// The places of the bindings that have or name an identity, by its id in lower case.
    by_identity: BTreeMap<String, BTreeSet<usize>>,
    /// Where the operator acts: everywhere, where the caller may not read the effective policy, which tells it.
    active: ActiveNamespaces,
    /// What else could not be looked at.
    pub(crate) not_looked_at: Vec<String>,
}

/// Reads them: of the session's namespace, or of all.
pub(crate) async fn gather(session: &Session, everywhere: bool) -> anyhow::Result<Surroundings> {
    let client = &session.client;
    let within = (!everywhere).then_some(session.namespace.as_str());
    let accounts: Api<ServiceAccount> = match within {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let all = ListParams::default();
    let everywhere_bindings: Api<WorkloadIdentityBinding> = Api::all(client.clone());
    let (accounts, pods, bindings, active) = future::join4(
        list_metadata(&accounts, &all),
        pods(session, within, &all),
        list(&everywhere_bindings, &all),
        active(session),
    )
    .await;
    let mut not_looked_at = Vec::new();
    let bindings = match bindings {
        Ok(bindings) => bindings,
        Err(error) if everywhere => return Err(told(error)),
        Err(error) => {
            not_looked_at.push(format!("bindings of other namespaces: {}", told(error)));
            list(&session.bindings(), &all).await.map_err(told)?
        }
    };
    Ok(Surroundings {
        by_identity: by_identity(&bindings),
        bindings,
        accounts: accounts.map(by_name).map_err(|error| told(error).to_string()),
        pods: pods.map(by_account).map_err(|error| told(error).to_string()),
        active,
        not_looked_at,
    })
}

async fn active(session: &Session) -> ActiveNamespaces {
    let effective: Api<WorkloadIdentityEffectivePolicy> = Api::all(session.client.clone());
    let read = effective.get(EFFECTIVE_POLICY_NAME).await.ok();
    let defaults = read.and_then(|effective| effective.spec.defaults).unwrap_or_default();
    ActiveNamespaces::parse(&defaults.watch_namespaces, &defaults.exclude_namespaces).unwrap_or_default()
}

fn by_name(accounts: Vec<ObjectMeta>) -> BTreeMap<Key, BTreeMap<String, String>> {
    let named = accounts.into_iter().map(|account| {
        let key = (account.namespace.unwrap_or_default(), account.name.unwrap_or_default());
        (key, account.annotations.unwrap_or_default())
    });
    named.collect()
}

fn by_account(pods: Vec<PodGlance>) -> BTreeMap<Key, Vec<PodGlance>> {
    let mut by_account: BTreeMap<Key, Vec<PodGlance>> = BTreeMap::new();
    for mut pod in pods {
        // It is most of a pod's metadata, and nothing is asked of it.
        pod.metadata.managed_fields = None;
        let key = (pod.namespace().unwrap_or_default(), runs_as(&pod).to_owned());
        by_account.entry(key).or_default().push(pod);
    }
    by_account
}

fn by_identity(bindings: &[WorkloadIdentityBinding]) -> BTreeMap<String, BTreeSet<usize>> {
    let mut by_identity: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (place, binding) in bindings.iter().enumerate() {
        let recorded = binding.status.as_ref().and_then(|status| status.identity.as_ref());
        let recorded = recorded.map(|identity| &identity.resource_id);
        let asked = binding.spec.identity.existing.as_ref();
        let asked = asked.and_then(|existing| existing.resource_id.as_ref());
        for id in recorded.into_iter().chain(asked) {
            by_identity.entry(id.to_ascii_lowercase()).or_default().insert(place);
        }
    }
    by_identity
}

// === impl Surroundings ===

impl Surroundings {
    /// Whether the operator acts in a namespace.
    pub(crate) fn is_active(&self, namespace: &str) -> bool {
        self.active.contains(namespace)
    }

    /// The annotations of a service account; none when it is not there.
    pub(crate) fn account(&self, namespace: &str, name: &str) -> Looked<Option<&BTreeMap<String, String>>> {
        let accounts = self.accounts.as_ref().map_err(Clone::clone)?;
        Ok(accounts.get(&(namespace.to_owned(), name.to_owned())))
    }

    /// The pods that run as a service account.
    pub(crate) fn pods_of(&self, namespace: &str, account: &str) -> Looked<&[PodGlance]> {
        let pods = self.pods.as_ref().map_err(Clone::clone)?;
        let pods = pods.get(&(namespace.to_owned(), account.to_owned()));
        Ok(pods.map(Vec::as_slice).unwrap_or_default())
    }

    /// The bindings that have or ask for an identity.
    pub(crate) fn users_of(&self, identity: &str) -> impl Iterator<Item = &WorkloadIdentityBinding> {
        let places = self.by_identity.get(&identity.to_ascii_lowercase());
        places
            .into_iter()
            .flatten()
            .filter_map(|place| self.bindings.get(*place))
    }

    /// Whether the pods could be looked at.
    pub(crate) const fn sees_pods(&self) -> bool {
        self.pods.is_ok()
    }

    /// What of a report about pods could not be looked at, and why.
    pub(crate) fn not_judged(&self) -> Vec<String> {
        let accounts = self
            .accounts
            .as_ref()
            .err()
            .map(|why| format!("service accounts: {why}"));
        let pods = self.pods.as_ref().err().map(|why| format!("pods: {why}"));
        accounts.into_iter().chain(pods).collect()
    }
}
