//! `kubectl wib bootstrap`.

use std::io::Write;

use anyhow::Context;
use futures::future;
use wio_azure::Azure;
use wio_core::names::Issuer;

use crate::arguments::BootstrapArguments;
use crate::bootstrap::{Aks, Found, Plan, bicep, in_azure, in_cluster, shell_script, terraform, trees};
use crate::doctor::{examine, gather, is_on_azure, region};
use crate::ending::Ending;
use crate::session::Session;

pub(crate) async fn run(asked: &BootstrapArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let plan = plan(asked, session).await?;
    if asked.check {
        let azure = asked.login.open().map_err(|error| format!("{error:#}"));
        return check(&plan, azure.as_ref().map_err(Clone::clone), session, out).await;
    }
    let text = if asked.terraform {
        terraform(&plan)
    } else if asked.bicep {
        bicep(&plan)
    } else {
        shell_script(&plan)
    };
    write!(out, "{text}")?;
    Ok(Ending::Well)
}

/// Says what of it is done.
pub(crate) async fn check(
    plan: &Plan,
    azure: Result<&Azure, String>,
    session: &Session,
    out: &mut impl Write,
) -> anyhow::Result<Ending> {
    let (azure, examined) = future::join(in_azure(plan, azure), Box::pin(gather(session, None))).await;
    let cluster = in_cluster(plan, &examined, &examine(&examined));
    for tree in trees(&azure, &cluster) {
        tree.write(out)?;
    }
    let found = || azure.iter().chain(&cluster).map(|step| &step.found);
    Ok(if found().any(|found| matches!(found, Found::Missing(_))) {
        Ending::NotSo
    } else if found().any(|found| matches!(found, Found::Unknown(_))) {
        Ending::Failed
    } else {
        Ending::Well
    })
}

async fn plan(asked: &BootstrapArguments, session: &Session) -> anyhow::Result<Plan> {
    let issuer = session.discovery().await?.issuer;
    let unreachable = match issuer.parse::<Issuer>() {
        Ok(issuer) => issuer.unreachable(),
        Err(_) => Some("it is none that Entra takes"),
    };
    let location = match &asked.location {
        Some(location) => location.clone(),
        None => region(session)
            .await
            .ok()
            .flatten()
            .context("no node says in which region it is: give it with --location")?,
    };
    let aks = match &asked.cluster_id {
        Some(id) => Aks::Is(id.clone()),
        None if is_on_azure(session).await == Ok(false) => Aks::Not,
        None => Aks::Unsaid,
    };
    Ok(Plan {
        subscription: asked.subscription.map(|id| id.to_string()),
        location,
        group: asked.resource_group.to_string(),
        operator_group: asked.operator_resource_group.to_string(),
        cluster: asked.cluster_name.to_string(),
        aks,
        issuer,
        registry: asked.registry.clone(),
        unreachable,
    })
}
