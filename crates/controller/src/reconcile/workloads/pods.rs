//! Pods of service accounts, page by page: nothing of a page is left when the next one is asked for.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::core::{ApiResource, Object};
use wio_api::pod::{PodSpec, PodStatus};
use wio_api::{ServiceAccountStatus, WorkloadIdentityBindingStatus};
use wio_core::fault::Fault;
use wio_core::names::ClientId;
use wio_core::workloads::Tally;

use crate::reconcile::context::Api;
use crate::runtime::pages::FEW;
use crate::runtime::request::request;

/// A pod as far as it is read.
type PodGlance = Object<PodSpec, PodStatus>;

/// Whose pods are looked at, and what they are to have.
pub(super) struct Wanted<'a> {
    namespace: &'a str,
    accounts: &'a [ServiceAccountStatus],
    client_id: ClientId,
}

// === impl Wanted ===

impl<'a> Wanted<'a> {
    /// By a status; none when no service account carries the client id.
    pub(super) fn of(namespace: &'a str, status: &'a WorkloadIdentityBindingStatus) -> Option<Self> {
        let client_id = status.identity.as_ref()?.client_id.as_deref()?.parse().ok()?;
        let accounts = status.service_accounts.as_slice();
        (!accounts.is_empty()).then_some(Self {
            namespace,
            accounts,
            client_id,
        })
    }

    /// The client id that they are to have.
    pub(super) const fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// Counts them.
    pub(super) async fn see(&self, api: &Api) -> Result<Tally, Fault> {
        let mut tally = Tally::default();
        for account in self.accounts {
            self.see_one(api, &account.name, &mut tally).await?;
        }
        Ok(tally)
    }

    async fn see_one(&self, api: &Api, account: &str, tally: &mut Tally) -> Result<(), Fault> {
        let resource = ApiResource::erase::<Pod>(&());
        let pods: kube::Api<PodGlance> = kube::Api::namespaced_with(api.client.clone(), self.namespace, &resource);
        let mut parameters = ListParams::default()
            .fields(&format!("spec.serviceAccountName={account}"))
            .limit(FEW);
        loop {
            api.metrics.asked_for_pods();
            let what = || format!("list the pods of service account {account}");
            let page = request(what, pods.list(&parameters)).await?;
            for pod in &page.items {
                tally.see((&pod.metadata, &pod.spec, pod.status.as_ref()), account, self.client_id);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters.continue_token = Some(token),
                None => return Ok(()),
            }
        }
    }
}
