use serde_json::json;
use wio_api::Reason;
use wio_testkit::fixtures::binding;

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn a_suspended_binding_writes_nothing_and_says_what_waits() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .suspended(),
        );
        let suspended = world.says("orders", Reason::Suspended).await;
        assert!(message(&suspended).contains("3 changes"), "{}", message(&suspended));
        assert_eq!(condition(&suspended, "Stalled").status, "True");
        assert_eq!(world.asked(), ["GET identity: 404"]);
        assert_eq!(world.account("orders"), None);
        let writes = world.cluster_writes();
        assert!(
            writes
                .iter()
                .all(|write| write.subresource == "status" || write.resource == "events"),
            "{writes:?}"
        );
        world.edit("orders", |object| object["spec"]["suspend"] = json!(false));
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_ready_binding_stays_ready_while_it_is_suspended_and_drift_is_reported() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.edit("orders", |object| object["spec"]["suspend"] = json!(true));
        let suspended = world.says("orders", Reason::Suspended).await;
        assert_eq!(condition(&suspended, "Ready").status, "True");
        assert!(
            message(&suspended).contains("spec.suspend is true"),
            "{}",
            message(&suspended)
        );
        world.change_azure(|azure| azure.identities[0].credentials.clear());
        let broken = |world: &World| condition(&world.binding("orders"), "Ready").status == "False";
        world.until("the drift is reported", broken).await;
        world.says("orders", Reason::Suspended).await;
        assert_eq!(world.identity().credentials, []);
        world.edit("orders", |object| object["spec"]["suspend"] = json!(false));
        world.ready("orders").await;
        assert_eq!(world.identity().credentials.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_suspended_binding_can_be_deleted() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        world.edit("orders", |object| object["spec"]["suspend"] = json!(true));
        world.says("orders", Reason::Suspended).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}
