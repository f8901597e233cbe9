//! When a deletion is over: nothing that Azure shows late, or carries out late, outlives the binding.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_api::{DeletionPolicy, Reason, keys};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Matcher};

use crate::world::*;

/// Longer than anything that was sent can take to arrive.
const LATER: Duration = Duration::from_mins(5);

/// The binding `orders` to an identity of somebody else, which outlives it.
fn bound_to_an_existing_identity(world: &World) {
    let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
    world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
}

fn stale(world: &World, stale: bool) {
    *world.wire.lists_are_stale.lock().unwrap() = stale;
}

/// All writes of a status but the first, which says that something is about to be written to Azure.
fn after_the_announcement() -> wio_testkit::Matcher {
    let writes = by_operator().resource("workloadidentitybindings");
    writes.subresource("status").skip(1)
}

async fn nothing_is_left(world: &World) {
    world.gone("orders").await;
    sleep(LATER).await;
    let snapshot = world.azure.snapshot();
    let trust: Vec<_> = snapshot
        .identities
        .iter()
        .flat_map(|identity| &identity.credentials)
        .collect();
    assert_eq!((trust, &snapshot.role_assignments), (Vec::new(), &Vec::new()));
}

async fn deleted_while_lists_are_stale(world: &World) {
    stale(world, true);
    world.delete("orders");
    nothing_is_left(world).await;
    stale(world, false);
}

#[tokio::test(start_paused = true)]
async fn trust_that_no_list_shows_yet_is_taken_away_by_its_name() {
    story(async |world| {
        bound_to_an_existing_identity(world);
        world.ready("orders").await;
        deleted_while_lists_are_stale(world).await;
    })
    .await;
}

