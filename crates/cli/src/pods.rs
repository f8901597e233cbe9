//! Pods, as far as they are read, with the caller's rights.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::core::{ApiResource, Object};
use wio_api::pod::{PodSpec, PodStatus};

use crate::pages::list;
use crate::session::Session;

/// A pod as far as it is read.
pub(crate) type PodGlance = Object<PodSpec, PodStatus>;

/// The pods of a namespace, or of all.
pub(crate) async fn pods(
    session: &Session,
    within: Option<&str>,
    which: &ListParams,
) -> Result<Vec<PodGlance>, kube::Error> {
    let resource = ApiResource::erase::<Pod>(&());
    let client = session.client.clone();
    let api: Api<PodGlance> = match within {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    list(&api, which).await
}

/// The service account as which a pod runs.
pub(crate) fn runs_as(pod: &PodGlance) -> &str {
    match pod.spec.service_account_name.as_str() {
        "" => "default",
        account => account,
    }
}
