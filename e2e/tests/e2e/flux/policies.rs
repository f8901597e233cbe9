//! Policies in Git: before the bindings that rest on them, in a Kustomization of their own.

use std::slice;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::{ConditionType, Reason};
use wio_e2e::flux::Flux;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::simulator::{OTHER_GROUP, PLATFORM_GROUP, group_id, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use super::{ACCOUNT_WRITE, BINDING_WRITE, FINALIZER_WRITE, STATUS_WRITE, Site, each_once, existing};
use crate::harness::{Case, case};
use crate::install::in_repository;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(a_policy_in_the_bindings_kustomization_never_comes_to_be),
        case!(in_a_stage_of_their_own_policies_are_there_when_the_bindings_beside_them_are_tried_again),
        case!(a_policy_with_a_part_that_grants_nothing_fails_its_kustomization),
        case!(a_policy_that_moves_to_another_kustomization_costs_nobody_trust),
        // Others change policies all the time, and the end of one is acted upon when the set was quiet.
        case!(a_policy_that_leaves_with_its_kustomization_takes_the_trust_with_it).alone(),
        case!(where_admission_is_off_a_denied_binding_fails_its_kustomization_until_a_policy_comes).alone(),
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
    let mark = site.mark()?;
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
    site.writes(mark)?.must_be(&[], &["patch namespaces flux-together"])
}

/// By a flag of kustomize-controller. It does not wait until admission knows what that stage applied, so the first try is refused and the next one is
/// not.
async fn in_a_stage_of_their_own_policies_are_there_when_the_bindings_beside_them_are_tried_again(
    world: Arc<World>,
) -> Result<()> {
    let name = "flux-staged";
    let flux = world.flux().await?;
    let staged = (
        "custom-apply-stage-kinds",
        "workloadidentity.dev/WorkloadIdentityPolicy",
    );
    let _controller = Flux::shard(&world.scratch, &world.cluster, "staged", staged).await?;
    let mut site = Site::new(&world, name).await?;
    let id = identity_id(OTHER_GROUP, name);
    world.simulator.put_identity(&id).await?;
    site.put_binding(&existing(&id));
    site.repository.put("policy.yaml", &policy(name));
    let revision = site.repository.commit().await?;
    let mark = site.mark()?;
    let spec = json!({ "retryInterval": "2s" });
    let kustomization = flux
        .kustomization_of_shard("staged", &site.repository, name, spec)
        .await?;
    let first = kustomization.tried(&revision).await?;
    ensure!(
        first.ready || first.message.contains("dry-run failed (Forbidden)"),
        "{first}"
    );
    let there = ["get", "wip/flux-staged", "--output=name"];
    world.cluster.kubectl.run(&there).await?;
    kustomization.ready().await?;
    site.must_be_ready().await?;
    let writes = site.writes(mark)?;
    let policy_write = "patch workloadidentitypolicies flux-staged";
    each_once(
        &writes.flux,
        &["patch namespaces flux-staged", policy_write, BINDING_WRITE],
    )?;
    for what in [FINALIZER_WRITE, ACCOUNT_WRITE] {
        ensure!(writes.ours.get(what) == Some(&1), "{what}: {writes:#?}");
    }

    let mark = site.mark()?;
    for _ in 0..3 {
        kustomization.reconcile_well().await?;
    }
    let writes = site.writes(mark)?;
    ensure!(writes.ours.is_empty() && writes.flux.is_empty(), "{writes:#?}");
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
    let (written, told) = (
        "patch workloadidentitypolicies flux-misspelt",
        ("patch workloadidentitypolicies/status flux-misspelt", 1..=2),
    );
    let mut mark = site.mark()?;
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

    site.writes(mark)?
        .must_be(slice::from_ref(&told), &["patch namespaces flux-misspelt", written])?;

    mark = site.mark()?;
    site.repository.put("policy.yaml", &policy("flux-misspelt"));
    site.commit_well().await?;
    site.writes(mark)?.must_be(slice::from_ref(&told), &[written])
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
    let others = writes.ours.keys().filter(|what| !what.contains("/status "));
    ensure!(others.count() == 0, "{writes:#?}");
    let now = world
        .simulator
        .identity(&id)
        .await?
        .map(|identity| identity.credentials);
    ensure!(now == trust, "{now:?} instead of {trust:?}");
    Ok(())
}

