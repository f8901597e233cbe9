//! What policies allow, and what becomes of it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_e2e::simulator::{PLATFORM_GROUP, group_id};
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(
        an_identity_gets_the_role_that_a_policy_allows_and_loses_it_with_the_binding
    )]
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
