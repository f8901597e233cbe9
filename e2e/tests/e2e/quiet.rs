//! Where nothing changed, nothing is written.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::json;
use wio_azure_sim::ResourceKind;
use wio_e2e::audit::AuditEvent;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::USER;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(a_second_reconcile_writes_nothing).on_own_cluster()]
}

/// Whether the operator wrote this to a namespace.
fn written_in(namespace: &str, event: &AuditEvent) -> bool {
    event.user == USER && event.namespace == namespace && event.writes()
}

async fn a_second_reconcile_writes_nothing(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("quiet").await?);
    let audit = world.cluster.audit()?;
    let beginning = audit.mark()?;
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }, { "name": "mailer" }],
    });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    // The last write of a reconcile is the Event, which comes after the status.
    until("the event to be written", DEADLINE, async || {
        let events = audit.since(beginning)?;
        let told = events
            .iter()
            .any(|it| written_in(&namespace.name, it) && it.resource == "events");
        Ok(told.then_some(()))
    })
    .await?;

    let name = namespace.identity("shop").await?.name;
    let requests = async || simulator.requests_about(&name).await;
    let before = requests().await?.len();
    let mark = audit.mark()?;
    // One reconcile because of the service account, others because Azure is to be looked at.
    namespace.annotate("orders", &["note=by-hand"]).await?;
    let since = until("Azure to be looked at three times", DEADLINE, async || {
        let since = requests().await?.split_off(before);
        let looks = since
            .iter()
            .filter(|it| it.kind == ResourceKind::Identity && it.method == "GET");
        Ok((looks.count() >= 3).then_some(since))
    })
    .await?;

    let azure: Vec<_> = since.iter().filter(|request| request.writes).collect();
    ensure!(azure.is_empty(), "written to Azure: {azure:#?}");
    let events = audit.since(mark)?;
    let kubernetes: Vec<String> = events
        .iter()
        .filter(|event| written_in(&namespace.name, event))
        .map(ToString::to_string)
        .collect();
    ensure!(kubernetes.is_empty(), "written to Kubernetes: {kubernetes:#?}");
    // The log is one in which writes are seen: it holds the hand that annotated.
    ensure!(
        events.iter().any(|event| event.writes() && event.name == "orders"),
        "{events:?}"
    );
    Ok(())
}
