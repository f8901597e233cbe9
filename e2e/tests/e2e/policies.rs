//! What policies allow, and what becomes of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::{ConditionType, Reason};
use wio_e2e::namespace::DEADLINE;
use wio_e2e::simulator::{OTHER_GROUP, PLATFORM_GROUP, group_id, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(an_identity_gets_the_role_that_a_policy_allows_and_loses_it_with_the_binding),
        // Others change policies all the time, and the end of one is acted upon when the set was quiet.
        case!(a_policy_that_is_deleted_takes_the_trust_with_it)
            .alone()
            .on_own_cluster(),
    ]
}

async fn an_identity_gets_the_role_that_a_policy_allows_and_loses_it_with_the_binding(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("roles").await?;
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }],
        "roleAssignments": [{ "role": "Key Vault Secrets User", "scope": group_id(PLATFORM_GROUP) }],
    });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    let status = namespace.binding("orders").await?.status.unwrap_or_default();
    ensure!(status.authorized_by == ["platform"], "{status:?}");
    ensure!(status.role_assignments.len() == 1, "{status:?}");
    let principal = status.identity.context("no identity in the status")?.principal_id;
    let given = async || -> Result<Vec<String>> {
        let all = world.simulator.snapshot().await?.role_assignments;
        let ours = all.iter().filter(|one| Some(one.principal_id.to_string()) == principal);
        Ok(ours
            .map(|one| format!("{} {}", one.role_definition_id, one.principal_type))
            .collect())
    };
    let expected = "4633458b-17de-408a-b874-0445c86b69e6 ServicePrincipal";
    ensure!(given().await? == [expected], "{:?}", given().await?);

    namespace.delete("orders").await?;
    ensure!(given().await?.is_empty(), "{:?}", given().await?);
    Ok(())
}

async fn a_policy_that_is_deleted_takes_the_trust_with_it(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("policies").await?;
    let id = identity_id(OTHER_GROUP, "invoices");
    world.simulator.put_identity(&id).await?;
    let policy = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": "invoices" },
        "spec": { "namespaces": { "names": ["policies"] }, "existingIdentities": [id] },
    });
    let spec = json!({
        "identity": { "existing": { "resourceId": id } },
        "serviceAccounts": [{ "name": "invoices" }],
    });
    world.cluster.kubectl.apply(&policy.to_string()).await?;
    namespace.bind("invoices", &spec).await?;
    namespace.ready("invoices").await?;
    let pod = namespace.pod("invoices", "invoices").await?;
    namespace.sign_in(&pod).await?.claims()?;

    world.cluster.kubectl.run(&["delete", "wip/invoices"]).await?;
    until("the trust to be gone", DEADLINE, async || {
        // Other tests delete policies as well, and what goes together needs a word.
        let status = namespace.binding("invoices").await?.status.unwrap_or_default();
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
    let denied = (ConditionType::Authorized, "False", Reason::NotPermitted);
    namespace.condition("invoices", denied.0, denied.1, denied.2).await?;

    world.cluster.kubectl.apply(&policy.to_string()).await?;
    namespace.ready("invoices").await?;
    namespace.delete("invoices").await?;
    world.cluster.kubectl.run(&["delete", "wip/invoices"]).await.map(drop)
}
