//! The pod webhook, wherever it is: AKS runs its own in kube-system, and others install it by its chart.

use futures::future;
use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ServiceReference};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;

use super::super::facts::{Looked, Unseen, Webhook, mutation};
use super::reads::Reads;

const BY_ADDRESS: &str = "it is called by its address, not by a service";

pub(super) async fn webhook(reads: &Reads) -> Webhook {
    let configurations = reads.list::<MutatingWebhookConfiguration>().await;
    let configurations = configurations.map(|all| {
        let ours = all.into_iter().filter(|one| mutation(one).is_some());
        ours.collect::<Vec<_>>()
    });
    let service = configurations.as_ref().map_err(Clone::clone).and_then(|found| {
        let webhook = found
            .first()
            .and_then(mutation)
            .ok_or_else(|| Unseen::nothing("there is no webhook"))?;
        webhook
            .client_config
            .service
            .clone()
            .ok_or_else(|| Unseen::nothing(BY_ADDRESS))
    });
    let (endpoints, images) = match &service {
        Ok(service) => future::join(ready(reads, service), images(reads, service)).await,
        Err(why) => (Err(why.clone()), Err(why.clone())),
    };
    Webhook {
        configurations,
        ready: endpoints,
        images,
    }
}

async fn ready(reads: &Reads, service: &ServiceReference) -> Looked<usize> {
    let slices: Api<EndpointSlice> = reads.within(&service.namespace);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={}", service.name));
    let listed = reads.told(slices.list(&of_service).await)?;
    let endpoints = listed.items.iter().flat_map(|slice| slice.endpoints.iter());
    // What does not say whether it is ready, is.
    let living = endpoints.filter(|one| one.conditions.as_ref().and_then(|it| it.ready) != Some(false));
    Ok(living.count())
}

async fn images(reads: &Reads, service: &ServiceReference) -> Looked<Vec<String>> {
    let services: Api<Service> = reads.within(&service.namespace);
    let found = reads.told(services.get(&service.name).await)?;
    let selector = found.spec.and_then(|spec| spec.selector).unwrap_or_default();
    if selector.is_empty() {
        return Err(Unseen::nothing("its service selects no pods"));
    }
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods: Api<Pod> = reads.within(&service.namespace);
    let listed = reads.told(pods.list(&ListParams::default().labels(&labels.join(","))).await)?;
    let containers = listed
        .items
        .into_iter()
        .filter_map(|pod| pod.spec)
        .flat_map(|spec| spec.containers);
    Ok(containers.filter_map(|container| container.image).collect())
}
