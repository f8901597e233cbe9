//! What a report rests on, read with the caller's rights.

use futures::future;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::ListParams;
use kube::core::{ApiResource, Object};
use kube::{Api, ResourceExt};
use wio_api::WorkloadIdentityBinding;
use wio_api::pod::{PodSpec, PodStatus};

use crate::session::{Session, told};

/// A pod as far as it is read.
pub(crate) type PodGlance = Object<PodSpec, PodStatus>;

/// What was looked at, or why not.
pub(crate) type Looked<T> = Result<T, String>;

/// Everything around bindings that a report about one of them rests on.
pub(crate) struct Surroundings {
    /// The bindings of all namespaces, or of as many as the caller may list.
    pub(crate) bindings: Vec<WorkloadIdentityBinding>,
    /// The service accounts, of the same namespaces.
    pub(crate) accounts: Looked<Vec<ServiceAccount>>,
    /// The pods, of the same namespaces.
    pub(crate) pods: Looked<Vec<PodGlance>>,
    /// What else could not be looked at.
    pub(crate) not_looked_at: Vec<String>,
}

/// Reads them: of the session's namespace, or of all.
pub(crate) async fn gather(session: &Session, everywhere: bool) -> anyhow::Result<Surroundings> {
    let client = &session.client;
    let within = (!everywhere).then_some(session.namespace.as_str());
    let resource = ApiResource::erase::<Pod>(&());
    let (accounts, pods): (Api<ServiceAccount>, Api<PodGlance>) = match within {
        Some(namespace) => (
            Api::namespaced(client.clone(), namespace),
            Api::namespaced_with(client.clone(), namespace, &resource),
        ),
        None => (Api::all(client.clone()), Api::all_with(client.clone(), &resource)),
    };
    let all = ListParams::default();
    let everywhere_bindings: Api<WorkloadIdentityBinding> = Api::all(client.clone());
    let (accounts, pods, bindings) =
        future::join3(accounts.list(&all), pods.list(&all), everywhere_bindings.list(&all)).await;
    let mut not_looked_at = Vec::new();
    let bindings = match bindings {
        Ok(list) => list.items,
        Err(error) if everywhere => return Err(told(error)),
        Err(error) => {
            not_looked_at.push(format!("bindings of other namespaces: {}", told(error)));
            session.bindings().list(&all).await.map_err(told)?.items
        }
    };
    Ok(Surroundings {
        bindings,
        accounts: accounts.map(|list| list.items).map_err(|error| told(error).to_string()),
        pods: pods.map(|list| list.items).map_err(|error| told(error).to_string()),
        not_looked_at,
    })
}

// === impl Surroundings ===

impl Surroundings {
    /// A service account; none when it is not there.
    pub(crate) fn account(&self, namespace: &str, name: &str) -> Looked<Option<&ServiceAccount>> {
        let accounts = self.accounts.as_ref().map_err(Clone::clone)?;
        Ok(accounts
            .iter()
            .find(|one| one.namespace().as_deref() == Some(namespace) && one.name_any() == name))
    }

    /// The pods that run as a service account.
    pub(crate) fn pods_of(&self, namespace: &str, account: &str) -> Looked<Vec<&PodGlance>> {
        let pods = self.pods.as_ref().map_err(Clone::clone)?;
        let runs_as = |pod: &&PodGlance| {
            let name = pod.spec.service_account_name.as_str();
            let name = if name.is_empty() { "default" } else { name };
            pod.namespace().as_deref() == Some(namespace) && name == account
        };
        Ok(pods.iter().filter(runs_as).collect())
    }
}
