//! Clouds, endpoints and API versions: where requests go.

use serde_json::json;
use wio_azure::{Azure, Cloud, Endpoints};
use wio_testkit::azure::credential;

use crate::fixtures::{TOKEN, carrier, granted, id, identity_body, json_response, name, tags};

#[tokio::test]
async fn cloud_endpoint_and_api_version_are_chosen_by_the_caller() {
    let cases = [
        (
            Cloud::UsGovernment,
            None,
            "2024-11-30",
            "https://management.usgovcloudapi.net",
        ),
        (Cloud::China, None, "2023-01-31", "https://management.chinacloudapi.cn"),
        (
            Cloud::Public,
            Some("https://127.0.0.1:8443"),
            "2026-05-31",
            "https://127.0.0.1:8443",
        ),
    ];
    for (cloud, endpoint, version, expected) in cases {
        let (carrier, seen) = carrier(vec![
            json_response(200, &json!({"value": []})),
            json_response(200, &identity_body("orders")),
        ]);
        let azure = Azure::new(
            carrier,
            credential(TOKEN),
            Endpoints::new(cloud, endpoint, name(version)).unwrap(),
        );
        azure.list_credentials(&id("orders")).await.unwrap();
        azure
            .put_identity(&granted("orders"), &name("westeurope"), &tags("shop"))
            .await
            .unwrap();
        for request in seen.all() {
            let url = request.uri().to_string();
            assert!(url.starts_with(&format!("{expected}/subscriptions/")), "{url}");
            assert!(url.ends_with(&format!("?api-version={version}")), "{url}");
        }
    }
}
