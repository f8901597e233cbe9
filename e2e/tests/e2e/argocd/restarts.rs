//! A Deployment in Git that the operator restarts.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wio_api::RestartResult;
use wio_api::keys::ROLLOUT_ANNOTATION;
use wio_e2e::argocd::{self, ArgoCd};
use wio_e2e::audit::Mark;
use wio_e2e::namespace::Namespace;
use wio_e2e::operator;
use wio_e2e::world::World;

use super::argo_cd;
use super::git::{binding, managed, silent, with};
use super::writes::{nobody_writes_again, writes};
use crate::restarts::{owner, pod_of, read, restarted, rollouts, runs, told};

/// A Deployment by an Application of the same name as its namespace.
struct Site<'w> {
    world: &'w World,
    argo: &'w ArgoCd,
    namespace: Namespace<'w>,
    bound: bool,
}

// === impl Site ===

impl<'w> Site<'w> {
    /// Until the Deployment was restarted for its binding, its rollout is over and all is in sync. Returns its pod, too.
    async fn restarted(world: &'w World, name: &str, options: Value) -> Result<(Self, String)> {
        let argo = argo_cd(world).await?;
        let namespace = world.namespace(name).await?;
        let mut site = Self {
            world,
            argo,
            namespace,
            bound: false,
        };
        site.commit("app:1").await?;
        argo.apply(name, name, &json!({ "syncPolicy": { "syncOptions": options } }))
            .await?;
        let first = pod_of(&site.namespace, "orders", "").await?;
        site.bound = true;
        site.commit("app:1").await?;
        argo.refresh(name).await?;
        restarted(&site.namespace, "Deployment", "orders").await?;
        let second = pod_of(&site.namespace, "orders", &first).await?;
        runs(&site.namespace, &second).await?;
        told(&site.namespace, "orders", RestartResult::Restarted).await?;
        argo.synced(name, "Healthy").await?;
        Ok((site, second))
    }

    /// The Deployment with another image, its service account and, in time, the binding.
    async fn commit(&self, image: &str) -> Result<()> {
        let name = &self.namespace.name;
        let deployment = owner(name, "Deployment", "orders").to_string();
        let mut files = vec![
            ("account.yaml", silent(name)),
            ("deployment.yaml", deployment.replace("app:1", image)),
        ];
        if self.bound {
            files.push(("binding.yaml", binding(name, &with(managed(), "rollout", "Restart"))));
        }
        self.argo.commit(name, &files).await
    }

    /// How often each side wrote the Deployment since then: the operator, Argo CD.
    fn written(&self, mark: Mark) -> Result<(usize, usize)> {
        let audit = self.world.cluster.audit()?;
        let by = |user| -> Result<usize> {
            let written = writes(audit, mark, user, &self.namespace.name)?;
            Ok(written.iter().filter(|it| it.resource == "deployments").count())
        };
        Ok((by(operator::USER)?, by(argocd::USER)?))
    }

    /// By one sync and, when that was not seen at once, by another: the restart has no part in it.
    fn written_by_argo_cd_alone(&self, mark: Mark) -> Result<()> {
        let (ours, argo) = self.written(mark)?;
        ensure!(
            ours == 0 && matches!(argo, 1 | 2),
            "{}: {ours} writes of ours, {argo} of Argo CD's",
            self.namespace.name
        );
        Ok(())
    }

    fn mark(&self) -> Result<Mark> {
        self.world.cluster.audit()?.mark()
    }
}

pub(super) async fn a_restart_is_no_difference_to_argo_cd_and_outlives_a_change_in_git(
    world: Arc<World>,
) -> Result<()> {
    for (name, options) in [
        ("argo-restart", json!([])),
        ("argo-restart-server", json!(["ServerSideApply=true"])),
    ] {
        let (site, second) = Site::restarted(&world, name, options).await?;
        let (ours, _) = site.written(Mark::default())?;
        ensure!(ours == 1, "{name}: {ours} writes");
        nobody_writes_again(&world, &site.namespace).await?;
        ensure!(
            rollouts(&site.namespace, "orders").await? == "2",
            "{name} was rolled out once more"
        );

        let mark = site.mark()?;
        site.commit("app:2").await?;
        site.argo.refresh(name).await?;
        let third = pod_of(&site.namespace, "orders", &second).await?;
        runs(&site.namespace, &third).await?;
        site.argo.synced(name, "Healthy").await?;
        nobody_writes_again(&world, &site.namespace).await?;
        restarted(&site.namespace, "Deployment", "orders").await?;
        site.written_by_argo_cd_alone(mark)?;
        ensure!(
            rollouts(&site.namespace, "orders").await? == "3",
            "{name} was rolled out once more"
        );
    }
    Ok(())
}

/// Its pods are made anew by that, and have the token.
pub(super) async fn an_app_that_replaces_its_objects_takes_a_restart_back_and_no_second_one_follows(
    world: Arc<World>,
) -> Result<()> {
    let (site, second) = Site::restarted(&world, "argo-replace", json!(["Replace=true"])).await?;
    let client_id = restarted(&site.namespace, "Deployment", "orders").await?;
    nobody_writes_again(&world, &site.namespace).await?;

    let mark = site.mark()?;
    site.commit("app:2").await?;
    site.argo.refresh("argo-replace").await?;
    let third = pod_of(&site.namespace, "orders", &second).await?;
    runs(&site.namespace, &third).await?;
    site.argo.synced("argo-replace", "Healthy").await?;
    nobody_writes_again(&world, &site.namespace).await?;
    let annotations = read(
        &site.namespace,
        "deployment/orders",
        "{.spec.template.metadata.annotations}",
    )
    .await?;
    ensure!(!annotations.contains(ROLLOUT_ANNOTATION), "{annotations}");
    let variable = "{.spec.containers[0].env[?(@.name==\"AZURE_CLIENT_ID\")].value}";
    let has = read(&site.namespace, &format!("pod/{third}"), variable).await?;
    ensure!(has == client_id, "{has:?}");
    site.written_by_argo_cd_alone(mark)?;
    ensure!(
        rollouts(&site.namespace, "orders").await? == "3",
        "it was rolled out once more"
    );
    Ok(())
}
