use k8s_openapi::api::core::v1::Namespace;
use serde_json::json;
use wio_api::{DeletionPolicy, Reason, WorkloadIdentityBinding, keys};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::{binding, policy};
use wio_testkit::{Effect, Verb};

use crate::world::*;

async fn ready_orders(world: &World, policy: DeletionPolicy) {
    let orders = binding(NAMESPACE, "orders").managed().deletion_policy(policy);
    world.create(orders.service_account("orders").service_account("invoices"));
    world.ready("orders").await;
    world.forget_requests();
}

#[tokio::test(start_paused = true)]
async fn a_deletion_leaves_nothing_and_ends_trust_first() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Delete).await;
        world.delete("orders");
        world.gone("orders").await;
        assert!(!world.has_identity());
        assert_eq!((world.account("orders"), world.account("invoices")), (None, None));
        assert_eq!(
            world.asked(),
            [
                "GET identity: 200",
                "GET credentials: 200",
                "GET roleassignment: 200",
                "DELETE credential: 200",
                "DELETE credential: 200",
                "DELETE identity: 200",
            ]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_identity_keeps_nothing_of_our_trust() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::RetainIdentity).await;
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.identity().credentials, []);
        assert_eq!(world.account("orders"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_orphaned_goes_on_to_work() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Orphan).await;
        let before = world.identity();
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.identity(), before);
        let client_id = world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
        assert_eq!(client_id, Some(before.client_id.to_string()));
        assert_eq!(world.asked(), [""; 0]);
    })
    .await;
}

