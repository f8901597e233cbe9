//! What Flux says of a binding that cannot be, and what becomes of it.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use wio_api::{ConditionType, Reason};
use wio_azure_sim::{Fault, ResourceKind};
use wio_e2e::namespace::DEADLINE;
use wio_e2e::simulator::{OTHER_GROUP, PLATFORM_GROUP, RESOURCE_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use super::{ACCOUNT_WRITE, BINDING_WRITE, FINALIZER_WRITE, STATUS_WRITE, Site, existing, managed, with};
use crate::harness::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(what_admission_refuses_is_told_in_full_and_nothing_else_is_applied),
        case!(a_fault_that_needs_a_person_fails_the_kustomization_at_once),
        case!(an_identity_that_others_are_still_making_is_waited_for),
        case!(a_fault_that_is_tried_again_fails_the_kustomization_at_its_timeout),
        case!(a_field_that_cannot_change_is_refused_and_the_binding_works_on),
        case!(force_deletes_a_binding_at_an_invalid_edit_and_leaves_an_identity_that_is_retained),
    ]
}

async fn what_admission_refuses_is_told_in_full_and_nothing_else_is_applied(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-refused").await?;
    site.put_binding(&existing(&identity_id(OTHER_GROUP, "theirs")));
    site.put_account(&json!({}));
    let mark = site.mark()?;
    let revision = site.begin(json!({})).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "ReconciliationFailed", "{reason}: {message}");
    for part in [
        "WorkloadIdentityBinding/flux-refused/app dry-run failed (Forbidden)",
        "spec.identity.existing.resourceId is not permitted",
    ] {
        ensure!(message.contains(part), "{part} is not in {message}");
    }
    let writes = site.writes(mark)?;
    ensure!(writes.ours.is_empty(), "{writes:#?}");
    super::each_once(&writes.flux, &["patch namespaces flux-refused"])
}

async fn a_fault_that_needs_a_person_fails_the_kustomization_at_once(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-terminal").await?;
    // An identity of this name is somebody else's.
    let id = identity_id(RESOURCE_GROUP, "flux-terminal_theirs");
    world.simulator.put_identity(&id).await?;
    let identity = json!({ "managed": { "name": "flux-terminal_theirs" } });
    site.put_binding(&with(managed(), "identity", identity));
    let mut mark = site.mark()?;
    let revision = site.begin(json!({})).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "HealthCheckFailed", "{reason}: {message}");
    // All that Flux says; the reason stands in the binding.
    let told = "failed early due to stalled resources: [WorkloadIdentityBinding/flux-terminal/app status: 'Failed']";
    ensure!(message.contains(told), "{message}");
    let says = site.says().await?;
    ensure!(
        says.1 == Reason::IdentityNotOwned.as_str() && says.2.contains("flux-terminal_theirs"),
        "{says:?}"
    );
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 0..=1), (STATUS_WRITE, 1..=2)],
        &["patch namespaces flux-terminal", BINDING_WRITE],
    )?;

    mark = site.mark()?;
    world.simulator.delete_identity(&id).await?;
    site.namespace.ready("app").await?;
    // As at the next retryInterval.
    site.kustomization.reconcile_well().await?;
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 0..=1), (STATUS_WRITE, 1..=3), (ACCOUNT_WRITE, 1..=1)],
        &[],
    )
}

async fn an_identity_that_others_are_still_making_is_waited_for(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-awaiting").await?;
    let id = identity_id(PLATFORM_GROUP, "flux-awaiting");
    site.put_binding(&existing(&id));
    let revision = site.begin(json!({})).await?;
    let waits = (ConditionType::Ready, "Unknown", Reason::IdentityNotFound);
    let seen = until("the binding to be seen", DEADLINE, async || {
        site.namespace.find_binding("app").await
    });
    seen.await?;
    site.namespace.condition("app", waits.0, waits.1, waits.2).await?;
    world.simulator.put_identity(&id).await?;
    site.kustomization.applied(&revision).await?;
    site.must_be_ready().await
}

async fn a_fault_that_is_tried_again_fails_the_kustomization_at_its_timeout(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-retried").await?;
    site.put_binding(&managed());
    let busy = Fault::on("PUT")
        .kind(ResourceKind::Credential)
        .path("/wib-flux-retried-app-");
    let mut busy = busy.respond(
        409,
        "ConcurrentFederatedIdentityCredentialsWritesForSingleManagedIdentity",
    );
    busy.times = None;
    world.simulator.inject(&busy).await?;
    // Flux takes no less.
    let revision = site.begin(json!({ "timeout": "30s" })).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "HealthCheckFailed", "{reason}: {message}");
    let told = "timeout waiting for: [WorkloadIdentityBinding/flux-retried/app status: 'InProgress']";
    ensure!(message.contains(told), "{message}");
    let again = (ConditionType::Ready, "Unknown", Reason::ConcurrentWrites);
    site.namespace.condition("app", again.0, again.1, again.2).await?;
    site.kustomization.delete().await
}

async fn a_field_that_cannot_change_is_refused_and_the_binding_works_on(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-immutable").await?;
    site.put_binding(&managed());
    site.begin_well().await?;
    let moved = json!({ "managed": { "location": "westeurope" } });
    site.put_binding(&with(managed(), "identity", moved));
    let mark = site.mark()?;
    let revision = site.repository.commit().await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "ReconciliationFailed", "{reason}: {message}");
    for part in [
        "dry-run failed (Invalid)",
        "location cannot be changed, set or removed",
        "delete the binding and create it anew",
    ] {
        ensure!(message.contains(part), "{part} is not in {message}");
    }
    let writes = site.writes(mark)?;
    ensure!(writes.ours.is_empty() && writes.flux.is_empty(), "{writes:#?}");
    site.must_be_ready().await
}

/// Flux takes every invalid edit for one of a field that cannot change. There is no word for a single object against it.
async fn force_deletes_a_binding_at_an_invalid_edit_and_leaves_an_identity_that_is_retained(
    world: Arc<World>,
) -> Result<()> {
    let try_it = async |name: &str, policy: &str| {
        let mut site = Site::new(&world, name).await?;
        let spec = with(managed(), "deletionPolicy", json!(policy));
        site.put_binding(&spec);
        let revision = site.begin(json!({ "force": true })).await?;
        site.kustomization.applied(&revision).await?;
        let id = site.namespace.identity("app").await?.resource_id;
        let accounts = json!([{ "name": "app", "tokenExpirationSeconds": 10 }]);
        site.put_binding(&with(spec, "serviceAccounts", accounts));
        let mark = site.mark()?;
        let revision = site.repository.commit().await?;
        site.kustomization.failed(&revision).await?;
        site.namespace.gone("app").await?;
        site.writes(mark)?.must_be(
            &[
                (FINALIZER_WRITE, 1..=1),
                (STATUS_WRITE, 0..=2),
                ("delete serviceaccounts app", 1..=1),
            ],
            &["delete workloadidentitybindings app"],
        )?;
        Ok::<bool, anyhow::Error>(world.simulator.identity(&id).await?.is_some())
    };
    let (lost, kept) = tokio::join!(
        try_it("flux-forced", "Delete"),
        try_it("flux-retained", "RetainIdentity")
    );
    ensure!(
        !lost? && kept?,
        "the identity that is retained should be left, and the other one not"
    );
    Ok(())
}
