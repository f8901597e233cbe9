//! Service accounts that stand in Git beside the binding: who writes what, and how often.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::keys::{BINDING_ANNOTATION, CLIENT_ID_ANNOTATION};
use wio_api::{ConditionType, Reason};
use wio_e2e::namespace::DEADLINE;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use super::{
    ACCOUNT_WRITE, BINDING, BINDING_WRITE, FINALIZER_WRITE, STATUS_WRITE, Site, each_once, managed, of_their_account,
};
use crate::harness::{Case, case};

const ANOTHER: &str = "11111111-2222-4333-8444-555555555555";

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_service_account_that_is_silent_on_our_keys_costs_no_write),
        case!(another_client_id_in_git_is_told_and_nobody_fights_over_it),
        case!(force_against_git_is_told_and_ends_when_flux_ignores_our_keys),
        case!(a_service_account_may_leave_git_and_come_back),
    ]
}

async fn a_service_account_that_is_silent_on_our_keys_costs_no_write(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-silent").await?;
    site.put_account(&json!({ "team": "one" }));
    site.put_binding(&of_their_account("Report"));
    site.begin_well().await?;
    site.must_be_ready().await?;
    let client_id = site.namespace.annotation("app", CLIENT_ID_ANNOTATION).await?;
    ensure!(client_id.is_some(), "there is no client id");

    let mark = site.mark()?;
    for _ in 0..3 {
        site.kustomization.reconcile_well().await?;
    }
    let writes = site.writes(mark)?;
    ensure!(writes.ours.is_empty() && writes.flux.is_empty(), "{writes:#?}");

    site.put_account(&json!({ "team": "two" }));
    site.commit_well().await?;
    let writes = site.writes(mark)?;
    ensure!(writes.ours.is_empty(), "{writes:#?}");
    each_once(&writes.flux, &[ACCOUNT_WRITE])?;
    let now = site.namespace.annotation("app", CLIENT_ID_ANNOTATION).await?;
    ensure!(now == client_id, "{now:?} instead of {client_id:?}");
    Ok(())
}

async fn another_client_id_in_git_is_told_and_nobody_fights_over_it(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-conflict").await?;
    site.put_account(&json!({ CLIENT_ID_ANNOTATION: ANOTHER }));
    site.put_binding(&of_their_account("Report"));
    let revision = site.begin(json!({})).await?;
    conflicts(&site, &revision).await?;

    // Without it in Git all is well, with one write of ours.
    let mark = site.mark()?;
    site.put_account(&json!({}));
    let revision = site.repository.commit().await?;
    // Flux may look while the operator still has to see that the key is free.
    site.kustomization.tried(&revision).await?;
    site.namespace.ready("app").await?;
    site.kustomization.reconcile_well().await?;
    ensure!(
        site.writes(mark)?.ours.get(ACCOUNT_WRITE) == Some(&1),
        "{:#?}",
        site.writes(mark)?
    );

    // It comes later: Flux takes it from us, and we leave it there.
    let mark = site.mark()?;
    site.put_account(&json!({ CLIENT_ID_ANNOTATION: ANOTHER }));
    let revision = site.repository.commit().await?;
    site.kustomization.tried(&revision).await?;
    conflicts(&site, &revision).await?;
    let before = site.writes(mark)?;
    for _ in 0..2 {
        site.kustomization.reconcile().await?;
    }
    let after = site.writes(mark)?;
    let client_id = site.namespace.annotation("app", CLIENT_ID_ANNOTATION).await?;
    ensure!(client_id.as_deref() == Some(ANOTHER), "{client_id:?}");
    ensure!(
        after.flux.get(ACCOUNT_WRITE) == Some(&1),
        "{before:#?}, then {after:#?}"
    );
    ensure!(!after.ours.contains_key(ACCOUNT_WRITE), "{after:#?}");
    Ok(())
}

/// Waits until the binding names who wrote another value and where; then Flux must say that something is wrong.
async fn conflicts(site: &Site<'_>, revision: &str) -> Result<()> {
    site.kustomization.tried(revision).await?;
    let stalled = (ConditionType::Stalled, "True", Reason::ServiceAccountConflict);
    let message = site.namespace.condition("app", stalled.0, stalled.1, stalled.2).await?;
    for part in ["kustomize-controller", CLIENT_ID_ANNOTATION] {
        ensure!(message.contains(part), "{part} is not in {message}");
    }
    let outcome = site.kustomization.reconcile().await?;
    ensure!(
        !outcome.ready && outcome.message.contains("status: 'Failed'"),
        "{outcome}"
    );
    Ok(())
}