/// What the spec does not ask for any more is known by the status, and what neither knows by what is remembered.
#[tokio::test(start_paused = true)]
async fn trust_that_left_the_spec_right_before_the_deletion_is_taken_away_by_its_name() {
    for status_is_lost in [false, true] {
        story(async |world| {
            let fault = status_is_lost.then(|| world.cluster.inject(after_the_announcement(), Effect::unavailable()));
            bound_to_an_existing_identity(world);
            let trusts = |world: &World| !world.identity().credentials.is_empty();
            world.until("it is trusted", trusts).await;
            sleep(Duration::from_secs(1)).await;
            stale(world, true);
            world.edit("orders", |object| {
                object["spec"]["serviceAccounts"] = json!([{"name": "mails"}]);
            });
            world.delete("orders");
            nothing_is_left(world).await;
            stale(world, false);
            if let Some(fault) = fault {
                fault.remove();
            }
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_that_no_list_shows_yet_is_taken_away_by_its_name() {
    story(async |world| {
        let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}");
        world
            .cluster
            .seed(policy("reader").namespace(NAMESPACE).role("Reader", &[&scope]).build());
        for managed in [false, true] {
            let orders = binding(NAMESPACE, "orders")
                .service_account("orders")
                .role("Reader", &scope);
            let orders = if managed {
                orders.managed()
            } else {
                orders.existing(&world.foreign_identity(SHARED_GROUP, "billing", Vec::new()))
            };
            world.create(orders);
            world.ready("orders").await;
            deleted_while_lists_are_stale(world).await;
        }
    })
    .await;
}

/// The operator does not wait for as long as Azure may take.
#[tokio::test(start_paused = true)]
async fn trust_that_azure_gives_after_the_operator_gave_up_waiting_does_not_outlive_the_binding() {
    story(async |world| {
        let put = Fault::on("PUT").kind(ResourceKind::Credential);
        world.azure.inject(put.times(1).delay(Duration::from_secs(55)));
        bound_to_an_existing_identity(world);
        let asked = |world: &World| world.azure.faults().is_empty();
        world.until("it is asked for", asked).await;
        world.delete("orders");
        let waits = world.says("orders", Reason::Deleting).await;
        assert!(message(&waits).contains("once more"), "{}", message(&waits));
        nothing_is_left(world).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn trust_that_was_asked_for_right_before_a_crash_does_not_outlive_the_binding() {
    for kind in [ResourceKind::Identity, ResourceKind::Credential] {
        story(async |world| {
            let put = Fault::on("PUT").kind(kind).times(1);
            world.azure.inject(put.delay(Duration::from_secs(30)));
            world.create(
                binding(NAMESPACE, "orders")
                    .managed()
                    .deletion_policy(DeletionPolicy::RetainIdentity)
                    .service_account("orders"),
            );
            let asked = |world: &World| world.azure.faults().is_empty();
            world.until("it is asked for", asked).await;
            world.crash().await;
            world.delete("orders");
            world.start().await;
            nothing_is_left(world).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_azure_does_not_show_right_after_it_was_made_does_not_outlive_the_binding() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let get = Fault::on("GET").kind(ResourceKind::Identity).forever();
        world.azure.inject(get.respond(404, "ResourceNotFound"));
        world.delete("orders");
        sleep(Duration::from_secs(50)).await;
        let kept = world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
        assert!(kept.is_some(), "the client id went before its trust");
        world.azure.clear_faults();
        nothing_is_left(world).await;
        assert!(!world.has_identity());
    })
    .await;
}

/// What was seen going needs no second look, however young it is.
#[tokio::test(start_paused = true)]
async fn an_ordinary_deletion_is_over_at_once() {
    for age in [Duration::ZERO, Duration::from_hours(1)] {
        story(async |world| {
            bound_to_an_existing_identity(world);
            world.ready("orders").await;
            sleep(age).await;
            let begun = Instant::now();
            world.delete("orders");
            world.gone("orders").await;
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        })
        .await;
    }
}

/// Whoever makes the rest of a spec unusable must not keep what was made before, though nothing is in the status.
#[tokio::test(start_paused = true)]
async fn trust_ends_though_the_status_was_never_written_and_the_spec_cannot_be_used_any_more() {
    for managed in [false, true] {
        story(async |world| {
            let fault = world.cluster.inject(after_the_announcement(), Effect::unavailable());
            if managed {
                let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
                world.create(orders);
            } else {
                bound_to_an_existing_identity(world);
            }
            let trusts = |world: &World| world.has_identity() && !world.identity().credentials.is_empty();
            world.until("it is trusted", trusts).await;
            world.edit("orders", |object| {
                object["spec"]["audience"] = json!("two words");
            });
            world.delete("orders");
            fault.remove();
            nothing_is_left(world).await;
            assert_eq!(world.has_identity(), !managed);
        })
        .await;
    }
}

/// A finalizer of somebody else keeps the object for as long as it likes, and whoever looks at it must not take it for a working one.
#[tokio::test(start_paused = true)]
async fn nothing_says_ready_while_a_deletion_runs_and_after_its_end() {
    for policy in [DeletionPolicy::Delete, DeletionPolicy::Orphan] {
        story(async |world| {
            let orders = binding(NAMESPACE, "orders").managed().deletion_policy(policy);
            world.create(orders.service_account("orders").finalizer("example.com/mine"));
            world.ready("orders").await;
            world
                .azure
                .inject(Fault::on("DELETE").forever().delay(Duration::from_secs(2)));
            world.delete("orders");
            let finalizers = |world: &World| world.binding("orders").metadata.finalizers.unwrap_or_default();
            let is_released = |world: &World| finalizers(world) == ["example.com/mine"];
            let begun = Instant::now();
            let says_ready = |world: &World| condition(&world.binding("orders"), "Ready").status == "True";
            while !is_released(world) {
                sleep(Duration::from_millis(100)).await;
                let deleting = world.azure.requests().iter().any(|request| request.method == "DELETE");
                assert!(!deleting || !says_ready(world), "after {:?}", begun.elapsed());
                assert!(begun.elapsed() < DEADLINE);
            }
            let over = world.says("orders", Reason::Deleting).await;
            assert!(!says_ready(world), "{over:#?}");
            let status = over.status.unwrap();
            assert_eq!((status.identity, status.federated_credentials.len()), (None, 0));
            world.stop().await;
            world.start().await;
            sleep(LATER).await;
            assert!(!says_ready(world));
            assert_eq!(world.has_identity(), policy == DeletionPolicy::Orphan);
            world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
            world.gone("orders").await;
        })
        .await;
    }
}

/// Nothing that Azure ever acknowledged, and Azure refuses every word about it: whoever made the mistake must be able to take it back.
#[tokio::test(start_paused = true)]
async fn what_was_never_written_goes_though_azure_refuses_every_request() {
    for restarts in [false, true] {
        for (status, code) in [
            (403, "AuthorizationFailed"),
            (404, "SubscriptionNotFound"),
            (401, "InvalidAuthenticationTokenTenant"),
        ] {
            story(async |world| {
                world.azure.inject(Fault::any().forever().respond(status, code));
                bound_to_an_existing_identity(world);
                let refused = |world: &World| find_condition(&world.binding("orders"), "Ready").is_some();
                world.until("it is refused", refused).await;
                assert!(!world.binding("orders").status.unwrap().written);
                if restarts {
                    world.stop().await;
                    world.start().await;
                } else {
                    sleep(DRIFT).await;
                }
                world.forget_requests();
                world.delete("orders");
                world.gone("orders").await;
                assert_eq!(world.asked(), [""; 0]);
                let told = |world: &World| world.events().iter().any(|event| event.starts_with("Normal Deleting"));
                world.until("an Event tells of it", told).await;
                world.azure.clear_faults();
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_written_stays_as_long_as_azure_says_nothing_of_it() {
    for crashes in [false, true] {
        story(async |world| {
            let put = Fault::on("PUT").times(1).execute().drop_connection();
            world.azure.inject(put);
            let refused = || Fault::any().forever().respond(403, "AuthorizationFailed");
            world
                .azure
                .inject(Fault::on("PUT").forever().respond(403, "AuthorizationFailed"));
            world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
            world.until("it was made", |world: &World| world.has_identity()).await;
            world.azure.clear_faults();
            world.azure.inject(refused());
            if crashes {
                world.crash().await;
                world.start().await;
            }
            world.delete("orders");
            let kept = world.says("orders", Reason::AuthorizationFailed).await;
            assert!(message(&kept).contains("resource group"), "{}", message(&kept));
            sleep(DRIFT).await;
            assert!(
                world
                    .cluster
                    .get::<wio_api::WorkloadIdentityBinding>(NAMESPACE, "orders")
                    .is_some()
            );
            world.azure.clear_faults();
            world.gone("orders").await;
            assert!(!world.has_identity());
        })
        .await;
    }
}

/// Whoever puts our finalizer on a binding that may have nothing must not make the operator tell whether an identity exists.
#[tokio::test(start_paused = true)]
async fn nothing_is_read_for_a_binding_that_was_never_allowed_though_it_has_our_finalizer() {
    story(async |world| {
        let id = world.foreign_identity(OTHER_GROUP, "secret", Vec::new());
        let elsewhere = "/subscriptions/0b9fd8f1-4b5a-4a52-9c7d-7a7d1c2d6f77";
        let orders = binding(NAMESPACE, "orders").existing(&id).service_account("orders");
        world.create(orders.role("Reader", elsewhere).finalizer(wio_api::keys::FINALIZER));
        let denied = world.says("orders", Reason::NotPermitted).await;
        let marks = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {
                "name": "orders",
                "namespace": NAMESPACE,
                "labels": { wio_api::keys::BOUND_BY_LABEL: denied.metadata.uid },
            },
        });
        let account: k8s_openapi::api::core::v1::ServiceAccount = serde_json::from_value(marks).unwrap();
        world.cluster.seed(account);
        sleep(DRIFT).await;
        assert_eq!(world.asked(), [""; 0]);
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.asked(), [""; 0]);
    })
    .await;
}

/// The tokens of running pods end with the object, so it is handed over and not made anew.
#[tokio::test(start_paused = true)]
async fn a_service_account_that_another_binding_waits_for_is_handed_over_and_not_deleted() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("web"));
        world.ready("orders").await;
        let uid = |world: &World| world.account("web").unwrap().metadata.uid;
        let before = uid(world);
        world.create(binding(NAMESPACE, "waits").managed().service_account("web"));
        world.says("waits", Reason::ServiceAccountConflict).await;
        world.delete("orders");
        world.gone("orders").await;
        world.ready("waits").await;
        assert_eq!(uid(world), before);
        let client_id = world.annotation("web", wio_api::keys::CLIENT_ID_ANNOTATION);
        assert_eq!(client_id, Some(world.identity().client_id.to_string()));
    })
    .await;
}

/// Azure leaves the assignments of a principal that is gone behind, and they count against the subscription's limit.
#[tokio::test(start_paused = true)]
async fn the_roles_of_a_principal_that_vanished_are_found_and_taken_away() {
    for unreadable in [false, true] {
        story(async |world| {
            let scope = format!("/subscriptions/{SUBSCRIPTION}");
            world
                .cluster
                .seed(policy("reader").namespace(NAMESPACE).role("Reader", &[&scope]).build());
            let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            world.create(
                binding(NAMESPACE, "orders")
                    .existing(&id)
                    .service_account("orders")
                    .role("Reader", &scope),
            );
            world.ready("orders").await;
            let first = world.identity().principal_id;
            world.change_azure(|azure| azure.identities.clear());
            world.says("orders", Reason::IdentityNotFound).await;
            if unreadable {
                let lists = Fault::on("GET").path("roleAssignments").forever();
                world.azure.inject(lists.respond(403, "AuthorizationFailed"));
            }
            world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            let second = uuid::Uuid::from_u128(0xbeef);
            world.change_azure(|azure| azure.identities[0].principal_id = second);
            if unreadable {
                world.says("orders", Reason::RoleAccessDenied).await;
                sleep(DRIFT).await;
                world.azure.clear_faults();
            }
            world.ready("orders").await;
            let has = |world: &World, who| {
                world
                    .azure
                    .snapshot()
                    .role_assignments
                    .iter()
                    .any(|one| one.principal_id == who)
            };
            assert!(
                has(world, second) && !has(world, first),
                "{:#?}",
                world.azure.snapshot().role_assignments
            );
            assert_eq!(world.binding("orders").status.unwrap().former_principal_ids, [""; 0]);
        })
        .await;
    }
}

/// Where no status could be written, the first step of a deletion was to write one.
#[tokio::test(start_paused = true)]
async fn trust_ends_though_it_cannot_be_written_down_that_the_deletion_has_begun() {
    story(async |world| {
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let statuses = Matcher::writes()
            .resource("workloadidentitybindings")
            .subresource("status");
        world.cluster.inject(statuses, Effect::internal_error());
        world.delete("orders");
        world
            .until("the trust is taken away", |world| !world.has_identity())
            .await;
        world.cluster.clear_faults();
        world.gone("orders").await;
    })
    .await;
}
