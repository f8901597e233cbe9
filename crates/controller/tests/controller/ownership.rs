//! Whose an identity is: what stands under a binding's name and is another's, what two choose at once, what lost its tags.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use wio_api::{ManagedIdentity, ManagedIdentityPermission, Reason, WorkloadIdentityBinding, keys};
use wio_azure_sim::{Fault, Identity, ResourceKind};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::world::*;

const RIVALS: &str = "bank";

/// The binding of a namespace to the managed identity `payments`, which a policy allows both namespaces.
fn payments(namespace: &str) -> BindingBuilder {
    let identity = ManagedIdentity {
        name: Some("payments".to_owned()),
        resource_group: Some(OTHER_GROUP.to_owned()),
        ..ManagedIdentity::default()
    };
    binding(namespace, "payments")
        .managed_as(identity)
        .service_account("payments")
}

fn allow(world: &World, namespace: &str) {
    let place = ManagedIdentityPermission {
        subscription_id: SUBSCRIPTION.to_owned(),
        resource_group: OTHER_GROUP.to_owned(),
        ..ManagedIdentityPermission::default()
    };
    let policy = policy(&format!("payments-of-{namespace}")).namespace(namespace);
    world.cluster.seed(policy.managed(place).build());
}

fn of(world: &World, namespace: &str) -> WorkloadIdentityBinding {
    world.cluster.get(namespace, "payments").unwrap()
}

fn says(binding: &WorkloadIdentityBinding, reason: Reason) -> bool {
    find_condition(binding, "Ready").is_some_and(|ready| ready.reason == reason.as_str())
}

fn subjects(identity: &Identity) -> Vec<String> {
    identity
        .credentials
        .iter()
        .filter_map(|one| one.subject.clone())
        .collect()
}

fn retag(world: &World, change: impl Fn(&mut BTreeMap<String, String>)) {
    world.change_azure(|azure| change(&mut azure.identities[0].tags));
}

fn orders() -> BindingBuilder {
    binding(NAMESPACE, "orders").managed().service_account("orders")
}

/// Both looked, both found the name free, and both were trusted for good: the one whose tags were overwritten was told at its next look
/// and kept everything.
#[tokio::test(start_paused = true)]
async fn of_two_that_choose_one_name_in_one_tick_the_elder_alone_is_trusted() {
    story(async |world| {
        world.cluster.create_namespace(RIVALS);
        allow(world, RIVALS);
        allow(world, NAMESPACE);
        world.stop().await;
        world.cluster.seed(payments(RIVALS).build());
        sleep(Duration::from_secs(2)).await;
        world.cluster.seed(payments(NAMESPACE).build());
        world.start().await;
        let ready = |world: &World| says(&of(world, RIVALS), Reason::Succeeded);
        world.until("the elder is ready", ready).await;
        let refused = |world: &World| says(&of(world, NAMESPACE), Reason::NotPermitted);
        world.until("the younger is refused", refused).await;
        assert!(
            message(&of(world, NAMESPACE)).contains("bank/payments"),
            "{}",
            message(&of(world, NAMESPACE))
        );
        sleep(3 * DRIFT).await;
        assert_eq!(subjects(&world.identity()), ["system:serviceaccount:bank:payments"]);
        assert!(
            !world.asked().iter().any(|line| line.starts_with("PUT identity: 200")),
            "{:?}",
            world.asked()
        );

        // What the elder gives up the younger may have.
        world.cluster.delete::<WorkloadIdentityBinding>(RIVALS, "payments");
        world
            .until("the younger is ready", |world| {
                says(&of(world, NAMESPACE), Reason::Succeeded)
            })
            .await;
        assert_eq!(subjects(&world.identity()), ["system:serviceaccount:shop:payments"]);
    })
    .await;
}

/// Nothing is made of what an elder chooses where the operator does not act: otherwise a tenant there could keep names from all others.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_chosen_where_the_operator_does_not_act_is_free() {
    let mut world = World::new();
    world.cluster.create_namespace(RIVALS);
    world.config.namespaces = ActiveNamespaces::AllBut([RIVALS.parse().unwrap()].into());
    allow(&world, RIVALS);
    allow(&world, NAMESPACE);
    world.cluster.seed(payments(RIVALS).build());
    sleep(Duration::from_secs(2)).await;
    world.cluster.seed(payments(NAMESPACE).build());
    world.start().await;
    let ready = |world: &World| says(&of(world, NAMESPACE), Reason::Succeeded);
    world.until("the younger is ready", ready).await;
    assert_eq!(subjects(&world.identity()), ["system:serviceaccount:shop:payments"]);
    world.settle().await;
}

/// Whoever has the identity keeps it, however old the other one is that may have it all at once.
#[tokio::test(start_paused = true)]
async fn an_elder_that_is_allowed_later_does_not_take_what_another_has() {
    story(async |world| {
        world.cluster.create_namespace(RIVALS);
        world.cluster.seed(payments(RIVALS).build());
        let refused = |world: &World| says(&of(world, RIVALS), Reason::NotPermitted);
        world.until("the elder is refused", refused).await;
        allow(world, NAMESPACE);
        world.cluster.seed(payments(NAMESPACE).build());
        world
            .until("the younger is ready", |world| {
                says(&of(world, NAMESPACE), Reason::Succeeded)
            })
            .await;
        allow(world, RIVALS);
        sleep(3 * DRIFT).await;
        assert!(says(&of(world, NAMESPACE), Reason::Succeeded) && refused(world));
        assert_eq!(subjects(&world.identity()), ["system:serviceaccount:shop:payments"]);
    })
    .await;
}

