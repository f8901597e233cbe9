//! What is left of a binding when it is deleted.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::keys::{CLIENT_ID_ANNOTATION, FINALIZER};
use wio_api::{ConditionType, Reason};
use wio_azure_sim::{Fault, ResourceKind};
use wio_e2e::namespace::Namespace;
use wio_e2e::operator::{NAME, NAMESPACE};
use wio_e2e::world::World;

use crate::harness::{Case, case};
use crate::install::in_repository;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(deletion_leaves_nothing_behind),
        case!(deletion_leaves_what_the_policy_retains),
        case!(a_management_lock_keeps_the_finalizer_and_the_status_says_why),
        case!(a_namespace_that_is_deleted_takes_its_bindings_with_it),
        // It takes away rights that other tests need.
        case!(a_namespace_goes_with_its_bindings_though_the_operators_rights_there_go_first).alone(),
    ]
}

async fn deletion_leaves_nothing_behind(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("deletion").await?);
    let spec = json!({
        "identity": { "managed": { "tags": { "team": "shop" } } },
        "serviceAccounts": [{ "name": "orders" }, { "name": "mailer" }],
    });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let id = namespace.identity("shop").await?.resource_id;
    ensure!(simulator.identity(&id).await?.is_some(), "{id} does not exist");

    namespace.delete("shop").await?;
    ensure!(simulator.identity(&id).await?.is_none(), "{id} still exists");
    for name in ["orders", "mailer"] {
        let account = namespace.service_account(name).await?;
        ensure!(account.is_none(), "{account:?} is left");
    }
    Ok(())
}

async fn deletion_leaves_what_the_policy_retains(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("retained").await?);
    let spec = |account: &str, policy: &str| {
        json!({
            "identity": { "managed": {} },
            "serviceAccounts": [{ "name": account }],
            "deletionPolicy": policy,
        })
    };
    namespace.bind("kept", &spec("kept", "RetainIdentity")).await?;
    namespace.bind("orphan", &spec("orphan", "Orphan")).await?;
    namespace.all_ready().await?;
    let (kept, orphan) = (namespace.identity("kept").await?, namespace.identity("orphan").await?);
    namespace.delete("kept").await?;
    namespace.delete("orphan").await?;

    let identity = simulator.identity(&kept.resource_id).await?.context("it is gone")?;
    ensure!(identity.credentials.is_empty(), "{identity:#?}");
    let account = namespace.service_account("kept").await?;
    ensure!(account.is_none(), "{account:?}");

    let identity = simulator.identity(&orphan.resource_id).await?.context("it is gone")?;
    ensure!(identity.credentials.len() == 1, "{identity:#?}");
    let client_id = namespace.annotation("orphan", CLIENT_ID_ANNOTATION).await?;
    ensure!(client_id == Some(orphan.client_id), "{client_id:?}");
    // Orphaned means that it works on.
    let pod = namespace.pod("orphan", "orphan").await?;
    namespace.sign_in(&pod).await?.claims().map(drop)
}

async fn a_management_lock_keeps_the_finalizer_and_the_status_says_why(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("locked").await?);
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let identity = namespace.identity("shop").await?;
    let locked = Fault::on("DELETE").kind(ResourceKind::Identity).suffix(&identity.name);
    // Twice: what is done of the deletion at the first try asks for the second one at once.
    simulator.inject(&locked.respond(409, "ScopeLocked").times(2)).await?;

    namespace.kubectl(&["delete", "wib/shop", "--wait=false"]).await?;
    let message = namespace
        .condition("shop", ConditionType::Ready, "False", Reason::ScopeLocked)
        .await?;
    ensure!(message.contains(&identity.name), "{message}");
    let finalizers = namespace.binding("shop").await?.metadata.finalizers.unwrap_or_default();
    ensure!(finalizers == [FINALIZER], "{finalizers:?}");
    // Trust goes first: what cannot be deleted is of no use to anybody.
    let left = simulator.identity(&identity.resource_id).await?.context("it is gone")?;
    ensure!(left.credentials.is_empty(), "{left:#?}");

    // The lock is gone at the next try.
    namespace.gone("shop").await?;
    ensure!(
        simulator.identity(&identity.resource_id).await?.is_none(),
        "it still exists"
    );
    Ok(())
}

async fn a_namespace_that_is_deleted_takes_its_bindings_with_it(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("ephemeral").await?);
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let id = namespace.identity("shop").await?.resource_id;
    let kubectl = &world.cluster.kubectl;
    kubectl
        .run(&["delete", "namespace/ephemeral", "--timeout=120s"])
        .await?;
    ensure!(simulator.identity(&id).await?.is_none(), "{id} still exists");
    Ok(())
}

/// What the chart binds in each of `watchNamespaces`, and nowhere else.
const IN_NAMESPACES: [&str; 6] = ["accounts", "events", "exports", "verification", "workloads", "rollouts"];

/// The namespace in which a test takes the operator's rights away.
pub(crate) const WATCHED: &str = "watched";

async fn a_namespace_goes_with_its_bindings_though_the_operators_rights_there_go_first(
    world: Arc<World>,
) -> Result<()> {
    let namespace = world.namespace(WATCHED).await?;
    let kubectl = &world.cluster.kubectl;
    // As whoever narrows its rights has it installed: elsewhere it would be refused what it looks at.
    act_in(&world, Some(WATCHED)).await?;
    let account = format!("--serviceaccount={NAMESPACE}:{NAME}");
    for role in IN_NAMESPACES.map(|role| format!("{NAME}-{role}")) {
        kubectl.run(&["delete", "clusterrolebinding", &role]).await?;
        let of = format!("--clusterrole={role}");
        namespace
            .kubectl(&["create", "rolebinding", &role, &of, &account])
            .await?;
    }
    let ended = it_goes_with_its_bindings(&world, &namespace).await;
    for folder in ["rbac", "exports", "verification", "workloads", "rollouts"] {
        let path = in_repository(&format!("config/{folder}"))?;
        kubectl.run(&["apply", "--server-side", "--kustomize", &path]).await?;
    }
    act_in(&world, None).await?;
    ended
}

/// Starts the operator anew, so that it acts in this namespace alone, or in all.
async fn act_in(world: &World, namespace: Option<&str>) -> Result<()> {
    let mut operator = world.operator.lock().await;
    operator.restart_with("WIO_WATCH_NAMESPACES", namespace).await
}

async fn it_goes_with_its_bindings(world: &World, namespace: &Namespace<'_>) -> Result<()> {
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }],
        "export": { "configMap": { "name": "ids" } },
    });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let id = namespace.identity("shop").await?.resource_id;
    world
        .cluster
        .kubectl
        .run(&["delete", "namespace", WATCHED, "--timeout=60s"])
        .await?;
    ensure!(world.simulator.identity(&id).await?.is_none(), "{id} still exists");
    Ok(())
}
