//! Policies in Git: before the bindings that rest on them, in a Kustomization of their own.

use std::sync::Arc;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use wio_e2e::simulator::{OTHER_GROUP, PLATFORM_GROUP, group_id, identity_id};
use wio_e2e::world::World;

use super::{Site, existing};
use crate::harness::{Case, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_policy_in_the_bindings_kustomization_never_comes_to_be),
        case!(a_policy_with_a_part_that_grants_nothing_fails_its_kustomization),
        case!(a_policy_that_moves_to_another_kustomization_costs_nobody_trust),
    ]
}

/// A policy that gives one identity to one namespace, both of this name.
fn policy(name: &str) -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": name },
        "spec": { "namespaces": { "names": [name] }, "existingIdentities": [identity_id(OTHER_GROUP, name)] },
    })
}

/// Flux tries all of it against admission before it applies any of it.
async fn a_policy_in_the_bindings_kustomization_never_comes_to_be(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-together").await?;
    let id = identity_id(OTHER_GROUP, "flux-together");
    world.simulator.put_identity(&id).await?;
    site.put_binding(&existing(&id));
    site.repository.put("policy.yaml", &policy("flux-together"));
    let revision = site.begin(json!({})).await?;
    site.kustomization.failed(&revision).await?;
    let outcome = site.kustomization.reconcile().await?;
    ensure!(
        !outcome.ready && outcome.message.contains("dry-run failed (Forbidden)"),
        "{outcome}"
    );
    let there = ["get", "wip/flux-together", "--ignore-not-found"];
    let there = world.cluster.kubectl.run(&there).await?;
    ensure!(there.is_empty(), "{there}");
    Ok(())
}

async fn a_policy_with_a_part_that_grants_nothing_fails_its_kustomization(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-misspelt").await?;
    let mut misspelt = policy("flux-misspelt");
    let roles = json!([{ "role": "Key Vault Secret Userz", "scopes": [group_id(PLATFORM_GROUP)] }]);
    if let Some(Value::Object(spec)) = misspelt.get_mut("spec") {
        spec.insert("roles".to_owned(), roles);
    }
    site.repository.put("policy.yaml", &misspelt);
    let revision = site.begin(json!({})).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "HealthCheckFailed", "{reason}: {message}");
    ensure!(
        message.contains("WorkloadIdentityPolicy/flux-misspelt status: 'Failed'"),
        "{message}"
    );
    let shown = world.cluster.kubectl.get(&["wip", "flux-misspelt"]).await?;
    let conditions = shown
        .pointer("/status/conditions")
        .map(ToString::to_string)
        .unwrap_or_default();
    ensure!(
        conditions.contains("spec.roles[0].role") && conditions.contains("Stalled"),
        "{shown:#}"
    );

    site.repository.put("policy.yaml", &policy("flux-misspelt"));
    site.commit_well().await
}

async fn a_policy_that_moves_to_another_kustomization_costs_nobody_trust(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-moved").await?;
    let id = identity_id(OTHER_GROUP, "flux-moved");
    world.simulator.put_identity(&id).await?;
    site.repository.remove(super::NAMESPACE)?;
    world.namespace("flux-moved").await?;
    site.repository
        .put("bindings/binding.yaml", &super::binding("flux-moved", &existing(&id)));
    site.repository.put("old/policy.yaml", &policy("flux-moved"));
    // A folder that is empty is none.
    let keep =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "keep", "namespace": "flux-moved" } });
    site.repository.put("old/keep.yaml", &keep);
    let revision = site.repository.commit().await?;
    let flux = site.flux;
    let old = flux
        .kustomization(&site.repository, "flux-moved-old", json!({ "path": "old" }))
        .await?;
    old.applied(&revision).await?;
    let bindings = json!({ "path": "bindings", "dependsOn": [{ "name": "flux-moved-old" }] });
    let bindings = flux.kustomization(&site.repository, "flux-moved", bindings).await?;
    bindings.applied(&revision).await?;
    let trust = world
        .simulator
        .identity(&id)
        .await?
        .map(|identity| identity.credentials);

    let mark = site.mark()?;
    site.repository.remove("old/policy.yaml")?;
    site.repository.put("new/policy.yaml", &policy("flux-moved"));
    // In one commit: the old one may delete it before the new one creates it, and for that moment nothing is decided.
    let new = flux
        .kustomization(&site.repository, "flux-moved-new", json!({ "path": "new" }))
        .await?;
    let revision = site.repository.commit().await?;
    new.applied(&revision).await?;
    old.applied(&revision).await?;
    let there = ["get", "wip/flux-moved", "--output=name"];
    world.cluster.kubectl.run(&there).await?;
    site.namespace.ready("app").await?;
    let writes = site.writes(mark)?;
    let others = writes
        .ours
        .keys()
        .filter(|what| *what != "patch workloadidentitybindings/status app");
    ensure!(others.count() == 0, "{writes:#?}");
    let now = world
        .simulator
        .identity(&id)
        .await?
        .map(|identity| identity.credentials);
    ensure!(now == trust, "{now:?} instead of {trust:?}");
    Ok(())
}