async fn a_policy_that_leaves_with_its_kustomization_takes_the_trust_with_it(world: Arc<World>) -> Result<()> {
    let mut site = Site::new(&world, "flux-left").await?;
    let id = identity_id(OTHER_GROUP, "flux-left");
    world.simulator.put_identity(&id).await?;
    let mut repository = site.flux.repository("flux-left-policies");
    repository.put("policy.yaml", &policy("flux-left"));
    let revision = repository.commit().await?;
    let applied = async || -> Result<_> {
        let name = "flux-left-policies";
        let policies = site.flux.kustomization(&repository, name, json!({})).await?;
        policies.applied(&revision).await?;
        Ok(policies)
    };
    let policies = applied().await?;
    site.put_binding(&existing(&id));
    site.begin_well().await?;
    let pod = site.namespace.pod("app", "app").await?;
    site.namespace.sign_in(&pod).await?.claims()?;

    let mut mark = site.mark()?;
    policies.delete().await?;
    until("the trust to be gone", DEADLINE, async || {
        // Other tests delete policies as well, and what goes together needs a word.
        let status = site.namespace.binding("app").await?.status.unwrap_or_default();
        let mut messages = status.conditions.iter().map(|condition| condition.message.as_str());
        let asked = messages.find_map(|message| message.split_once("confirm-loss=")?.1.split('.').next());
        if let Some(asked) = asked {
            let said = format!("workloadidentity.dev/confirm-loss={asked}");
            let kubectl = &world.cluster.kubectl;
            kubectl.run(&["annotate", "wiep/cluster", "--overwrite", &said]).await?;
        }
        let identity = world.simulator.identity(&id).await?.context("the identity is gone")?;
        Ok(identity.credentials.is_empty().then_some(()))
    })
    .await?;
    let denied = (ConditionType::Stalled, "True", Reason::NotPermitted);
    site.namespace.condition("app", denied.0, denied.1, denied.2).await?;
    site.namespace.event("app", denied.2).await?;
    // Flux sees it when it looks again.
    let outcome = site.kustomization.reconcile().await?;
    ensure!(!outcome.ready, "{outcome}");
    site.writes(mark)?.must_be(
        &[(STATUS_WRITE, 1..=4), (ACCOUNT_WRITE, 0..=1)],
        &["delete workloadidentitypolicies flux-left"],
    )?;

    mark = site.mark()?;
    applied().await?;
    site.namespace.ready("app").await?;
    site.kustomization.reconcile_well().await?;
    site.writes(mark)?.must_be(
        &[
            (STATUS_WRITE, 1..=3),
            (ACCOUNT_WRITE, 0..=1),
            ("patch workloadidentitypolicies/status flux-left", 1..=2),
        ],
        &["patch workloadidentitypolicies flux-left"],
    )?;
    site.kustomization.delete().await
}

async fn where_admission_is_off_a_denied_binding_fails_its_kustomization_until_a_policy_comes(
    world: Arc<World>,
) -> Result<()> {
    let kubectl = &world.cluster.kubectl;
    let rules = [
        "delete",
        "validatingadmissionpolicybinding",
        "workload-identity-operator",
    ];
    kubectl.run(&rules).await?;
    let told = denied_by_the_operator_alone(&world).await;
    // The tests after this one stand on it.
    kubectl
        .run(&[
            "apply",
            "--server-side",
            "--kustomize",
            &in_repository("config/admission")?,
        ])
        .await?;
    told
}

async fn denied_by_the_operator_alone(world: &Arc<World>) -> Result<()> {
    let mut site = Site::new(world, "flux-admitted").await?;
    let id = identity_id(OTHER_GROUP, "flux-admitted");
    world.simulator.put_identity(&id).await?;
    site.put_binding(&existing(&id));
    site.repository.remove(super::NAMESPACE)?;
    world.namespace("flux-admitted").await?;
    until("admission to forget its rules", DEADLINE, async || {
        let tried = site.namespace.try_to_bind("app", &existing(&id)).await?;
        Ok(tried.is_ok().then_some(()))
    })
    .await?;
    let mut mark = site.mark()?;
    let revision = site.begin(json!({})).await?;
    let (reason, message) = site.kustomization.failed(&revision).await?;
    ensure!(reason == "HealthCheckFailed", "{reason}: {message}");
    let told = "failed early due to stalled resources: [WorkloadIdentityBinding/flux-admitted/app status: 'Failed']";
    ensure!(message.contains(told), "{message}");
    let says = site.says().await?;
    ensure!(says.1 == Reason::NotPermitted.as_str(), "{says:?}");
    site.writes(mark)?.must_be(&[(STATUS_WRITE, 1..=2)], &[BINDING_WRITE])?;

    mark = site.mark()?;
    world
        .cluster
        .kubectl
        .apply(&policy("flux-admitted").to_string())
        .await?;
    site.namespace.ready("app").await?;
    // As at the next retryInterval.
    site.kustomization.reconcile_well().await?;
    site.writes(mark)?.must_be(
        &[
            (FINALIZER_WRITE, 1..=1),
            (STATUS_WRITE, 1..=3),
            (ACCOUNT_WRITE, 1..=1),
            ("patch workloadidentitypolicies/status flux-admitted", 0..=2),
        ],
        &[],
    )
}
