use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_api::{IdentityOrigin, Reason};
use wio_azure_sim::{Fault, ResourceKind};
use wio_testkit::fixtures::binding;
use wio_testkit::kstatus::{self, State};

use crate::world::*;

#[tokio::test(start_paused = true)]
async fn an_existing_identity_gets_our_credentials_and_keeps_the_others() {
    story(async |world| {
        let foreign = vec![
            foreign_credential("github", "repo:contoso/orders:ref:refs/heads/main"),
            foreign_credential("aks-identity-binding", "system:serviceaccount:shop:orders"),
        ];
        let id = world.foreign_identity(SHARED_GROUP, "billing", foreign.clone());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        let ready = world.ready("orders").await;
        assert_eq!(
            world.asked(),
            ["GET identity: 200", "GET credentials: 200", "PUT credential: 201"]
        );
        let status = ready.status.as_ref().unwrap();
        assert_eq!(status.identity.as_ref().unwrap().origin, IdentityOrigin::Referenced);
        let usage = status.federated_credential_usage.as_ref().unwrap();
        assert_eq!((usage.ours, usage.foreign, usage.limit), (1, 2, 20));
        let kept = |world: &World| {
            let all = world.identity().credentials;
            foreign.iter().all(|foreign| all.contains(foreign))
        };
        assert!(kept(world));
        assert!(world.identity().tags.is_empty(), "it is not ours to tag");

        world.delete("orders");
        world.gone("orders").await;
        assert!(kept(world));
        assert_eq!(world.identity().credentials.len(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_existing_identity_that_is_missing_is_waited_for() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        let identity = world.identity();
        world.change_azure(|azure| azure.identities.clear());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        let missing = world.says("orders", Reason::IdentityNotFound).await;
        assert!(message(&missing).contains("billing"), "{}", message(&missing));
        assert_eq!(condition(&missing, "Reconciling").status, "True");
        sleep(Duration::from_mins(2)).await;
        assert!(find_condition(&world.binding("orders"), "Stalled").is_none());
        world.azure_was_only_read();
        world.change_azure(|azure| azure.identities.push(identity));
        let made = Instant::now();
        world.ready("orders").await;
        assert!(made.elapsed() < Duration::from_secs(40), "{:?}", made.elapsed());
    })
    .await;
}

/// A restart does not begin the wait anew.
#[tokio::test(start_paused = true)]
async fn an_existing_identity_that_nobody_makes_stalls_its_binding_in_the_end() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        world.change_azure(|azure| azure.identities.clear());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.says("orders", Reason::IdentityNotFound).await;
        // What Flux and Argo CD make of it, and with them a whole Kustomization.
        let state = |world: &World| kstatus::compute(&json!(world.binding("orders"))).state;
        let begun = Instant::now();
        sleep(Duration::from_mins(3)).await;
        assert_eq!(state(world), State::InProgress);
        world.crash().await;
        world.start().await;
        let stalled = |world: &World| find_condition(&world.binding("orders"), "Stalled").is_some();
        world.until("the binding is stalled", stalled).await;
        let waited = begun.elapsed().as_secs();
        assert!((290..400).contains(&waited), "{waited} s");
        assert_eq!(condition(&world.binding("orders"), "Ready").status, "False");
        assert_eq!(state(world), State::Failed);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_identity_of_the_wanted_name_that_is_not_ours_is_left_alone() {
    story(async |world| {
        world.foreign_identity(GROUP, "shop_orders", Vec::new());
        let before = world.identity();
        let identity = wio_api::ManagedIdentity {
            name: Some("shop_orders".to_owned()),
            ..Default::default()
        };
        world.create(
            binding(NAMESPACE, "orders")
                .managed_as(identity)
                .service_account("orders"),
        );
        let refused = world.says("orders", Reason::IdentityNotOwned).await;
        assert_eq!(condition(&refused, "Stalled").status, "True");
        assert!(
            message(&refused).contains("spec.identity.managed.name"),
            "{}",
            message(&refused)
        );
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.identity(), before);
        world.azure_was_only_read();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_full_identity_is_reported_until_there_is_room() {
    story(async |world| {
        let foreign = (0..20)
            .map(|n| foreign_credential(&format!("github-{n}"), &format!("repo:contoso/r{n}")))
            .collect();
        let id = world.foreign_identity(SHARED_GROUP, "billing", foreign);
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        let full = world.says("orders", Reason::FederatedCredentialQuotaExceeded).await;
        assert!(message(&full).contains("20"), "{}", message(&full));
        world.change_azure(|azure| drop(azure.identities[0].credentials.pop()));
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_foreign_credential_that_already_trusts_the_subject_is_enough() {
    story(async |world| {
        let mut credential = foreign_credential("by-hand", "system:serviceaccount:shop:orders");
        credential.issuer = wio_testkit::DEFAULT_ISSUER.to_owned();
        let id = world.foreign_identity(SHARED_GROUP, "billing", vec![credential.clone()]);
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        assert_eq!(world.identity().credentials, [credential.clone()]);
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.identity().credentials, [credential]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_identity_of_the_operator_itself_is_never_bound() {
    let mut world = World::new();
    // The shared group's policy gives every identity there, this one among them.
    let id = world.foreign_identity(SHARED_GROUP, "operator", Vec::new());
    let own = world.identity().client_id.to_string();
    world.sign_in_as(&own);
    world.start().await;
    world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
    let refused = world.says("orders", Reason::NotPermitted).await;
    assert!(
        message(&refused).contains("the operator itself"),
        "{}",
        message(&refused)
    );
    world.azure_was_only_read();
    assert!(world.identity().credentials.is_empty());
    world.settle().await;
}

fn refuse_credentials(world: &World, method: &str) {
    let refused = Fault::on(method).kind(ResourceKind::Credential);
    world
        .azure
        .inject(refused.forever().respond(403, "AuthorizationFailed"));
}

/// Each retry announced the write, and took that back when it was refused; later on the ConfigMap that was to follow it.
#[tokio::test(start_paused = true)]
async fn a_write_that_is_refused_again_and_again_is_told_once() {
    for exports in [false, true] {
        refused_again_and_again(exports).await;
    }
}

async fn refused_again_and_again(exports: bool) {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        refuse_credentials(world, "PUT");
        let orders = binding(NAMESPACE, "orders").existing(&id).service_account("orders");
        world.create(if exports { orders.exported("ids") } else { orders });
        world.says("orders", Reason::AuthorizationFailed).await;
        let statuses = |world: &World| {
            let writes = world.cluster_writes();
            writes.iter().filter(|write| write.path.ends_with("/status")).count()
        };
        assert_eq!(
            statuses(world),
            2,
            "that it is about to be written, and that it was refused"
        );
        world.forget_requests();
        sleep(Duration::from_hours(6)).await;
        let tries = world.asked().iter().filter(|line| line.starts_with("PUT")).count();
        assert!(tries > 5, "{tries}");
        assert_eq!(statuses(world), 0);
        // What never was given goes without Azure, which may refuse all else.
        refuse_credentials(world, "DELETE");
        refuse_credentials(world, "GET");
        world.delete("orders");
        world.gone("orders").await;
    })
    .await;
}

/// Nothing was given, and nothing may be taken away: another operator has to be able to tell that, too.
#[tokio::test(start_paused = true)]
async fn what_was_refused_and_may_not_be_deleted_is_let_go_after_a_restart() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        refuse_credentials(world, "PUT");
        refuse_credentials(world, "DELETE");
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.says("orders", Reason::AuthorizationFailed).await;
        world.stop().await;
        world.start().await;
        world.delete("orders");
        world.gone("orders").await;
    })
    .await;
}

/// Whoever shares it is found whichever way it is named: the one who goes must not take the other's trust away.
#[tokio::test(start_paused = true)]
async fn an_identity_by_group_and_name_is_the_same_as_by_its_id_and_is_shared_with_who_names_that() {
    story(async |world| {
        let id = world.foreign_identity(SHARED_GROUP, "billing", Vec::new());
        world.create(binding(NAMESPACE, "orders").existing(&id).service_account("orders"));
        world.ready("orders").await;
        let by_name = binding(NAMESPACE, "also").existing_named(SHARED_GROUP, "Billing");
        world.create(by_name.service_account("orders"));
        let also = world.ready("also").await.status.unwrap().identity.unwrap();
        assert_eq!(also.resource_id.to_lowercase(), id.to_lowercase());
        world.delete("orders");
        world.gone("orders").await;
        world.ready("also").await;
        assert_eq!(world.credentials(), 1);
        world.delete("also");
        world.gone("also").await;
        assert_eq!(world.credentials(), 0);
    })
    .await;
}
