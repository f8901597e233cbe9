//! What a binding in Git becomes, and what is left when it leaves.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use wio_api::{ConditionType, Reason};
use wio_e2e::flux::Source;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::simulator::{PLATFORM_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use super::{
    ACCOUNT_WRITE, BINDING, BINDING_WRITE, FINALIZER_WRITE, STATUS_WRITE, Site, each_once, existing, managed, with,
};
use crate::harness::{Case, case};

const ACCOUNT_DELETION: &str = "delete serviceaccounts app";
/// The service account of a namespace that goes is gone before its binding, and cannot be put back.
const ACCOUNT_REFUSED: &str = "patch serviceaccounts app: 403";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_binding_in_git_is_written_once_and_all_of_it_goes_when_it_leaves),
        case!(a_kustomization_that_is_deleted_leaves_nothing_in_azure),
        case!(a_namespace_that_is_deleted_by_hand_is_made_anew),
        case!(a_namespace_that_is_deleted_while_flux_waits_for_it_leaves_nothing_and_is_made_anew),
        case!(a_binding_may_be_suspended_when_it_works_and_not_before),
        case!(a_tenants_service_account_in_flux_needs_only_the_role_admin),
        case!(an_artifact_of_a_registry_brings_a_binding_as_git_does),
    ]
}

async fn a_binding_in_git_is_written_once_and_all_of_it_goes_when_it_leaves(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-binding").await?;
    site.put_binding(&managed());
    let mark = site.mark()?;
    site.begin_well().await?;
    site.must_be_ready().await?;
    let mut writes = site.writes(mark)?.ours;
    // A second one, when Azure is slow.
    let statuses = writes.remove(STATUS_WRITE);
    ensure!(matches!(statuses, Some(1 | 2)), "{statuses:?} writes of the status");
    each_once(&writes, &[FINALIZER_WRITE, ACCOUNT_WRITE])?;
    let id = site.namespace.identity("app").await?.resource_id;

    // What the API server filled in is no difference to Flux.
    let mark = site.mark()?;
    for _ in 0..3 {
        site.kustomization.reconcile_well().await?;
    }
    let writes = site.writes(mark)?;
    ensure!(writes.ours.is_empty() && writes.flux.is_empty(), "{writes:#?}");

    // What a hand changes is.
    let patch = r#"--patch={"spec":{"suspend":true,"deletionPolicy":"RetainIdentity"}}"#;
    site.namespace
        .kubectl(&["patch", "wib/app", "--type=merge", patch])
        .await?;
    let mark = site.mark()?;
    site.kustomization.reconcile_well().await?;
    let spec = serde_json::to_value(site.namespace.binding("app").await?.spec)?;
    ensure!(
        spec.get("suspend").is_none_or(|it| it == false)
            && spec.get("deletionPolicy") != Some(&json!("RetainIdentity")),
        "{spec:#}"
    );
    // It takes the fields from the hand, and then writes its own.
    let writes: Vec<String> = site.writes(mark)?.flux.into_keys().collect();
    ensure!(writes == [BINDING_WRITE], "{writes:#?}");
    site.namespace.ready("app").await?;

    let mark = site.mark()?;
    site.repository.remove(BINDING)?;
    site.commit_well().await?;
    site.namespace.gone("app").await?;
    ensure!(world.simulator.identity(&id).await?.is_none(), "{id} still exists");
    let account = site.namespace.service_account("app").await?;
    ensure!(account.is_none(), "{account:?}");
    let writes = site.writes(mark)?;
    each_once(&writes.flux, &["delete workloadidentitybindings app"])?;
    ensure!(writes.ours.get("delete serviceaccounts app") == Some(&1), "{writes:#?}");
    ensure!(writes.ours.get(FINALIZER_WRITE) == Some(&1), "{writes:#?}");
    Ok(())
}

