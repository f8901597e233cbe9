use serde_json::json;
use wio_api::{Reason, ServiceAccountOrigin, keys};
use wio_testkit::fixtures::{binding, service_account};

use crate::world::*;

const FOREIGN_CLIENT_ID: &str = "00000000-0000-4000-8000-000000000000";

fn annotate(object: &mut serde_json::Value, key: &str, value: &str) {
    object["metadata"]["annotations"][key] = json!(value);
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_was_there_is_adopted_and_given_back() {
    story(async |world| {
        world.cluster.seed(
            service_account(NAMESPACE, "orders")
                .label("app", "orders")
                .annotation("note", "x")
                .build(),
        );
        let before = world.account("orders").unwrap().metadata;
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        let ready = world.ready("orders").await;
        let shown = &ready.status.as_ref().unwrap().service_accounts[0];
        assert_eq!(
            (shown.origin, Some(&shown.uid)),
            (ServiceAccountOrigin::Adopted, before.uid.as_ref())
        );
        assert_eq!(world.annotation("orders", "note").as_deref(), Some("x"));
        world.delete("orders");
        world.gone("orders").await;
        let after = world.account("orders").unwrap().metadata;
        assert_eq!(
            (after.uid, after.labels, after.annotations),
            (before.uid, before.labels, before.annotations)
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_must_exist_is_waited_for_and_never_created() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .not_created(),
        );
        let missing = world.says("orders", Reason::ServiceAccountNotFound).await;
        assert!(message(&missing).contains("orders") && message(&missing).contains("create: true"));
        assert_eq!(condition(&missing, "FederatedCredentialsReady").status, "True");
        world.cluster.seed(service_account(NAMESPACE, "orders").build());
        let seeded = tokio::time::Instant::now();
        world.ready("orders").await;
        assert!(seeded.elapsed().as_secs() < 60, "it is looked for often");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_edited_by_hand_is_reported_with_who_did_it() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world.ready("orders").await;
        world.edit_account("orders", |object| {
            annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        });
        let conflict = world.says("orders", Reason::ServiceAccountConflict).await;
        assert_eq!(condition(&conflict, "Stalled").status, "True");
        for part in ["\"test-user\"", "client-id", "conflictPolicy: Force"] {
            assert!(message(&conflict).contains(part), "{part}: {}", message(&conflict));
        }
        assert_eq!(
            world.annotation("orders", keys::CLIENT_ID_ANNOTATION).as_deref(),
            Some(FOREIGN_CLIENT_ID)
        );
        // Whoever set it takes it away.
        world.edit_account("orders", |object| {
            object["metadata"]["annotations"]
                .as_object_mut()
                .unwrap()
                .remove(keys::CLIENT_ID_ANNOTATION);
        });
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_annotation_edited_by_hand_is_mended_when_the_spec_says_so() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .forced(),
        );
        world.ready("orders").await;
        let client_id = world.identity().client_id.to_string();
        world.edit_account("orders", |object| {
            annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        });
        let mended =
            |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION).as_ref() == Some(&client_id);
        world.until("it is mended", mended).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_id_that_somebody_set_first_is_a_conflict_and_the_other_accounts_go_on() {
    story(async |world| {
        let taken = service_account(NAMESPACE, "orders").annotation(keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
        world.cluster.apply_as("helm", taken.build(), false).unwrap();
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        let conflict = world.says("orders", Reason::ServiceAccountConflict).await;
        assert!(message(&conflict).contains("\"helm\""), "{}", message(&conflict));
        assert!(world.annotation("invoices", keys::CLIENT_ID_ANNOTATION).is_some());
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"][0]["conflictPolicy"] = json!("Force");
        });
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_removed_from_a_service_account_comes_back() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let before = world.account("orders").unwrap().metadata;
        let restored = |world: &World| {
            world.account("orders").is_some_and(|account| {
                let (annotations, labels) = (
                    account.metadata.annotations,
                    account.metadata.labels.unwrap_or_default(),
                );
                annotations == before.annotations && labels.contains_key(keys::BOUND_BY_LABEL)
            })
        };
        world.edit_account("orders", |object| object["metadata"]["annotations"] = json!({}));
        world.until("the annotations are back", restored).await;
        world.edit_account("orders", |object| object["metadata"]["labels"] = json!({}));
        world.until("the mark is back", restored).await;
        world
            .cluster
            .delete::<k8s_openapi::api::core::v1::ServiceAccount>(NAMESPACE, "orders");
        world.until("there is a new one", restored).await;
    })
    .await;
}

/// Whoever takes the label away wants to keep the service account.
#[tokio::test(start_paused = true)]
async fn a_service_account_without_its_label_of_origin_is_not_deleted() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.edit_account("orders", |object| {
            object["metadata"]["labels"]
                .as_object_mut()
                .unwrap()
                .remove(keys::CREATED_LABEL);
        });
        let adopted = |world: &World| {
            let status = world.binding("orders").status.unwrap();
            status.service_accounts[0].origin == ServiceAccountOrigin::Adopted
        };
        world.until("it is adopted", adopted).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(world.account("orders").is_some());
    })
    .await;
}

