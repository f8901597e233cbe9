//! `kubectl wib reconcile`.

use std::io::Write;

use anyhow::bail;
use kube::runtime::wait::await_condition;
use serde_json::json;
use wio_api::{ConditionType, WorkloadIdentityBinding, keys};

use crate::arguments::ReconcileArguments;
use crate::ending::Ending;
use crate::output::plain;
use crate::session::Session;

pub(crate) async fn run(asked: &ReconcileArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let name = &asked.named.name;
    let binding = session.binding(name).await?;
    if binding.spec.suspend && binding.metadata.deletion_timestamp.is_none() {
        bail!(
            "it is suspended, so nothing would come of it: kubectl wib resume {name} -n {}",
            session.namespace
        );
    }
    let before = asked_at(&binding).map(str::to_owned);
    let at = jiff::Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { (keys::RECONCILE_AT_ANNOTATION): at } } });
    session.patch(name, &patch).await?;
    if !asked.wait {
        writeln!(out, "the operator was asked to look at {}/{name}", session.namespace)?;
        return Ok(Ending::Well);
    }
    let done = |binding: Option<&WorkloadIdentityBinding>| {
        // One that is gone was looked at for the last time.
        binding.is_none_or(|binding| is_heeded(binding, &at, before.as_deref()) && !is_at_work(binding))
    };
    let waiting = await_condition(session.bindings(), name, done);
    let found = if let Ok(found) = tokio::time::timeout(asked.timeout, waiting).await {
        found?
    } else {
        let found = session.binding(name).await?;
        if !is_heeded(&found, &at, before.as_deref()) {
            bail!(
                "the operator has not looked within {} s: see whether it runs and leads, and the binding's message",
                asked.timeout.as_secs()
            );
        }
        Some(found)
    };
    ended(found.as_ref(), session, name, out)
}

/// The look that is asked for.
fn asked_at(binding: &WorkloadIdentityBinding) -> Option<&str> {
    let annotations = binding.metadata.annotations.as_ref()?;
    annotations.get(keys::RECONCILE_AT_ANNOTATION).map(String::as_str)
}

/// Whether the look that we asked for was taken, or a later one that somebody else asked for.
fn is_heeded(binding: &WorkloadIdentityBinding, ours: &str, before: Option<&str>) -> bool {
    let status = binding.status.as_ref();
    let heeded = status.and_then(|status| status.last_handled_reconcile_at.as_deref());
    let later = asked_at(binding).filter(|asked| Some(*asked) != before);
    heeded.is_some() && (heeded == Some(ours) || heeded == later)
}

/// Whether the operator goes on by itself: it looked, and what it is to write waits for Azure, or for what others make.
fn is_at_work(binding: &WorkloadIdentityBinding) -> bool {
    let status = binding.status.as_ref();
    let reconciling = status.and_then(|status| status.condition(ConditionType::Reconciling));
    reconciling.is_some_and(|condition| condition.status == "True")
}

fn ended(
    found: Option<&WorkloadIdentityBinding>,
    session: &Session,
    name: &str,
    out: &mut impl Write,
) -> anyhow::Result<Ending> {
    let place = format!("{}/{name}", session.namespace);
    let Some(found) = found else {
        writeln!(out, "{place} is gone")?;
        return Ok(Ending::Well);
    };
    let ready = found
        .status
        .as_ref()
        .and_then(|status| status.condition(ConditionType::Ready));
    let Some(ready) = ready else {
        bail!("{place} has no condition Ready");
    };
    writeln!(
        out,
        "{place} Ready={}: {}: {}",
        ready.status,
        ready.reason,
        plain(&ready.message)
    )?;
    Ok(if ready.status == "True" {
        Ending::Well
    } else {
        Ending::NotSo
    })
}
