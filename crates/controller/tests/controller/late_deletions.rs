//! Deletions that Azure carries out when nobody waits for their answer any more: what is given anew under the same name is not theirs to take. The
//! simulation found it: a binding was deleted and created anew, and lost its new identity to the deletion of the one before.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use wio_azure_sim::{Credential, Fault, ResourceKind, RoleAssignment};
use wio_testkit::fixtures::{BindingBuilder, binding, policy};

use crate::world::*;

/// When the deletion is carried out that got no answer.
const LATE: Duration = Duration::from_mins(1);
/// Longer than anything that was sent can take to arrive.
const LATER: Duration = Duration::from_mins(5);

/// The next deletion of something of this kind gets no answer, and is carried out later.
fn one_is_late(world: &World, kind: ResourceKind) {
    let delete = Fault::on("DELETE").kind(kind).times(1);
    world.azure.inject(delete.execute_after(LATE).drop_connection());
}

async fn was_sent(world: &World) {
    let is_used_up = |world: &World| world.azure.faults().is_empty();
    world.until("it is asked for", is_used_up).await;
}

/// The binding `orders`, with a role that a policy gives.
fn create(world: &World) {
    let scope = scope();
    world
        .cluster
        .seed(policy("reader").namespace(NAMESPACE).role("Reader", &[&scope]).build());
    world.create(orders());
}

fn orders() -> BindingBuilder {
    let orders = binding(NAMESPACE, "orders").managed().service_account("orders");
    orders.role("Reader", &scope())
}

fn scope() -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{SHARED_GROUP}")
}

/// Each identity with its client id and credentials, and all role assignments.
type Made = (Vec<(uuid::Uuid, Vec<Credential>)>, Vec<RoleAssignment>);

/// What there is in Azure, by what would differ if it were made anew.
fn made(world: &World) -> Made {
    let snapshot = world.azure.snapshot();
    let identities = snapshot.identities.into_iter();
    let identities: Vec<_> = identities.map(|one| (one.client_id, one.credentials)).collect();
    (identities, snapshot.role_assignments)
}

#[tokio::test(start_paused = true)]
async fn a_deletion_without_an_answer_takes_nothing_of_a_binding_that_is_created_anew() {
    for kind in [
        ResourceKind::Identity,
        ResourceKind::Credential,
        ResourceKind::RoleAssignment,
    ] {
        for crashes in [false, true] {
            story(async |world| {
                create(world);
                world.ready("orders").await;
                // What was written has landed.
                sleep(LATER).await;
                one_is_late(world, kind);
                world.delete("orders");
                was_sent(world).await;
                if crashes {
                    world.crash().await;
                    world.start().await;
                }
                world.gone("orders").await;
                world.create(orders());
                world.ready("orders").await;
                let before = made(world);
                sleep(LATER).await;
                assert_eq!(made(world), before, "{kind:?}");
            })
            .await;
        }
    }
}

/// Whoever takes the finalizer off lets the binding go before the operator does.
#[tokio::test(start_paused = true)]
async fn nothing_is_given_through_an_identity_that_a_deletion_may_still_take() {
    story(async |world| {
        create(world);
        world.ready("orders").await;
        one_is_late(world, ResourceKind::Identity);
        world.delete("orders");
        was_sent(world).await;
        world.edit("orders", |object| object["metadata"]["finalizers"] = json!([]));
        world.gone("orders").await;
        let begun = Instant::now();
        world.create(orders());
        let ready = world.ready("orders").await;
        assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
        let client_id = ready.status.unwrap().identity.unwrap().client_id;
        sleep(LATER).await;
        assert_eq!(client_id, Some(world.identity().client_id.to_string()));
    })
    .await;
}

/// The binding goes on, so what the deletion takes is seen when it can take nothing any more, and given once more.
#[tokio::test(start_paused = true)]
async fn what_a_deletion_without_an_answer_takes_of_a_binding_that_goes_on_is_given_again() {
    for kind in [ResourceKind::Credential, ResourceKind::RoleAssignment] {
        story(async |world| {
            create(world);
            let before = names_when_ready(world).await;
            one_is_late(world, kind);
            let spec = json!(orders().build())["spec"].clone();
            world.edit("orders", |object| {
                object["spec"]["serviceAccounts"] = json!([{"name": "mails"}]);
                object["spec"]["roleAssignments"] = json!([]);
            });
            was_sent(world).await;
            world.edit("orders", |object| object["spec"] = spec);
            let again = names_when_ready(world).await;
            assert_eq!(again, before);
            sleep(LATE).await;
            assert_ne!(names(world), before, "the deletion was carried out");
            sleep(LATE).await;
            assert_eq!(names(world), before, "{kind:?}");
            world.ready("orders").await;
        })
        .await;
    }
}

/// The names of all credentials and role assignments when the binding is ready.
async fn names_when_ready(world: &World) -> Vec<String> {
    world.ready("orders").await;
    names(world)
}

fn names(world: &World) -> Vec<String> {
    let (identities, roles) = made(world);
    let credentials = identities.into_iter().flat_map(|(_, credentials)| credentials);
    let credentials = credentials.map(|credential| credential.name);
    credentials
        .chain(roles.iter().map(|role| role.name.to_string()))
        .collect()
}

/// An answer that refuses is an answer.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_azure_refused_at_first_is_over_as_soon_as_it_goes() {
    story(async |world| {
        create(world);
        world.ready("orders").await;
        sleep(LATER).await;
        let delete = Fault::on("DELETE").kind(ResourceKind::Identity).times(1);
        world.azure.inject(delete.respond(409, "Conflict"));
        world.delete("orders");
        let begun = Instant::now();
        world.gone("orders").await;
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    })
    .await;
}