/// With what waits for the end and with what does not: the namespace and the binding are deleted at once.
async fn a_kustomization_that_is_deleted_leaves_nothing_in_azure(world: Arc<World>) -> Result<()> {
    let delete = async |name: &str, policy: &str| {
        let mut site = Site::new(&world, name).await?;
        site.put_binding(&managed());
        let revision = site.begin(json!({ "deletionPolicy": policy })).await?;
        site.kustomization.applied(&revision).await?;
        let id = site.namespace.identity("app").await?.resource_id;
        let mark = site.mark()?;
        site.kustomization.delete().await?;
        if policy == "WaitForTermination" {
            let left = world
                .cluster
                .kubectl
                .run(&["get", "namespace", name, "--ignore-not-found"])
                .await?;
            ensure!(left.is_empty(), "{left}");
        }
        let gone = ["wait", "--for=delete", &format!("namespace/{name}"), "--timeout=120s"];
        world.cluster.kubectl.run(&gone).await?;
        ensure!(world.simulator.identity(&id).await?.is_none(), "{id} still exists");
        // The namespace takes the service account with it, or the operator is the first.
        site.writes(mark)?.must_be(
            &[
                (FINALIZER_WRITE, 1..=1),
                (STATUS_WRITE, 0..=2),
                (ACCOUNT_DELETION, 0..=1),
                (ACCOUNT_REFUSED, 0..=2),
            ],
            &[
                &format!("delete namespaces {name}"),
                "delete workloadidentitybindings app",
            ],
        )?;
        Ok::<(), anyhow::Error>(())
    };
    let (mirrored, waited) = tokio::join!(
        delete("flux-deleted", "MirrorPrune"),
        delete("flux-awaited", "WaitForTermination"),
    );
    mirrored.and(waited)
}

async fn a_namespace_that_is_deleted_by_hand_is_made_anew(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-anew").await?;
    site.put_binding(&managed());
    site.begin_well().await?;
    let first = site.namespace.identity("app").await?;
    let mark = site.mark()?;
    let delete = ["delete", "namespace/flux-anew", "--timeout=120s"];
    world.cluster.kubectl.run(&delete).await?;
    site.kustomization.reconcile_well().await?;
    site.must_be_ready().await?;
    // The finalizer goes off the one, and on the other.
    site.writes(mark)?.must_be(
        &[
            (FINALIZER_WRITE, 2..=2),
            (STATUS_WRITE, 1..=4),
            (ACCOUNT_WRITE, 1..=1),
            (ACCOUNT_DELETION, 0..=1),
            (ACCOUNT_REFUSED, 0..=2),
        ],
        &["patch namespaces flux-anew", BINDING_WRITE],
    )?;
    let second = site.namespace.identity("app").await?;
    ensure!(first.client_id != second.client_id, "{first:?} {second:?}");
    let identities = world.simulator.snapshot().await?.identities;
    let left = identities
        .iter()
        .filter(|identity| identity.client_id.to_string() == first.client_id);
    ensure!(left.count() == 0, "the first identity is left");
    Ok(())
}

/// Flux waits because of a second binding, whose identity others have not made yet.
async fn a_namespace_that_is_deleted_while_flux_waits_for_it_leaves_nothing_and_is_made_anew(
    world: Arc<World>,
) -> Result<()> {
    let name = "flux-meanwhile";
    let mut site = Site::new(&world, name).await?;
    site.put_binding(&managed());
    let theirs = identity_id(PLATFORM_GROUP, name);
    let late = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "late", "namespace": name },
        "spec": with(existing(&theirs), "serviceAccounts", json!([{ "name": "late" }])),
    });
    site.repository.put("late.yaml", &late);
    // Flux takes no less.
    let revision = site.begin(json!({ "timeout": "30s" })).await?;
    let seen = until("both bindings to be seen", DEADLINE, async || {
        let late = site.namespace.find_binding("late").await?;
        Ok(late.and(site.namespace.find_binding("app").await?))
    });
    seen.await?;
    site.namespace.ready("app").await?;
    let first = site.namespace.identity("app").await?;
    let mark = site.mark()?;
    let delete = ["delete", "namespace/flux-meanwhile", "--timeout=120s"];
    world.cluster.kubectl.run(&delete).await?;
    let left = world.simulator.identity(&first.resource_id).await?;
    ensure!(left.is_none(), "{left:?} is left");

    world.simulator.put_identity(&theirs).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "HealthCheckFailed", "{reason}: {message}");
    site.kustomization.reconcile_well().await?;
    site.must_be_ready().await?;
    site.namespace.ready("late").await?;
    site.writes(mark)?.must_be(
        &[
            (FINALIZER_WRITE, 2..=2),
            (STATUS_WRITE, 1..=4),
            (ACCOUNT_WRITE, 1..=1),
            (ACCOUNT_DELETION, 0..=1),
            (ACCOUNT_REFUSED, 0..=2),
            ("patch workloadidentitybindings late", 1..=2),
            ("patch workloadidentitybindings/status late", 1..=4),
            ("patch serviceaccounts late", 1..=1),
            ("patch serviceaccounts late: 403", 0..=2),
        ],
        &[
            "patch namespaces flux-meanwhile",
            BINDING_WRITE,
            "patch workloadidentitybindings late",
        ],
    )?;
    let second = site.namespace.identity("app").await?;
    ensure!(first.client_id != second.client_id, "{first:?} {second:?}");
    Ok(())
}