/// Otherwise a binding that is edited and deleted at once would leave trust that no policy could take away.
#[tokio::test(start_paused = true)]
async fn what_a_policy_gave_is_not_orphaned_unless_one_says_so() {
    for (at_once, allowed) in [(false, false), (true, false), (true, true)] {
        story(async |world| {
            let mut keep = policy("keep").namespace(NAMESPACE).build();
            keep.spec.allow_orphan = allowed;
            world.cluster.seed(keep);
            let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
            world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
            world.ready("orders").await;
            world.edit("orders", |object| {
                object["spec"]["deletionPolicy"] = serde_json::json!("Orphan");
            });
            if !at_once {
                let denied = world.says("orders", Reason::NotPermitted).await;
                assert!(message(&denied).contains("spec.deletionPolicy"), "{}", message(&denied));
                assert_eq!(world.identity().credentials, []);
            }
            world.delete("orders");
            world.gone("orders").await;
            assert_eq!(world.identity().credentials.len(), usize::from(allowed));
            assert_eq!(world.account("orders").is_some(), allowed);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_orphaned_is_taken_up_by_a_binding_of_the_same_name() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Orphan).await;
        let before = world.identity();
        world.delete("orders");
        world.gone("orders").await;
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .service_account("invoices"),
        );
        world.ready("orders").await;
        let after = world.identity();
        assert_eq!(
            (after.client_id, after.credentials),
            (before.client_id, before.credentials)
        );
        world.delete("orders");
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

/// The identity of a new binding may be there, with the trust of an earlier binding. What nobody wants any more must not outlive
/// Ready.
#[tokio::test(start_paused = true)]
async fn trust_that_an_orphaned_binding_left_ends_before_its_successor_is_ready() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Orphan).await;
        world.delete("orders");
        world.gone("orders").await;
        world.forget_requests();
        world.create(binding(NAMESPACE, "orders").managed().service_account("orders"));
        world.ready("orders").await;
        let subjects: Vec<_> = world
            .identity()
            .credentials
            .into_iter()
            .filter_map(|c| c.subject)
            .collect();
        assert_eq!(subjects, ["system:serviceaccount:shop:orders"]);
        assert_eq!(
            world.asked()[..3],
            ["GET identity: 200", "GET credentials: 200", "DELETE credential: 200"]
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_azure_refuses_keeps_the_finalizer_and_says_why() {
    for (kind, status, code, reason) in [
        (
            ResourceKind::Credential,
            403,
            "AuthorizationFailed",
            Reason::AuthorizationFailed,
        ),
        (ResourceKind::Identity, 409, "ScopeLocked", Reason::ScopeLocked),
        (
            ResourceKind::Identity,
            500,
            "InternalServerError",
            Reason::AzureUnavailable,
        ),
    ] {
        story(async |world| {
            ready_orders(world, DeletionPolicy::Delete).await;
            world
                .azure
                .inject(Fault::on("DELETE").kind(kind).forever().respond(status, code));
            world.delete("orders");
            let kept = world.says("orders", reason).await;
            assert_eq!(
                kept.metadata.finalizers.as_deref(),
                Some(&[keys::FINALIZER.to_owned()][..])
            );
            assert!(message(&kept).contains(code), "{}", message(&kept));
            let left = if kind == ResourceKind::Credential { 2 } else { 0 };
            assert_eq!(world.identity().credentials.len(), left, "the identity goes last");
            assert!(world.account("orders").is_none(), "and nothing else waits for it");
            world.azure.clear_faults();
            world.gone("orders").await;
            assert!(!world.has_identity());
        })
        .await;
    }
}

/// A cloud that lacks the api-version answers every request with 404, and everything stands.
#[tokio::test(start_paused = true)]
async fn a_404_that_does_not_mean_gone_keeps_the_finalizer() {
    for method in ["GET", "DELETE"] {
        story(async |world| {
            ready_orders(world, DeletionPolicy::Delete).await;
            let lacking = Fault::on(method).forever().respond(404, "InvalidResourceType");
            world.azure.inject(lacking);
            world.delete("orders");
            tokio::time::sleep(DRIFT).await;
            let kept = world.binding("orders");
            assert!(message(&kept).contains("InvalidResourceType"), "{}", message(&kept));
            assert!(world.has_identity());
            world.azure.clear_faults();
            world.gone("orders").await;
            assert!(!world.has_identity());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deletion_whose_answer_was_lost_ends_all_the_same() {
    for kind in [ResourceKind::Credential, ResourceKind::Identity] {
        story(async |world| {
            ready_orders(world, DeletionPolicy::Delete).await;
            world
                .azure
                .inject(Fault::on("DELETE").kind(kind).execute().drop_connection());
            world.delete("orders");
            world.gone("orders").await;
            assert!(!world.has_identity());
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_resource_group_that_is_gone_holds_nothing_that_could_be_deleted() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Delete).await;
        world.change_azure(|azure| {
            azure.identities.clear();
            azure.resource_groups.clear();
        });
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.account("orders"), None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_identity_that_others_came_to_use_is_not_deleted() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Delete).await;
        world.change_azure(|azure| {
            azure.identities[0]
                .credentials
                .push(foreign_credential("github", "repo:contoso/orders"));
        });
        world.delete("orders");
        let blocked = world.says("orders", Reason::DeletionBlocked).await;
        assert!(message(&blocked).contains("github"), "{}", message(&blocked));
        assert_eq!(world.identity().credentials.len(), 1, "our trust ended");
        world.change_azure(|azure| azure.identities[0].credentials.clear());
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

/// The status names the identity, and whoever may edit it must not be able to have another one deleted.
#[tokio::test(start_paused = true)]
async fn an_edited_status_does_not_lead_a_deletion_to_somebody_elses_identity() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Delete).await;
        world.stop().await;
        let victim = world.foreign_identity(
            GROUP,
            "victim",
            vec![foreign_credential("github", "repo:contoso/orders")],
        );
        let before = world.azure.snapshot().identity(&victim).cloned();
        world.edit("orders", |object| {
            object["status"]["identity"]["resourceId"] = serde_json::json!(victim);
        });
        world.delete("orders");
        world.start().await;
        world.gone("orders").await;
        assert_eq!(world.azure.snapshot().identity(&victim).cloned(), before);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_namespace_is_the_end_of_its_bindings() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Delete).await;
        world.cluster.delete::<Namespace>("", NAMESPACE);
        world.cluster.wait_gone::<Namespace>("", NAMESPACE).await;
        assert!(!world.has_identity());
        let created = world
            .cluster_writes()
            .into_iter()
            .filter(|request| request.status == Some(201))
            .count();
        assert_eq!(
            created,
            0,
            "nothing is made in a namespace that ends: {:?}",
            world.cluster_writes()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_account_that_cannot_be_released_keeps_the_identity_and_not_the_other_accounts() {
    story(async |world| {
        ready_orders(world, DeletionPolicy::Delete).await;
        let webhook = by_operator()
            .verb(Verb::Delete)
            .resource("serviceaccounts")
            .name("invoices");
        let fault = world.cluster.inject(webhook, Effect::forbidden());
        world.delete("orders");
        world.says("orders", Reason::KubernetesRejected).await;
        assert!(world.account("orders").is_none() && world.account("invoices").is_some() && world.has_identity());
        assert_eq!(world.identity().credentials, [], "trust has ended");
        fault.remove();
        world.gone("orders").await;
        assert!(!world.has_identity());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_was_never_bound_goes_at_once() {
    story(async |world| {
        world.create(
            binding(NAMESPACE, "orders")
                .managed()
                .service_account("orders")
                .suspended(),
        );
        world.says("orders", Reason::Suspended).await;
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(
            world.asked(),
            ["GET identity: 404"],
            "and nothing to look for at its end"
        );
    })
    .await;
}

/// Such a list is not kept in memory, and must not be written over with what is.
#[tokio::test(start_paused = true)]
async fn the_finalizers_of_others_stay_however_long_they_are() {
    story(async |world| {
        let others: Vec<String> = (0..60).map(|n| format!("example.com/{n}-{}", "x".repeat(40))).collect();
        let mut orders = binding(NAMESPACE, "orders").managed().service_account("orders");
        for finalizer in &others {
            orders = orders.finalizer(finalizer);
        }
        world.create(orders);
        let ready = world.ready("orders").await;
        let finalizers = |binding: &WorkloadIdentityBinding| binding.metadata.finalizers.clone().unwrap_or_default();
        let with_ours = [others.clone(), vec![keys::FINALIZER.to_owned()]].concat();
        assert_eq!(finalizers(&ready), with_ours);
        world.delete("orders");
        let is_released = |world: &World| finalizers(&world.binding("orders")) == others;
        world.until("ours is taken off", is_released).await;
        assert!(!world.has_identity());
        world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
        world.gone("orders").await;
    })
    .await;
}
