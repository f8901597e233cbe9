//! The operator as it is installed.

use std::collections::BTreeMap;

use futures::future;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

use super::super::facts::{Looked, NAMESPACE, OPERATOR, Operator, Unseen, account_of, active_namespaces};
use super::reads::Reads;
use super::rights;

const LABEL: &str = "app.kubernetes.io/name=workload-identity-operator";

pub(super) async fn operator(reads: &Reads) -> Operator {
    let mut deployments = reads.labelled::<Deployment>(NAMESPACE, LABEL).await;
    // Where there are several, the rest is said of the one at the usual place.
    if let Ok(found) = &mut deployments {
        found.sort_by_key(|one| one.namespace().as_deref() != Some(NAMESPACE));
    }
    let deployment = deployments.as_ref().ok().and_then(|found| found.first());
    let namespace = deployment.and_then(ResourceExt::namespace);
    let namespace = namespace.unwrap_or_else(|| NAMESPACE.to_owned());
    let account = account_of(deployment);
    let leases: Api<Lease> = reads.within(&namespace);
    let user = rights::User {
        namespace: &namespace,
        account: &account,
    };
    let by_settings = async {
        let settings = settings(reads, &namespace, deployment).await;
        let lacks = match active_namespaces(&settings) {
            Ok(namespaces) => rights::lacks(reads, user, &namespaces).await,
            Err(why) => Err(why),
        };
        (settings, lacks)
    };
    let (pods, budgets, (settings, lacks), lease) = future::join4(
        reads.labelled(&namespace, LABEL),
        reads.labelled(&namespace, LABEL),
        by_settings,
        leases.get_opt(OPERATOR),
    )
    .await;
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

/// What its container is told: the ConfigMaps that it names, whose names carry a hash where kustomize makes them, and variables of its own.
async fn settings(reads: &Reads, namespace: &str, deployment: Option<&Deployment>) -> Looked<BTreeMap<String, String>> {
    let pod = deployment.and_then(|one| one.spec.as_ref()?.template.spec.as_ref());
    let container = pod.and_then(|pod| pod.containers.first());
    let container = container.ok_or_else(|| Unseen::nothing("there is no Deployment of the operator"))?;
    let maps: Api<ConfigMap> = reads.within(namespace);
    let mut settings = BTreeMap::new();
    for source in container
        .env_from
        .iter()
        .flatten()
        .filter_map(|source| source.config_map_ref.as_ref())
    {
        let found = reads.told(maps.get(&source.name).await)?;
        settings.extend(found.data.unwrap_or_default());
    }
    let own = container.env.iter().flatten();
    settings.extend(own.filter_map(|variable| Some((variable.name.clone(), variable.value.clone()?))));
    Ok(settings)
}