/// The name that is derived for the binding `orders`, of which nothing is left.
async fn derived_name(world: &World) -> String {
    world.create(orders());
    world.ready("orders").await;
    let name = world.identity().id.name;
    world.delete("orders");
    world.gone("orders").await;
    name
}

/// The first request used to be sent without a look. It erased the tags that would have shown whose the identity is, and the
/// identity was ours from then on, its deletion with the binding included.
#[tokio::test(start_paused = true)]
async fn an_identity_that_stands_under_a_derived_name_and_is_not_ours_is_not_written_to() {
    story(async |world| {
        let name = derived_name(world).await;

        let theirs = foreign_credential("github", "repo:data/team");
        world.foreign_identity(GROUP, &name, vec![theirs]);
        retag(world, |tags| {
            drop(tags.insert("costcenter".to_owned(), "42".to_owned()));
        });
        let before = world.identity();
        world.forget_requests();
        world.create(orders());
        let refused = world.says("orders", Reason::IdentityNotOwned).await;
        assert_eq!(condition(&refused, "Stalled").status, "True");
        world.delete("orders");
        world.gone("orders").await;
        assert_eq!(world.identity(), before);
        world.azure_was_only_read();
    })
    .await;
}

/// Somebody else was faster between the look and the request, which then replaced the tags. An answer of 200 proves nothing.
#[tokio::test(start_paused = true)]
async fn an_identity_that_was_created_in_between_is_given_nothing_while_it_serves_another() {
    story(async |world| {
        let name = derived_name(world).await;

        let theirs = foreign_credential("github", "repo:data/team");
        world.foreign_identity(GROUP, &name, vec![theirs.clone()]);
        let look = Fault::on("GET").kind(ResourceKind::Identity);
        world.azure.inject(look.respond(404, "ResourceNotFound"));
        world.create(orders());
        let refused = world.says("orders", Reason::IdentityNotOwned).await;
        assert!(message(&refused).contains("github"), "{}", message(&refused));
        sleep(3 * DRIFT).await;
        assert_eq!(world.identity().credentials, [theirs]);

        world.change_azure(|azure| azure.identities[0].credentials.clear());
        world.ready("orders").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_another_bindings_tags_stand_on_loses_our_trust() {
    story(async |world| {
        world.create(orders());
        world.ready("orders").await;
        retag(world, |tags| {
            tags.insert(keys::CLUSTER_TAG.to_owned(), "another-cluster".to_owned());
        });
        world.says("orders", Reason::IdentityNotOwned).await;
        let left = |world: &World| world.identity().credentials.is_empty();
        world.until("the trust is gone", left).await;
        let mark = |world: &World| world.annotation("orders", keys::CLIENT_ID_ANNOTATION);
        world
            .until("the client id is gone", |world| mark(world).is_none())
            .await;
    })
    .await;
}

/// It used to say that trust and client id were missing, which both were there, and to advise to delete the identity.
#[tokio::test(start_paused = true)]
async fn an_identity_that_lost_its_tags_goes_on_working_and_tells_how_to_put_them_back() {
    story(async |world| {
        world.create(orders());
        world.ready("orders").await;
        let tags = world.identity().tags;
        retag(world, BTreeMap::clear);
        let told = world.says("orders", Reason::IdentityNotOwned).await;
        assert!(
            message(&told).contains("az tag update --operation merge"),
            "{}",
            message(&told)
        );
        assert_eq!(condition(&told, "FederatedCredentialsReady").status, "True");
        assert_eq!(condition(&told, "ServiceAccountsReady").status, "True");
        let status = told.status.unwrap();
        assert_eq!(
            status.identity.unwrap().principal_id,
            Some(world.identity().principal_id.to_string())
        );
        assert_eq!(status.federated_credentials.len(), 1);

        // What is given up ends all the same.
        world.edit("orders", |object| {
            object["spec"]["serviceAccounts"][0]["name"] = "invoices".into();
        });
        let left = |world: &World| world.identity().credentials.is_empty();
        world.until("what is not wanted is gone", left).await;
        retag(world, |now| now.clone_from(&tags));
        world.ready("orders").await;
    })
    .await;
}

/// A request whose answer never came, and defaults that were changed before anything else was known: the first identity was left
/// behind, with its trust.
#[tokio::test(start_paused = true)]
async fn an_identity_is_written_down_before_it_is_created() {
    story(async |world| {
        let put = Fault::on("PUT").kind(ResourceKind::Identity);
        world.azure.inject(put.delay(Duration::from_secs(5)));
        world.create(orders());
        world
            .until("it was asked for", |world| {
                world.asked().iter().any(|line| line.starts_with("PUT"))
            })
            .await;
        world.crash().await;
        let announced = world.binding("orders").status.unwrap().identity.unwrap();
        assert_eq!((&announced.client_id, &announced.principal_id), (&None, &None));
        world.config.group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{OTHER_GROUP}")
            .parse()
            .unwrap();
        world.start().await;
        let moved = world.says("orders", Reason::IdentityMoved).await;
        assert!(message(&moved).contains(&announced.resource_id), "{}", message(&moved));
        world.config.group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}")
            .parse()
            .unwrap();
        world.crash().await;
        world.start().await;
        world.ready("orders").await;
    })
    .await;
}
