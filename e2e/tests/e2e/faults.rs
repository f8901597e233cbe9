//! Azure as it is on a bad day.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::{ConditionType, Reason};
use wio_azure_sim::{Fault, LoggedRequest, ResourceKind};
use wio_e2e::namespace::Namespace;
use wio_e2e::simulator::{RESTRICTED_GROUP, identity_id};
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(a_throttled_request_waits_as_long_as_azure_asks),
        case!(another_writers_credential_is_waited_for),
        case!(a_write_whose_answer_was_an_error_but_that_was_done_is_not_done_twice),
        case!(a_request_that_hangs_is_given_up_and_asked_again),
        case!(a_lost_permission_is_reported_and_heals_without_a_restart),
    ]
}

async fn bind(namespace: &Namespace<'_>) -> Result<()> {
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await
}

/// A fault for a method on a kind of resource of the one binding of a namespace.
fn fault(namespace: &Namespace<'_>, method: &str, kind: ResourceKind) -> Fault {
    Fault::on(method).kind(kind).path(&identity_name(namespace))
}

/// How the name of its identity begins.
fn identity_name(namespace: &Namespace<'_>) -> String {
    format!("/wib-{}-shop-", namespace.name)
}

/// The writes to Azure for the one binding of a namespace.
async fn writes(world: &World, namespace: &Namespace<'_>) -> Result<Vec<LoggedRequest>> {
    let mut requests = world.simulator.requests_about(&identity_name(namespace)).await?;
    requests.retain(|request| request.writes);
    Ok(requests)
}

async fn a_throttled_request_waits_as_long_as_azure_asks(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("throttled").await?;
    let throttle = fault(&namespace, "PUT", ResourceKind::Identity).respond(429, "TooManyRequests");
    world.simulator.inject(&throttle.header("Retry-After", "16")).await?;
    bind(&namespace).await?;
    let message = namespace
        .condition("shop", ConditionType::Ready, "False", Reason::Throttled)
        .await?;
    ensure!(message.contains("429"), "{message}");
    namespace
        .condition("shop", ConditionType::Reconciling, "True", Reason::ProgressingWithRetry)
        .await?;
    namespace.ready("shop").await?;

    let requests = writes(&world, &namespace).await?;
    let [refused, again, ..] = requests.as_slice() else {
        anyhow::bail!("{requests:#?}")
    };
    ensure!(refused.status == Some(429), "{refused:?}");
    let waited = again.at.duration_since(refused.at);
    ensure!(
        waited.unsigned_abs() >= Duration::from_secs(16),
        "it waited only {waited:?}"
    );
    Ok(())
}

async fn another_writers_credential_is_waited_for(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("concurrent").await?;
    let concurrent = "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity";
    let busy = fault(&namespace, "PUT", ResourceKind::Credential).respond(409, concurrent);
    world.simulator.inject(&busy.times(2)).await?;
    bind(&namespace).await?;
    // It is a wait and no fault.
    namespace
        .condition("shop", ConditionType::Ready, "Unknown", Reason::ConcurrentWrites)
        .await?;
    namespace.ready("shop").await?;
    let statuses: Vec<Option<u16>> = writes(&world, &namespace)
        .await?
        .iter()
        .map(|write| write.status)
        .collect();
    ensure!(statuses == [Some(201), Some(409), Some(409), Some(201)], "{statuses:?}");
    Ok(())
}

async fn a_write_whose_answer_was_an_error_but_that_was_done_is_not_done_twice(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("lost-answer").await?;
    for kind in [ResourceKind::Identity, ResourceKind::Credential] {
        let lost = fault(&namespace, "PUT", kind)
            .execute()
            .respond(500, "InternalServerError");
        world.simulator.inject(&lost).await?;
    }
    bind(&namespace).await?;
    namespace.ready("shop").await?;
    let id = namespace.identity("shop").await?.resource_id;
    let identity = world.simulator.identity(&id).await?.context("it is missing")?;
    ensure!(identity.credentials.len() == 1, "{identity:#?}");
    // What was done is found by a look, and not written again.
    let statuses: Vec<Option<u16>> = writes(&world, &namespace)
        .await?
        .iter()
        .map(|write| write.status)
        .collect();
    ensure!(statuses == [Some(500), Some(500)], "{statuses:?}");
    Ok(())
}

async fn a_request_that_hangs_is_given_up_and_asked_again(world: Arc<World>) -> Result<()> {
    let (read, written) = (
        world.namespace("hanging").await?,
        world.namespace("hanging-write").await?,
    );
    bind(&read).await?;
    read.ready("shop").await?;
    world
        .simulator
        .inject(&fault(&read, "GET", ResourceKind::Identity).hang())
        .await?;
    // It is carried out, and nobody is told.
    let lost = fault(&written, "PUT", ResourceKind::Identity).execute().hang();
    world.simulator.inject(&lost).await?;
    bind(&written).await?;

    // What works stays ready while Azure cannot be looked at.
    read.ready("shop").await?;
    written.ready("shop").await?;
    let statuses: Vec<Option<u16>> = writes(&world, &written)
        .await?
        .iter()
        .map(|write| write.status)
        .collect();
    // No answer, and the credential. The identity is found and not written again.
    ensure!(statuses == [None, Some(201)], "{statuses:?}");
    Ok(())
}

async fn a_lost_permission_is_reported_and_heals_without_a_restart(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("permission").await?);
    let principal = world.operator.lock().await.principal().clone();
    let id = identity_id(RESTRICTED_GROUP, "ledger");
    simulator.put_identity(&id).await?;
    let assignment = simulator.permit_operator(RESTRICTED_GROUP, &principal).await?;
    let spec = json!({
        "identity": { "existing": { "resourceId": id } },
        "serviceAccounts": [{ "name": "ledger" }],
    });
    namespace.bind("ledger", &spec).await?;
    namespace.ready("ledger").await?;

    simulator.delete_assignment(&assignment).await?;
    let message = namespace
        .condition("ledger", ConditionType::Ready, "False", Reason::AuthorizationFailed)
        .await?;
    ensure!(
        message.contains("AuthorizationFailed") && message.contains("ledger"),
        "{message}"
    );
    namespace
        .condition("ledger", ConditionType::Stalled, "True", Reason::AuthorizationFailed)
        .await?;

    simulator.permit_operator(RESTRICTED_GROUP, &principal).await?;
    namespace.ready("ledger").await
}
