//! Who wrote what, and that nobody writes again.
#![allow(
    clippy::indexing_slicing,
    reason = "of JSON by keys only, where what is missing is null"
)]

use anyhow::{Result, ensure};
use wio_e2e::argocd;
use wio_e2e::audit::{AuditEvent, AuditLog, Mark};
use wio_e2e::namespace::Namespace;
use wio_e2e::operator;
use wio_e2e::world::World;

use super::argo_cd;

/// Requests that changed something in a namespace, or tried to.
pub(super) fn writes(audit: &AuditLog, mark: Mark, user: &str, namespace: &str) -> Result<Vec<AuditEvent>> {
    let mut events = audit.since(mark)?;
    events.retain(|event| {
        event.user == user
            && event.namespace == namespace
            && event.writes()
            && event.resource != "events"
            && !event.uri.contains("dryRun")
    });
    Ok(events)
}

/// Lets both sides look again, twice, and fails when one of them writes in the namespace.
pub(super) async fn nobody_writes_again(world: &World, namespace: &Namespace<'_>) -> Result<()> {
    let argo = argo_cd(world).await?;
    let audit = world.cluster.audit()?;
    let look = || uuid::Uuid::new_v4().to_string();
    namespace.looked_at("orders", &look()).await?;
    argo.refresh(&namespace.name).await?;
    let mark = audit.mark()?;
    argo.refresh(&namespace.name).await?;
    namespace.looked_at("orders", &look()).await?;
    argo.refresh(&namespace.name).await?;
    for user in [argocd::USER, operator::USER] {
        let mut written = writes(audit, mark, user, &namespace.name)?;
        // What was asked for by hand is told in the status.
        written.retain(|event| event.subresource != "status");
        ensure!(written.is_empty(), "{written:#?}");
    }
    let application = argo.application(&namespace.name).await?;
    ensure!(
        application["status"]["sync"]["status"] == "Synced",
        "{:#}",
        application["status"]
    );
    Ok(())
}

/// What was refused of the writes of Argo CD, also of those that it only tried.
pub(super) fn refusals(world: &World, namespace: &str) -> Result<Vec<String>> {
    let events = world.cluster.audit()?.all()?;
    let refused = events.iter().filter(|event| {
        event.user == argocd::USER && event.namespace == namespace && event.writes() && event.code >= 400
    });
    Ok(refused.map(ToString::to_string).collect())
}
