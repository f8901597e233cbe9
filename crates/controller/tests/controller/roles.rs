use serde_json::json;
use wio_api::{Reason, WorkloadIdentityPolicy};
use wio_azure_sim::{Fault, ResourceKind, RoleAssignment};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::world::*;

const ROLE: &str = "Key Vault Secrets User";
const GUID: &str = "4633458b-17de-408a-b874-0445c86b69e6";

fn scope() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}")
}

fn orders() -> BindingBuilder {
    binding(NAMESPACE, "orders")
        .managed()
        .service_account("orders")
        .role(ROLE, &scope())
}

fn allow(world: &World) {
    world
        .cluster
        .seed(policy("secrets").namespace(NAMESPACE).role(ROLE, &[&scope()]).build());
}

fn assignments(world: &World) -> Vec<RoleAssignment> {
    world.azure.snapshot().role_assignments
}

#[tokio::test(start_paused = true)]
async fn a_role_that_a_policy_allows_is_given_with_one_request() {
    story(async |world| {
        allow(world);
        world.create(orders());
        let ready = world.ready("orders").await;
        assert_eq!(
            world.asked(),
            [
                "GET identity: 404",
                "PUT identity: 201",
                "PUT credential: 201",
                "PUT roleassignment: 201"
            ]
        );
        let given = assignments(world);
        assert_eq!(given.len(), 1);
        assert_eq!(given[0].role_definition_id.to_string(), GUID);
        assert_eq!(given[0].principal_type, "ServicePrincipal");
        assert_eq!(given[0].principal_id, world.identity().principal_id);
        let roles = condition(&ready, "RoleAssignmentsReady");
        assert_eq!(roles.status, "True");
        assert!(roles.message.contains("10 minutes"), "{}", roles.message);
        assert_eq!(ready.status.unwrap().role_assignments.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_role_that_no_policy_allows_is_not_given() {
    story(async |world| {
        world.create(orders());
        let denied = world.says("orders", Reason::NotPermitted).await;
        assert!(
            message(&denied).contains("spec.roleAssignments"),
            "{}",
            message(&denied)
        );
        assert_eq!(world.asked(), Vec::<String>::new());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_role_that_leaves_the_spec_is_taken_away() {
    story(async |world| {
        allow(world);
        world.create(orders());
        world.ready("orders").await;
        world.edit("orders", |object| object["spec"]["roleAssignments"] = json!([]));
        world
            .until("the role is taken away", |world| assignments(world).is_empty())
            .await;
        let ready = world.ready("orders").await;
        assert!(ready.status.unwrap().role_assignments.is_empty());
        assert_eq!(world.identity().credentials.len(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_role_assignment_is_made_again() {
    story(async |world| {
        allow(world);
        world.create(orders());
        world.ready("orders").await;
        let before = assignments(world)[0].name;
        world.change_azure(|azure| azure.role_assignments.clear());
        let again = |world: &World| assignments(world).first().is_some_and(|again| again.name == before);
        world.until("it is there again", again).await;
    })
    .await;
}

/// The service account's condition said nothing about what it waited for.
#[tokio::test(start_paused = true)]
async fn a_service_account_says_that_it_waits_for_a_role_that_cannot_be_given() {
    story(async |world| {
        allow(world);
        let refused = Fault::on("PUT").kind(ResourceKind::RoleAssignment);
        world
            .azure
            .inject(refused.forever().respond(403, "AuthorizationFailed"));
        world.create(orders());
        let waiting = world.says("orders", Reason::RoleAccessDenied).await;
        let accounts = condition(&waiting, "ServiceAccountsReady");
        assert_eq!(accounts.reason, "RoleAccessDenied");
        assert!(
            accounts.message.ends_with("this waits for RoleAssignmentsReady."),
            "{}",
            accounts.message
        );
        assert_eq!(condition(&waiting, "FederatedCredentialsReady").status, "True");
        world.azure.clear_faults();
        world.ready("orders").await;
    })
    .await;
}

/// A lock on one credential kept everything that came after it in the plan: another credential, the role, the annotations.
#[tokio::test(start_paused = true)]
async fn a_lock_on_one_credential_keeps_nothing_else() {
    story(async |world| {
        allow(world);
        let locked = "locked";
        world.create(orders().service_account(locked));
        world.ready("orders").await;
        let lock = Fault::on("DELETE").kind(ResourceKind::Credential).path(locked);
        world.azure.inject(lock.forever().respond(409, "ScopeLocked"));
        world.cluster.delete::<WorkloadIdentityPolicy>("", "secrets");
        let left = |world: &World| {
            let credentials = world.identity().credentials;
            credentials.len() == 1 && credentials[0].name.contains(locked) && assignments(world).is_empty()
        };
        world.until("only the locked one is left", left).await;
        let denied = world.says("orders", Reason::ScopeLocked).await;
        assert!(message(&denied).contains("lock"), "{}", message(&denied));
        for account in ["orders", locked] {
            assert_eq!(
                world.annotation(account, wio_api::keys::CLIENT_ID_ANNOTATION),
                None,
                "{account}"
            );
        }
        world.azure.clear_faults();
        world
            .until("it goes with its lock", |world| world.identity().credentials.is_empty())
            .await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn roles_go_after_the_trust_and_before_the_identity() {
    story(async |world| {
        allow(world);
        world.create(orders());
        world.ready("orders").await;
        world.forget_requests();
        world.delete("orders");
        world.gone("orders").await;
        assert!(assignments(world).is_empty() && !world.has_identity());
        let deletions: Vec<String> = world
            .asked()
            .into_iter()
            .filter(|line| line.starts_with("DELETE"))
            .collect();
        assert_eq!(
            deletions,
            [
                "DELETE credential: 200",
                "DELETE roleassignment: 200",
                "DELETE identity: 200"
            ]
        );
    })
    .await;
}

/// What the operator wrote to Azure and to the cluster, in the order in which it was asked for.
fn writes_in_order(world: &World) -> Vec<String> {
    let (now, azure_now) = (tokio::time::Instant::now(), world.azure.now());
    let azure = world.azure.requests().into_iter().filter(|request| request.writes);
    let azure = azure.map(|request| {
        let age: std::time::Duration = azure_now.duration_since(request.at).unsigned_abs();
        let kind = format!("{:?}", request.kind).to_lowercase();
        (age, format!("{} {kind}", request.method))
    });
    let cluster = world
        .cluster_writes()
        .into_iter()
        .filter(|request| request.namespace == NAMESPACE && request.resource != "events");
    let cluster = cluster.map(|request| {
        let part = if request.subresource.is_empty() { "" } else { " status" };
        (now - request.at, format!("{} {}{part}", request.verb, request.resource))
    });
    // The cluster answers at once, and Azure takes its time: at one moment the cluster was asked first.
    let mut all: Vec<_> = cluster.chain(azure).collect();
    all.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
    all.into_iter().map(|(_, line)| line).collect()
}

/// Trust ends first, over both sides: no pod is left with a client id and roles that nobody accounts for.
#[tokio::test(start_paused = true)]
async fn what_ends_ends_in_one_order_over_azure_and_the_cluster() {
    story(async |world| {
        allow(world);
        world.create(orders());
        world.ready("orders").await;
        assert_eq!(
            writes_in_order(world),
            [
                "patch workloadidentitybindings",
                "apply workloadidentitybindings status",
                "PUT identity",
                "PUT credential",
                "PUT roleassignment",
                "apply serviceaccounts",
                "apply workloadidentitybindings status",
            ]
        );
        world.forget_requests();
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(
            writes_in_order(world),
            [
                "apply workloadidentitybindings status",
                "DELETE credential",
                "DELETE roleassignment",
                "delete serviceaccounts",
                "DELETE identity",
                "patch workloadidentitybindings",
            ]
        );
    })
    .await;
}

/// The platform team gave the role to the identity before; it is theirs.
#[tokio::test(start_paused = true)]
async fn a_role_that_somebody_else_gave_is_enough_and_stays() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        let principal_id = world.identity().principal_id;
        world.change_azure(|azure| {
            azure.role_assignments.push(RoleAssignment {
                name: "7b2d7f6c-6f0e-4d0c-9a55-0c3f5f8e1a01".parse().unwrap(),
                scope: scope(),
                role_definition_id: GUID.parse().unwrap(),
                principal_id,
                principal_type: "ServicePrincipal".to_owned(),
                description: None,
                condition: None,
                condition_version: None,
                created_on: "2026-01-01T00:00:00Z".parse().unwrap(),
                updated_on: "2026-01-01T00:00:00Z".parse().unwrap(),
                created_by: "platform".to_owned(),
            });
        });
        allow(world);
        let before = assignments(world);
        world.create(
            binding(NAMESPACE, "orders")
                .existing(&id)
                .service_account("orders")
                .role(ROLE, &scope()),
        );
        world.ready("orders").await;
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(assignments(world), before);
    })
    .await;
}

const ONE_CONTAINER: &str =
    "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'orders'";
const ANOTHER: &str =
    "@Resource[Microsoft.Storage/storageAccounts/blobServices/containers:name] StringEquals 'invoices'";

fn terms(world: &World) -> (Option<String>, Option<String>, Option<String>) {
    let given = assignments(world).remove(0);
    (given.condition, given.condition_version, given.description)
}

/// Azure lets condition and description of an assignment be changed, and nothing else of it.
#[tokio::test(start_paused = true)]
async fn a_condition_and_a_description_are_changed_in_place_and_never_by_a_second_assignment() {
    story(async |world| {
        allow(world);
        world.create(orders().under(ONE_CONTAINER));
        world.ready("orders").await;
        let made = assignments(world).remove(0);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(terms(world), (text(ONE_CONTAINER), text("2.0"), None));
        for (change, expected) in [
            (
                json!({ "condition": ANOTHER, "description": "orders" }),
                (text(ANOTHER), text("2.0"), text("orders")),
            ),
            (json!({ "condition": ANOTHER }), (text(ANOTHER), text("2.0"), None)),
            (json!({}), (None, None, None)),
        ] {
            world.forget_requests();
            world.edit("orders", |object| {
                let role = object["spec"]["roleAssignments"][0].as_object_mut().unwrap();
                role.remove("condition");
                role.remove("description");
                role.extend(change.as_object().unwrap().clone());
            });
            world.ready("orders").await;
            assert_eq!(terms(world), expected);
            let now = assignments(world);
            assert_eq!((now.len(), now[0].name), (1, made.name));
            let writes: Vec<String> = world
                .asked()
                .into_iter()
                .filter(|asked| !asked.starts_with("GET"))
                .collect();
            assert_eq!(writes, ["PUT roleassignment: 200"]);
        }
    })
    .await;
}

/// Whoever takes a condition out gives the identity more than its policy's namespace asked for.
#[tokio::test(start_paused = true)]
async fn a_condition_that_somebody_else_takes_out_or_changes_is_put_back() {
    story(async |world| {
        allow(world);
        world.create(orders().under(ONE_CONTAINER));
        world.ready("orders").await;
        for by_hand in [None, Some(ANOTHER.to_owned())] {
            world.change_azure(|azure| {
                azure.role_assignments[0].condition_version = by_hand.as_ref().map(|_| "2.0".to_owned());
                azure.role_assignments[0].condition = by_hand.clone();
            });
            let again = |world: &World| terms(world).0.as_deref() == Some(ONE_CONTAINER);
            world.until("it is put back", again).await;
        }
        world.ready("orders").await;
        assert!(!world.notes("DriftCorrected").is_empty());
    })
    .await;
}

/// It would be an assignment that gives more than was asked for, or less, and Azure takes no second one.
#[tokio::test(start_paused = true)]
async fn a_role_of_somebody_else_under_another_condition_is_told_of_and_left() {
    story(async |world| {
        allow(world);
        world.create(orders());
        world.ready("orders").await;
        let theirs = "7b2d7f6c-6f0e-4d0c-9a55-0c3f5f8e1a01".parse().unwrap();
        world.change_azure(|azure| azure.role_assignments[0].name = theirs);
        world.edit("orders", |object| {
            object["spec"]["roleAssignments"][0]["condition"] = json!(ONE_CONTAINER);
        });
        let told = world.says("orders", Reason::RoleAssignmentConflict).await;
        assert!(message(&told).contains("7b2d7f6c") && message(&told).contains("without a condition"));
        assert_eq!(condition(&told, "RoleAssignmentsReady").status, "False");
        let kept = assignments(world);
        assert_eq!((kept.len(), kept[0].name, kept[0].condition.clone()), (1, theirs, None));
        world.change_azure(|azure| azure.role_assignments.clear());
        world.ready("orders").await;
        assert_eq!(terms(world).0.as_deref(), Some(ONE_CONTAINER));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_condition_makes_no_role_permitted_that_is_not() {
    story(async |world| {
        world.create(orders().under(ONE_CONTAINER));
        world.says("orders", Reason::NotPermitted).await;
        assert_eq!(world.asked(), Vec::<String>::new());
        allow(world);
        world.ready("orders").await;
        world.cluster.delete::<WorkloadIdentityPolicy>("", "secrets");
        world.says("orders", Reason::NotPermitted).await;
        world
            .until("it is taken away", |world| assignments(world).is_empty())
            .await;
    })
    .await;
}
