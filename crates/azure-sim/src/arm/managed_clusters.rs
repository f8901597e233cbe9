//! Clusters of AKS, as far as they are read. They come from a snapshot: nothing here makes one.

use serde_json::{Value, json};

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::model::{ManagedCluster, cluster_key};
use crate::state::State;

const TYPE: &str = "Microsoft.ContainerService/ManagedClusters";

pub(super) fn get(call: &Call<'_>, state: &State, (subscription, group): (&str, &str), name: &str) -> Outcome<Answer> {
    let live = call.read(state);
    live.group(subscription, group)?;
    let found = live.clusters.get(&cluster_key(subscription, group, name));
    found.map(|cluster| Answer::ok(rendered(cluster))).ok_or_else(|| {
        let message = format!(
            "The Resource 'Microsoft.ContainerService/managedClusters/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
        );
        Answer::gateway_not_found("ResourceNotFound", message)
    })
}

/// AKS writes `resourcegroups` in lower case, and its own type with a capital.
fn rendered(cluster: &ManagedCluster) -> Value {
    json!({
        "id": format!(
            "/subscriptions/{}/resourcegroups/{}/providers/Microsoft.ContainerService/managedClusters/{}",
            cluster.subscription_id, cluster.resource_group, cluster.name
        ),
        "name": cluster.name,
        "type": TYPE,
        "location": cluster.location,
        "identity": cluster.identity,
        "properties": cluster.properties,
    })
}
