//! Clusters of AKS.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use wio_azure_sim::{Config, NewCluster, Snapshot};

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

fn made() -> Config {
    Config {
        new_cluster: Some(NewCluster {
            kubernetes_version: "1.37.2".to_owned(),
            issuer: "https://issuer.test/".to_owned(),
            kubeconfig: "apiVersion: v1".to_owned(),
        }),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_cluster_that_is_made_is_what_was_asked_for_and_the_cluster_that_stands_behind_it() {
    let cloud = Cloud::new(made()).await;
    let body = json!({ "location": "West Europe", "identity": { "type": "SystemAssigned" }, "properties": { "dnsPrefix": "dns", "enableRBAC": true } });
    let first = cloud.send("PUT", &at("Shop", "2026-06-01"), Some(&body)).await;
    let made = first.expect_status(201).body;
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    assert_eq!(made["properties"]["currentKubernetesVersion"], "1.37.2");
    assert_eq!(made["properties"]["kubernetesVersion"], "1.37");
    assert_eq!(
        made["properties"]["oidcIssuerProfile"]["issuerURL"],
        "https://issuer.test/"
    );
    assert_eq!(made["properties"]["enableRBAC"], true);
    let fqdn = made["properties"]["fqdn"].as_str().unwrap();
    assert!(
        fqdn.starts_with("dns-") && fqdn.ends_with(".hcp.westeurope.azmk8s.io"),
        "{fqdn}"
    );

    let kubelet = &made["properties"]["identityProfile"]["kubeletidentity"];
    let group = "/resourcegroups/MC_rg_Shop_westeurope/providers/Microsoft.ManagedIdentity/userAssignedIdentities/Shop-agentpool";
    assert!(kubelet["resourceId"].as_str().unwrap().ends_with(group), "{kubelet}");

    let again = cloud.send("PUT", &at("shop", "2026-06-01"), Some(&made)).await;
    assert_eq!(again.expect_status(200).body, made);
    assert_eq!(cloud.get(&at("shop", "2026-06-01")).await.expect_status(200).body, made);
}

#[tokio::test]
async fn a_user_of_a_cluster_gets_its_kubeconfig() {
    let cloud = Cloud::new(made()).await;
    let credential = at("shop/listClusterUserCredential", "2026-06-01");
    let none = cloud.send("POST", &credential, None).await;
    none.expect_error(404, "ResourceNotFound");
    let body = json!({ "location": "westeurope" });
    cloud
        .send("PUT", &at("shop", "2026-06-01"), Some(&body))
        .await
        .expect_status(201);
    let given = cloud.send("POST", &credential, None).await.expect_status(200).body;
    let value = given["kubeconfigs"][0]["value"].as_str().unwrap();
    assert_eq!(BASE64_STANDARD.decode(value).unwrap(), b"apiVersion: v1");
}
