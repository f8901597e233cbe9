//! Clusters of AKS. There is none behind this simulator: what one is comes from a snapshot or from
//! [`crate::NewCluster`].

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::arm::call::Call;
use crate::arm::tags::{location, location_required};
use crate::config::NewCluster;
use crate::model::{IdentityId, ManagedCluster, cluster_key};
use crate::state::State;

const TYPE: &str = "Microsoft.ContainerService/ManagedClusters";

pub(super) fn get(call: &Call<'_>, state: &State, (subscription, group): (&str, &str), name: &str) -> Outcome<Answer> {
    let live = call.read(state);
    live.group(subscription, group)?;
    let found = live.clusters.get(&cluster_key(subscription, group, name));
    found
        .map(|cluster| Answer::ok(rendered(cluster)))
        .ok_or_else(|| not_found(group, name))
}

/// Makes a cluster, which takes no time, or changes one.
pub(super) fn put(
    call: &Call<'_>,
    state: &mut State,
    (subscription, group): (&str, &str),
    name: &str,
) -> Outcome<Answer> {
    let Some(new) = &call.config.new_cluster else {
        return Err(call.not_allowed());
    };
    let group = state.live.writable_group(subscription, group)?.name.clone();
    let body = call.incoming.json()?;
    let location = location(&body)?.ok_or_else(location_required)?;
    let key = cluster_key(subscription, &group, name);
    let existing = state.live.clusters.get(&key);
    let status = existing.map_or(StatusCode::CREATED, |_| StatusCode::OK);
    let name = existing.map_or(name, |cluster| &cluster.name).to_owned();
    let mut properties = body.get("properties").and_then(Value::as_object).cloned();
    let asked = properties.get_or_insert_default();
    let node_group = format!("MC_{group}_{name}_{location}");
    complete(asked, new, &node_group);
    let identity = IdentityId::new(subscription, &node_group, &format!("{name}-agentpool"));
    asked.entry("identityProfile").or_insert_with(|| {
        let (client, principal) = (state.next_id(call.config.seed), state.next_id(call.config.seed));
        json!({ "kubeletidentity": { "resourceId": identity.to_string(), "clientId": client, "objectId": principal } })
    });
    let prefix = asked.get("dnsPrefix").and_then(Value::as_str).unwrap_or(&name);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, key.as_bytes()).simple().to_string();
    let unique = id.get(..8).unwrap_or_default();
    let fqdn = format!("{prefix}-{unique}.hcp.{location}.azmk8s.io");
    asked.insert("fqdn".to_owned(), json!(fqdn));
    let cluster = ManagedCluster {
        subscription_id: subscription.to_owned(),
        resource_group: group,
        name,
        location,
        identity: body.get("identity").cloned().unwrap_or_default(),
        properties: json!(properties),
    };
    let answer = Answer::json(status, rendered(&cluster));
    state.live.clusters.insert(key, cluster);
    Ok(answer)
}

/// What AKS adds to what was asked for.
fn complete(properties: &mut Map<String, Value>, new: &NewCluster, node_group: &str) {
    let version = &new.kubernetes_version;
    let minor = version.rsplit_once('.').map_or(version.as_str(), |(minor, _)| minor);
    for (name, value) in [
        ("provisioningState", json!("Succeeded")),
        ("kubernetesVersion", json!(minor)),
        ("currentKubernetesVersion", json!(version)),
        ("nodeResourceGroup", json!(node_group)),
        ("oidcIssuerProfile", json!({ "enabled": true, "issuerURL": new.issuer })),
    ] {
        properties.insert(name.to_owned(), value);
    }
}

/// The kubeconfig of a user of the cluster.
pub(super) fn user_credential(call: &Call<'_>, state: &State, scope: (&str, &str), name: &str) -> Outcome<Answer> {
    get(call, state, scope, name)?;
    let new = call.config.new_cluster.as_ref().ok_or_else(|| call.not_allowed())?;
    let value = BASE64_STANDARD.encode(&new.kubeconfig);
    Ok(Answer::ok(
        json!({ "kubeconfigs": [{ "name": "clusterUser", "value": value }] }),
    ))
}

fn not_found(group: &str, name: &str) -> Answer {
    let message = format!(
        "The Resource 'Microsoft.ContainerService/managedClusters/{name}' under resource group '{group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    );
    Answer::gateway_not_found("ResourceNotFound", message)
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
