//! `kubectl wib bootstrap`.

use std::io::Write;

use anyhow::{Context, anyhow};
use wio_core::names::Issuer;

use crate::arguments::BootstrapArguments;
use crate::bootstrap::{Plan, Step, progress, shell_script, terraform, tree};
use crate::doctor::{issuer, region};
use crate::ending::Ending;
use crate::session::Session;

pub(crate) async fn run(asked: &BootstrapArguments, session: &Session, out: &mut impl Write) -> anyhow::Result<Ending> {
    let plan = plan(asked, session).await?;
    if asked.check {
        let azure = asked.login.open().map_err(|error| format!("{error:#}"));
        let steps = progress(&plan, azure.as_ref().map_err(Clone::clone)).await;
        tree(&steps).write(out)?;
        let done = |step: &Step| !matches!(step.found, Ok(None));
        return Ok(if steps.iter().all(done) {
            Ending::Well
        } else {
            Ending::NotSo
        });
    }
    let text = if asked.terraform {
        terraform(&plan)
    } else {
        shell_script(&plan)
    };
    write!(out, "{text}")?;
    Ok(Ending::Well)
}

async fn plan(asked: &BootstrapArguments, session: &Session) -> anyhow::Result<Plan> {
    let issuer = issuer(session)
        .await
        .map_err(|why| anyhow!("the cluster's issuer: {why}"))?;
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
    Ok(Plan {
        subscription: asked.subscription.map(|id| id.to_string()),
        location,
        group: asked.resource_group.to_string(),
        operator_group: asked.operator_resource_group.to_string(),
        cluster: asked.cluster_name.to_string(),
        issuer,
        registry: asked.registry.clone(),
        unreachable,
    })
}
