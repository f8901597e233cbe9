//! `kubectl wib suspend` and `resume`.

use std::io::Write;

use kube::ResourceExt;
use serde_json::json;
use wio_api::WorkloadIdentityBinding;

use crate::arguments::Named;
use crate::ending::Ending;
use crate::session::Session;

pub(crate) async fn suspend(asked: &Named, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    set(asked, true, session, out).await
}

pub(crate) async fn resume(asked: &Named, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    set(asked, false, session, out).await
}

async fn set(asked: &Named, suspend: bool, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let name = &asked.name;
    let before = session.binding(name).await?;
    let place = format!("{}/{name}", session.namespace);
    let state = if suspend { "suspended" } else { "resumed" };
    if before.spec.suspend == suspend {
        writeln!(out, "{place} was {state} already")?;
        return Ok(Ending::Well);
    }
    let patch = json!({ "spec": { "suspend": suspend.then_some(true) } });
    let after = session.patch(name, &patch).await?;
    writeln!(out, "{place} {state}")?;
    if let Some(manager) = gitops(&after) {
        writeln!(
            out,
            "note: {manager} manages it and may set this back: change spec.suspend where it takes the binding from"
        )?;
    }
    Ok(Ending::Well)
}

/// The tool that applies a binding from a repository, as the field managers tell it.
fn gitops(binding: &WorkloadIdentityBinding) -> Option<&str> {
    const TOOLS: [&str; 5] = [
        "kustomize-controller",
        "helm-controller",
        "argocd-controller",
        "argocd-application-controller",
        "helm",
    ];
    let mut managers = binding
        .managed_fields()
        .iter()
        .filter_map(|entry| entry.manager.as_deref());
    managers.find(|manager| TOOLS.contains(manager))
}
