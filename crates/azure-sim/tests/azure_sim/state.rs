//! What exists can be taken out of a cloud and put into another.

use serde_json::json;
use uuid::Uuid;
use wio_azure_sim::{Config, Simulator, Snapshot};

use crate::cloud::{Cloud, GROUP, SUBSCRIPTION, TOKEN, credential, identity};

/// A cloud with one of everything.
async fn furnished() -> Cloud {
    let cloud = Cloud::new(Config::default()).await;
    let principal = cloud
        .put_identity("Orders")
        .await
        .expect_status(201)
        .property("principalId");
    cloud.put_credential("Orders", "fic", "a").await.expect_status(201);
    let roles = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions");
    let assignment = format!(
        "{GROUP}/providers/Microsoft.Authorization/roleAssignments/{}",
        Uuid::nil()
    );
    let grant = json!({"properties": {
        "roleDefinitionId": format!("{roles}/acdd72a7-3385-48ef-bd42-f606fba81ae7"),
        "principalId": principal,
        "principalType": "ServicePrincipal",
    }});
    cloud.put(&assignment, &grant).await.expect_status(201);
    cloud
}

#[tokio::test]
async fn a_snapshot_holds_all_and_survives_json() {
    let snapshot = furnished().await.simulator.snapshot();
    assert_eq!(snapshot.resource_groups.len(), 1);
    assert_eq!(snapshot.role_assignments.len(), 1);
    let found = snapshot.identity(&identity("ORDERS")).unwrap();
    assert_eq!(found.id.name, "Orders");
    assert_eq!(found.credential("FIC").unwrap().subject.as_deref(), Some("a"));
    let read: Snapshot = serde_json::from_str(&serde_json::to_string(&snapshot).unwrap()).unwrap();
    assert_eq!(read, snapshot);
}

#[tokio::test]
async fn another_cloud_goes_on_where_a_snapshot_was_taken() {
    let first = furnished().await;
    let simulator = Simulator::new(Config::default().with_static_token(TOKEN));
    simulator.restore(first.simulator.snapshot());
    let second = Cloud::of(simulator);
    let before = first.get(&identity("orders")).await.expect_status(200);
    let after = second.get(&identity("orders")).await.expect_status(200);
    assert_eq!(before.body, after.body);
    second.put_credential("orders", "FIC", "b").await.expect_status(200);
    second.put_credential("orders", "other", "b").await;
    assert_eq!(
        second.list(&credential("orders", "")).await.0.len(),
        1,
        "what is taken stays taken"
    );
}

#[tokio::test]
async fn a_restored_snapshot_takes_the_place_of_what_was_there() {
    let cloud = furnished().await;
    let before = cloud.simulator.snapshot();
    cloud.put_identity("later").await.expect_status(201);
    cloud.delete(&identity("Orders")).await.expect_status(200);
    cloud.simulator.restore(before.clone());
    assert_eq!(cloud.simulator.snapshot(), before);
    cloud.get(&identity("later")).await.expect_status(404);
}

#[tokio::test]
async fn ids_are_the_same_in_every_run_with_a_seed_and_never_the_same_without() {
    let made = async |seed: Option<Uuid>| {
        let cloud = Cloud::new(Config {
            seed,
            ..Config::default()
        })
        .await;
        cloud.put_identity("ide").await.expect_status(201).property("clientId")
    };
    assert_eq!(made(Some(Uuid::nil())).await, made(Some(Uuid::nil())).await);
    assert_ne!(made(None).await, made(None).await);
}
