//! The operator as it is installed.

use futures::future;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

use super::super::facts::{NAMESPACE, OPERATOR, Operator, SETTINGS, account_of};
use super::reads::Reads;
use super::rights;

const LABEL: &str = "app.kubernetes.io/name=workload-identity-operator";

pub(super) async fn operator(reads: &Reads) -> Operator {
    let deployments = reads.labelled::<Deployment>(NAMESPACE, LABEL).await;
    let deployment = deployments.as_ref().ok().and_then(|found| found.first());
    let namespace = deployment.and_then(ResourceExt::namespace);
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    let account = account_of(deployment);
    let leases: Api<Lease> = reads.within(&namespace);
    let settings: Api<ConfigMap> = reads.within(&namespace);
    let (pods, budgets, settings, lease, lacks) = future::join5(
        reads.labelled(&namespace, LABEL),
        reads.labelled(&namespace, LABEL),
        settings.get_opt(SETTINGS),
        leases.get_opt(OPERATOR),
        rights::lacks(reads, &namespace, &account),
    )
    .await;
    let settings = reads.told(settings).and_then(|found| {
        let found = found.ok_or_else(|| format!("there is no ConfigMap {namespace}/{SETTINGS}"))?;
        Ok(found.data.unwrap_or_default())
    });
    Operator {
        deployments,
        pods,
        budgets,
        settings,
        lease: reads.told(lease),
        lacks,
        namespace,
    }
}
