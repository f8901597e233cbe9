//! A custom resource definition that is deleted, and all objects of its kind with it. That of bindings is for the shell tests of the
//! controller: the other tests could not go on without it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::{ConditionType, Reason};
use wio_e2e::cluster::POLICIES_CRD;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::operator::platform_policy;
use wio_e2e::paths::repository;
use wio_e2e::simulator::{PLATFORM_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(trust_outlives_the_definition_of_policies)
            .alone()
            .on_own_cluster(),
    ]
}

async fn trust_outlives_the_definition_of_policies(world: Arc<World>) -> Result<()> {
    let (simulator, kubectl) = (&world.simulator, &world.cluster.kubectl);
    let namespace = world.namespace("vanishing").await?;
    let id = identity_id(PLATFORM_GROUP, "vanishing");
    simulator.put_identity(&id).await?;
    let spec = json!({
        "identity": { "existing": { "resourceId": id } },
        "serviceAccounts": [{ "name": "orders" }],
    });
    namespace.bind("orders", &spec).await?;
    namespace.ready("orders").await?;
    let before = simulator.identity(&id).await?.context("the identity is missing")?;

    kubectl.run(&["delete", "crd", POLICIES_CRD]).await?;
    let (ready, reason) = (ConditionType::Ready, Reason::MassDisappearance);
    let message = namespace.condition("orders", ready, "Unknown", reason).await?;
    ensure!(message.contains(POLICIES_CRD), "{message}");
    let pod = namespace.pod("orders", "orders").await?;
    namespace.sign_in(&pod).await?.claims()?;

    let definitions = repository().join("config/crd");
    let definitions = definitions.to_str().context("the repository's path is not Unicode")?;
    kubectl
        .run(&["apply", "--server-side", "--kustomize", definitions])
        .await?;
    until("the policy to be taken", DEADLINE, async || {
        kubectl.apply(&platform_policy().to_string()).await.map(Some)
    })
    .await?;
    namespace.ready("orders").await?;
    let after = simulator.identity(&id).await?.context("the identity is gone")?;
    ensure!(after.credentials == before.credentials, "{after:#?}");
    Ok(())
}