/// With `conflictPolicy: Force` each takes it from the other, whenever Flux comes round.
async fn force_against_git_is_told_and_ends_when_flux_ignores_our_keys(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-forcing").await?;
    site.put_account(&json!({ CLIENT_ID_ANNOTATION: ANOTHER }));
    site.put_binding(&of_their_account("Force"));
    site.begin_well().await?;
    let ours = site.namespace.identity("app").await?.client_id;
    let is_ours = async || {
        until("the client id to be ours", DEADLINE, async || {
            let now = site.namespace.annotation("app", CLIENT_ID_ANNOTATION).await?;
            Ok((now.as_ref() == Some(&ours)).then_some(()))
        })
        .await
    };
    for _ in 0..4 {
        is_ours().await?;
        site.kustomization.reconcile().await?;
    }
    let told = "\"kustomize-controller\" changes service account app back again and again";
    let note = site.namespace.event("app", Reason::ServiceAccountConflict).await?;
    ensure!(note.contains(told), "{note}");
    is_ours().await?;
    until("the binding to tell of it", DEADLINE, async || {
        let says = site.says().await?;
        ensure!(says.0 == "True" && says.2.contains(told), "{says:?}");
        Ok(Some(()))
    })
    .await?;

    let ignore = json!([{
        "paths": ["/metadata/annotations/azure.workload.identity~1client-id"],
        "target": { "kind": "ServiceAccount", "name": "app" },
    }]);
    site.flux
        .kustomization(&site.repository, "flux-forcing", json!({ "ignore": ignore }))
        .await?;
    site.kustomization.reconcile_well().await?;
    is_ours().await?;
    let mark = site.mark()?;
    for _ in 0..3 {
        site.kustomization.reconcile_well().await?;
    }
    let writes = site.writes(mark)?;
    let writes = [writes.flux.get(ACCOUNT_WRITE), writes.ours.get(ACCOUNT_WRITE)];
    ensure!(writes == [None, None], "{writes:?}");
    is_ours().await
}

async fn a_service_account_may_leave_git_and_come_back(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-returning").await?;
    let uid = async |site: &Site<'_>| {
        let account = site.namespace.service_account("app").await?;
        Ok::<_, anyhow::Error>(account.and_then(|account| account.metadata.uid))
    };
    let mut mark = site.mark()?;
    site.put_account(&json!({}));
    site.put_binding(&managed());
    site.begin_well().await?;
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 1..=1), (STATUS_WRITE, 1..=2), (ACCOUNT_WRITE, 1..=1)],
        &["patch namespaces flux-returning", ACCOUNT_WRITE, BINDING_WRITE],
    )?;
    let first = uid(&site).await?.context("there is no service account")?;

    // Flux deletes it, and the operator makes it anew for the binding: another one, so the tokens of running pods end.
    mark = site.mark()?;
    site.repository.remove("account.yaml")?;
    let revision = site.repository.commit().await?;
    site.kustomization.tried(&revision).await?;
    let second = until("the service account to be made anew", DEADLINE, async || {
        Ok(uid(&site).await?.filter(|uid| *uid != first))
    })
    .await?;
    site.namespace.ready("app").await?;
    site.writes(mark)?.must_be(
        &[(STATUS_WRITE, 0..=2), (ACCOUNT_WRITE, 1..=1)],
        &["delete serviceaccounts app"],
    )?;

    // It comes back, and then the binding leaves: an account that others wrote to is theirs.
    mark = site.mark()?;
    site.put_account(&json!({}));
    site.commit_well().await?;
    site.repository.remove(BINDING)?;
    site.commit_well().await?;
    site.namespace.gone("app").await?;
    site.writes(mark)?.must_be(
        &[(FINALIZER_WRITE, 1..=1), (STATUS_WRITE, 0..=2), (ACCOUNT_WRITE, 1..=1)],
        &[ACCOUNT_WRITE, "delete workloadidentitybindings app"],
    )?;
    ensure!(
        uid(&site).await? == Some(second),
        "it is another service account, or none"
    );
    for key in [CLIENT_ID_ANNOTATION, BINDING_ANNOTATION] {
        let left = site.namespace.annotation("app", key).await?;
        ensure!(left.is_none(), "{key} is left: {left:?}");
    }
    Ok(())
}
