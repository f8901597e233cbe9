//! What is deleted and made again, by whomever: authorization is decided anew before trust returns.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::{Value, json};
use wio_api::{NamespaceSelector, Reason, keys};
use wio_azure_sim::IdentityId;
use wio_testkit::fixtures::{binding, policy, service_account};

use crate::world::*;

fn elsewhere() -> String {
    IdentityId::new(SUBSCRIPTION, OTHER_GROUP, "pay*").to_string()
}

async fn bound_elsewhere(world: &World) {
    let id = world.foreign_identity(OTHER_GROUP, "payments", Vec::new());
    world.create(
        binding(NAMESPACE, "orders")
            .existing(&id)
            .service_account("orders")
            .not_created(),
    );
    world.cluster.seed(service_account(NAMESPACE, "orders").build());
    world.ready("orders").await;
}

fn label(world: &World, team: &str) {
    let set = |object: &mut Value| object["metadata"]["labels"]["team"] = json!(team);
    world.cluster.edit::<Namespace>("", NAMESPACE, set);
}

async fn a_new_account_gets_nothing(world: &World) {
    world.says("orders", Reason::NotPermitted).await;
    world.cluster.seed(service_account(NAMESPACE, "orders").build());
    let uid = world.account("orders").unwrap().metadata.uid;
    tokio::time::sleep(DRIFT * 2).await;
    let account = world.account("orders").unwrap().metadata;
    assert_eq!(account.uid, uid);
    assert_eq!(
        account.annotations.unwrap_or_default().get(keys::CLIENT_ID_ANNOTATION),
        None
    );
    assert!(!account.labels.unwrap_or_default().contains_key(keys::BOUND_BY_LABEL));
    assert_eq!(world.identity().credentials, []);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_is_made_again_gets_its_client_id_back() {
    story(async |world| {
        world
            .cluster
            .seed(policy("payments").namespace(NAMESPACE).existing(&elsewhere()).build());
        bound_elsewhere(world).await;
        let credentials = world.identity().credentials;
        world.cluster.delete::<ServiceAccount>(NAMESPACE, "orders");
        world.says("orders", Reason::ServiceAccountNotFound).await;
        assert_eq!(
            world.identity().credentials,
            credentials,
            "Entra would take minutes to know a new one"
        );
        world.cluster.seed(service_account(NAMESPACE, "orders").build());
        world.ready("orders").await;
        assert!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION).is_some());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_made_by_somebody_else_after_a_policy_was_narrowed_gets_nothing() {
    story(async |world| {
        let payments = |account: &str| {
            let policy = policy("payments").namespace(NAMESPACE).existing(&elsewhere());
            policy.service_account(account).build()
        };
        world.cluster.seed(payments("orders"));
        bound_elsewhere(world).await;
        world.cluster.delete::<ServiceAccount>(NAMESPACE, "orders");
        world
            .cluster
            .edit::<wio_api::WorkloadIdentityPolicy>("", "payments", |object| {
                object["spec"]["serviceAccounts"] = json!(["mails"]);
            });
        a_new_account_gets_nothing(world).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_made_after_the_namespace_was_relabelled_gets_nothing() {
    story(async |world| {
        label(world, "shop");
        let selector: NamespaceSelector = serde_json::from_value(json!({ "matchLabels": { "team": "shop" } })).unwrap();
        world
            .cluster
            .seed(policy("shop").selector(selector).existing(&elsewhere()).build());
        bound_elsewhere(world).await;
        world.cluster.delete::<ServiceAccount>(NAMESPACE, "orders");
        label(world, "bank");
        a_new_account_gets_nothing(world).await;
    })
    .await;
}

/// A GitOps move, or a backup restored while the operator was away: the finalizer went with the object, and Azure's objects
/// carry the UID of the binding that was.
#[tokio::test(start_paused = true)]
async fn a_binding_with_another_uid_takes_up_its_own_objects() {
    story(async |world| {
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}");
        world
            .cluster
            .seed(policy("secrets").namespace(NAMESPACE).role("Reader", &[&scope]).build());
        let orders = || {
            let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
            orders.role("Reader", &scope)
        };
        world.create(orders());
        world.ready("orders").await;
        let before = (world.identity(), world.azure.snapshot().role_assignments);
        let earlier = world.binding("orders").metadata.uid;
        world.stop().await;
        world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
        world.delete("orders");
        world.gone("orders").await;
        world.create(orders());
        world.start().await;
        let again = world.ready("orders").await;
        assert_ne!(again.metadata.uid, earlier);
        let after = (world.identity(), world.azure.snapshot().role_assignments);
        assert_eq!(
            (after.0.client_id, &after.0.credentials),
            (before.0.client_id, &before.0.credentials)
        );
        assert_eq!(after.1, before.1);
        assert_eq!(after.0.tags.get(keys::BINDING_UID_TAG), again.metadata.uid.as_ref());
        world.delete("orders");
        world.gone("orders").await;
        assert!(!world.has_identity() && world.account("orders").is_none());
        assert_eq!(world.azure.snapshot().role_assignments, []);
    })
    .await;
}
