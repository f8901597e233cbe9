//! Places that the operator cannot look at: what it knows it takes away, and it trusts nobody anew.

use serde_json::json;
use tokio::time::sleep;
use wio_api::{Reason, WorkloadIdentityPolicy};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::{binding, policy};

use crate::world::*;

const ROLE: &str = "Key Vault Secrets User";
const GUID: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const ELSEWHERE: &str = "/subscriptions/0b0b0b0b-0000-4000-8000-00000000000b";

fn scope() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}")
}

fn forbidden(method: &str, place: &str) -> Fault {
    let fault = Fault::on(method).kind(ResourceKind::RoleAssignment).path(place);
    fault.forever().respond(403, "AuthorizationFailed")
}

fn has_role(world: &World) -> bool {
    let assignments = world.azure.snapshot().role_assignments;
    assignments.iter().any(|one| one.role_definition_id.to_string() == GUID)
}

fn trusts(world: &World, account: &str) -> bool {
    let subject = format!("system:serviceaccount:{NAMESPACE}:{account}");
    let credentials = world.identity().credentials;
    credentials.iter().any(|one| one.subject.as_deref() == Some(&subject))
}

/// One place that could not be read threw away what was read of all others: the role stayed for ever.
#[tokio::test(start_paused = true)]
async fn a_role_goes_though_another_place_cannot_be_read() {
    story(async |world| {
        let seed = |name: &str, role: &str, scope: &str| {
            world
                .cluster
                .seed(policy(name).namespace(NAMESPACE).role(role, &[scope]).build());
        };
        seed("secrets", ROLE, &scope());
        seed("reader", "Reader", ELSEWHERE);
        world.azure.inject(forbidden("GET", ELSEWHERE));
        world.azure.inject(forbidden("PUT", ELSEWHERE));
        let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(orders.role(ROLE, &scope()));
        world.ready("orders").await;
        world.edit("orders", |object| {
            object["spec"]["roleAssignments"] = json!([{ "role": "Reader", "scope": ELSEWHERE }]);
        });
        world.cluster.delete::<WorkloadIdentityPolicy>("", "secrets");
        world.until("the role is taken away", |world| !has_role(world)).await;
        let denied = world.says("orders", Reason::RoleAccessDenied).await;
        assert!(message(&denied).contains(ELSEWHERE), "{}", message(&denied));
        assert!(trusts(world, "orders"), "what stood goes on");
    })
    .await;
}

/// A policy gave the role to ci-* alone, and while the lists failed another service account got the identity with the role.
#[tokio::test(start_paused = true)]
async fn nobody_is_trusted_anew_while_a_role_may_stand_that_is_not_his() {
    story(async |world| {
        let role = policy("ci")
            .namespace(NAMESPACE)
            .service_account("ci-*")
            .role(ROLE, &[&scope()]);
        world.cluster.seed(role.build());
        let orders = binding(NAMESPACE, "orders").managed().service_account("ci-1");
        world.create(orders.role(ROLE, &scope()));
        world.ready("orders").await;
        world.azure.inject(forbidden("GET", "roleAssignments"));
        world.azure.inject(forbidden("DELETE", "roleAssignments"));
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"] = json!([{ "name": "web" }]);
            object["spec"]["roleAssignments"] = json!([]);
        });
        world.says("orders", Reason::RoleAccessDenied).await;
        sleep(DRIFT * 4).await;
        assert!(has_role(world) && !trusts(world, "ci-1") && !trusts(world, "web"));
        assert_eq!(world.annotation("web", wio_api::keys::CLIENT_ID_ANNOTATION), None);
        let waiting = world.binding("orders");
        let trust = condition(&waiting, "FederatedCredentialsReady");
        assert!(
            trust.message.contains("waits for RoleAssignmentsReady"),
            "{}",
            trust.message
        );
        world.azure.clear_faults();
        world.ready("orders").await;
        assert!(!has_role(world) && trusts(world, "web"));
    })
    .await;
}

/// It is known by its name where nobody may look.
#[tokio::test(start_paused = true)]
async fn a_role_that_was_recorded_goes_though_nobody_may_list() {
    story(async |world| {
        let role = policy("ci").namespace(NAMESPACE).role(ROLE, &[&scope()]);
        world.cluster.seed(role.build());
        let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
        world.create(orders.role(ROLE, &scope()));
        world.ready("orders").await;
        world.azure.inject(forbidden("GET", "roleAssignments"));
        world.edit("orders", |object| object["spec"]["roleAssignments"] = json!([]));
        world.until("the role is taken away", |world| !has_role(world)).await;
        assert!(trusts(world, "orders"));
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}
