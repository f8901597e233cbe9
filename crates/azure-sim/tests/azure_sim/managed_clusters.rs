//! Clusters of AKS, which can be read.

use serde_json::json;
use wio_azure_sim::{Config, Snapshot};

use crate::cloud::{Cloud, GROUP, SUBSCRIPTION};

async fn cloud() -> Cloud {
    let cloud = Cloud::new(Config::default()).await;
    let cluster = json!({
        "subscriptionId": SUBSCRIPTION, "resourceGroup": "rg", "name": "Shop", "location": "westeurope",
        "identity": { "type": "SystemAssigned" },
        "properties": { "nodeResourceGroup": "MC_rg_Shop_westeurope" },
    });
    let clusters = vec![serde_json::from_value(cluster).unwrap()];
    let snapshot = cloud.simulator.snapshot();
    cloud.simulator.restore(Snapshot {
        managed_clusters: clusters,
        ..snapshot
    });
    cloud
}

fn at(name: &str, version: &str) -> String {
    format!("{GROUP}/providers/microsoft.containerservice/MANAGEDCLUSTERS/{name}?api-version={version}")
}

/// AKS keeps the name as it was written, and its group's segment in lower case.
#[tokio::test]
async fn a_cluster_is_read_in_any_case_and_answered_as_aks_writes_it() {
    let cloud = cloud().await;
    let read = cloud.get(&at("SHOP", "2025-08-01")).await.expect_status(200);
    let id = format!(
        "/subscriptions/{SUBSCRIPTION}/resourcegroups/rg/providers/Microsoft.ContainerService/managedClusters/Shop"
    );
    assert_eq!(read.body["id"], id);
    assert_eq!(read.body["properties"]["nodeResourceGroup"], "MC_rg_Shop_westeurope");
}

#[tokio::test]
async fn what_is_no_cluster_or_no_version_of_its_api_is_refused_as_elsewhere() {
    let cloud = cloud().await;
    let none = cloud.get(&at("other", "2025-08-01")).await;
    none.expect_error(404, "ResourceNotFound");
    let version = cloud.get(&at("shop", "2024-11-30")).await;
    version.expect_error(400, "NoRegisteredProviderFound");
    let written = cloud.send("PUT", &at("shop", "2025-08-01"), Some(&json!({}))).await;
    written.expect_error(405, "UnsupportedHttpMethod");
}