/// The name of the binding on a service account is how its changes find the binding, and can be edited as well.
#[tokio::test(start_paused = true)]
async fn an_edit_that_also_hides_the_binding_is_noticed_at_once() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .forced(),
        );
        world.ready("orders").await;
        let client_id = world.identity().client_id.to_string();
        world.edit_account("orders", |object| {
            annotate(object, keys::CLIENT_ID_ANNOTATION, FOREIGN_CLIENT_ID);
            annotate(object, keys::BINDING_ANNOTATION, "somebody-else");
        });
        let edited = tokio::time::Instant::now();
        let mended =
            |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION).as_ref() == Some(&client_id);
        world.until("it is mended", mended).await;
        assert!(edited.elapsed().as_secs() < 5, "not at the next look at Azure");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_leaves_the_spec_is_released_after_its_credential_is_gone() {
    story(async |world| {
        world.cluster.seed(service_account(NAMESPACE, "adopted").build());
        let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(orders.service_account("created").service_account("adopted"));
        world.ready("orders").await;
        world.forget_requests();
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"].as_array_mut().unwrap().truncate(1);
        });
        let left = world.ready("orders").await;
        assert_eq!(left.status.unwrap().service_accounts.len(), 1);
        let created = world.account("created").unwrap();
        assert_eq!(
            created.metadata.annotations, None,
            "only the end of the binding deletes it"
        );
        assert_eq!(world.annotation("adopted", keys::CLIENT_ID_ANNOTATION), None);
        assert_eq!(world.identity().credentials.len(), 1);
        let asked = world.asked();
        let gets = ["GET identity: 200", "GET credentials: 200"];
        assert_eq!(asked[..2], gets, "nothing is taken away from memory");
        assert_eq!(asked[2..], ["DELETE credential: 200", "DELETE credential: 200"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_we_made_and_others_use_is_not_deleted() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.edit_account("orders", |object| {
            object["imagePullSecrets"] = json!([{"name": "registry"}]);
        });
        world.delete("orders");
        world.gone("orders").await;
        let left = world.account("orders").unwrap();
        assert_eq!(left.image_pull_secrets.unwrap().len(), 1);
        assert!(left.metadata.annotations.unwrap_or_default().is_empty());
        assert!(left.metadata.labels.unwrap_or_default().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_has_one_binding() {
    story(async |world| {
        world.create(binding(NAMESPACE, "first").managed().service_account("orders"));
        world.ready("first").await;
        world.create(binding(NAMESPACE, "second").managed().service_account("orders"));
        let refused = world.says("second", Reason::ServiceAccountConflict).await;
        assert!(
            message(&refused).contains("WorkloadIdentityBinding first"),
            "{}",
            message(&refused)
        );
        world.delete("first");
        world.gone("first").await;
        world.ready("second").await;
    })
    .await;
}

/// Whoever may edit service accounts could have one binding let go of another's by writing its UID there.
#[tokio::test(start_paused = true)]
async fn a_mark_that_somebody_put_on_anothers_service_account_lets_go_of_nothing() {
    story(async |world| {
        world.create(binding(NAMESPACE, "first").managed().service_account("orders").forced());
        world.create(binding(NAMESPACE, "second").managed().service_account("invoices"));
        let second = world.ready("second").await.metadata.uid.unwrap();
        world.ready("first").await;
        let client_id = world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
        assert!(client_id.is_some());
        world.forget_requests();
        world.edit_account("orders", |object| {
            object["metadata"]["labels"][keys::BOUND_BY_LABEL] = json!(second);
        });
        // Long before the first one's next look mends the mark.
        tokio::time::sleep(DRIFT / 3).await;
        assert_eq!(world.annotation("orders", keys::CLIENT_ID_ANNOTATION), client_id);
        assert!(world.cluster_writes().is_empty(), "{:?}", world.cluster_writes());
        tokio::time::sleep(DRIFT * 2).await;
        world.ready("first").await;
    })
    .await;
}