async fn a_binding_may_be_suspended_when_it_works_and_not_before(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-suspended").await?;
    let suspended = with(managed(), "suspend", json!(true));
    site.put_binding(&suspended);
    let mut mark = site.mark()?;
    let revision = site.begin(json!({})).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "HealthCheckFailed", "{reason}: {message}");
    ensure!(
        message.contains("WorkloadIdentityBinding/flux-suspended/app status: 'Failed'"),
        "{message}"
    );
    let stalled = (ConditionType::Stalled, "True", Reason::Suspended);
    site.namespace.condition("app", stalled.0, stalled.1, stalled.2).await?;
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 0..=1), (STATUS_WRITE, 1..=2)],
        &["patch namespaces flux-suspended", BINDING_WRITE],
    )?;

    mark = site.mark()?;
    site.put_binding(&managed());
    site.commit_well().await?;
    site.must_be_ready().await?;
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 0..=1), (STATUS_WRITE, 1..=3), (ACCOUNT_WRITE, 1..=1)],
        &[BINDING_WRITE],
    )?;

    mark = site.mark()?;
    site.put_binding(&suspended);
    site.commit_well().await?;
    site.must_be_ready().await?;
    site.writes(mark)?.must_be(&[(STATUS_WRITE, 1..=2)], &[BINDING_WRITE])
}

/// Flux acts as that account: it may write bindings, and not say what they may have.
async fn a_tenants_service_account_in_flux_needs_only_the_role_admin(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-tenant").await?;
    let of_tenant = world.namespace("flux-tenant").await?;
    of_tenant.kubectl(&["create", "serviceaccount", "reconciler"]).await?;
    let grant = [
        "create",
        "rolebinding",
        "reconciler",
        "--clusterrole=admin",
        "--serviceaccount=flux-tenant:reconciler",
    ];
    of_tenant.kubectl(&grant).await?;
    // The role is put together by a controller, and known to the API server a moment later.
    let may = [
        "auth",
        "can-i",
        "patch",
        "wib",
        "--as=system:serviceaccount:flux-tenant:reconciler",
    ];
    until("the role to be known", DEADLINE, async || {
        of_tenant.kubectl(&may).await.map(Some)
    })
    .await?;
    site.repository.remove(super::NAMESPACE)?;
    site.put_binding(&managed());
    site.kustomization = site.flux.existing_in("flux-tenant", "flux-tenant");
    let mark = site.mark()?;
    let revision = site
        .begin(json!({ "serviceAccountName": "reconciler", "targetNamespace": "flux-tenant" }))
        .await?;
    site.kustomization.applied(&revision).await?;
    site.must_be_ready().await?;

    let policy = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": "flux-tenant" },
        "spec": { "namespaces": { "names": ["flux-tenant"] }, "existingIdentities": [] },
    });
    site.repository.put("policy.yaml", &policy);
    let revision = site.repository.commit().await?;
    let (_, message) = site.kustomization.failed(&revision).await?;
    ensure!(
        message.contains("WorkloadIdentityPolicy/flux-tenant") && message.contains("forbidden"),
        "{message}"
    );
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 1..=1), (STATUS_WRITE, 1..=2), (ACCOUNT_WRITE, 1..=1)],
        &[BINDING_WRITE],
    )
}

/// Flux's source-controller would pull it; what the other controller gets from it is the same for both.
async fn an_artifact_of_a_registry_brings_a_binding_as_git_does(world: Arc<World>) -> Result<()> {
    let mut site = Site::from(Source::Oci, &world, "flux-oci").await?;
    site.put_binding(&managed());
    site.begin_well().await?;
    site.must_be_ready().await?;
    let id = site.namespace.identity("app").await?.resource_id;

    site.repository.remove(BINDING)?;
    site.commit_well().await?;
    site.namespace.gone("app").await?;
    ensure!(world.simulator.identity(&id).await?.is_none(), "{id} still exists");
    Ok(())
}
