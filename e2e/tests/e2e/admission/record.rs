//! What the operator keeps on a binding for itself, the status and the finalizer, against people with too many rights.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::process::Signal;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use super::table::binding;

const STATUS: [&str; 6] = [
    "patch",
    "wib/shop",
    "--subresource=status",
    "--type=merge",
    r#"--patch={"status":{"identity":null,"federatedCredentials":null}}"#,
    "--dry-run=server",
];

const FINALIZERS: [&str; 5] = [
    "patch",
    "wib/shop",
    "--type=merge",
    r#"--patch={"metadata":{"finalizers":null}}"#,
    "--dry-run=server",
];

/// Somebody with every right in the namespace; somebody whom authorization lets write the custom resource and all of its
/// subresources everywhere, as Entra's does in AKS; and an administrator of the cluster.
pub(super) async fn only_the_operator_and_administrators_write_the_status(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("record").await?;
    let kubectl = &world.cluster.kubectl;
    namespace
        .bind("shop", &binding(&json!({ "managed": {} }), &["orders"]))
        .await?;
    namespace.ready("shop").await?;
    let everything = json!({ "apiGroups": ["workloadidentity.dev"], "resources": ["*"], "verbs": ["*"] });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": { "name": "record-writer" },
        "rules": [everything],
    });
    kubectl.apply(&role.to_string()).await?;
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            "owner",
            "--clusterrole=cluster-admin",
            "--user=record-owner",
        ])
        .await?;
    for (name, role) in [
        ("record-writer", "record-writer"),
        ("record-administrator", "cluster-admin"),
    ] {
        kubectl
            .run(&[
                "create",
                "clusterrolebinding",
                name,
                &format!("--clusterrole={role}"),
                &format!("--user={name}"),
            ])
            .await?;
    }
    for user in ["record-owner", "record-writer"] {
        for (what, field) in [
            (&STATUS[..], "status is not permitted"),
            (&FINALIZERS, "metadata.finalizers is not permitted"),
        ] {
            until("the rights to be in force", DEADLINE, async || {
                let error = try_as(&namespace, user, what).await.err().context("it was taken")?;
                ensure!(error.contains(field), "{user}: {error}");
                Ok(Some(()))
            })
            .await?;
        }
    }
    // What is no matter of the record is.
    try_as(
        &namespace,
        "record-owner",
        &["label", "wib/shop", "team=shop", "--dry-run=server"],
    )
    .await
    .map_err(anyhow::Error::msg)?;
    for what in [&STATUS[..], &FINALIZERS] {
        until("the administrator to have its rights", DEADLINE, async || {
            try_as(&namespace, "record-administrator", what)
                .await
                .map(Some)
                .map_err(anyhow::Error::msg)
        })
        .await?;
    }
    kubectl
        .run(&["delete", "clusterrolebinding", "record-writer", "record-administrator"])
        .await?;
    kubectl.run(&["delete", "clusterrole", "record-writer"]).await.map(drop)
}

async fn try_as(namespace: &Namespace<'_>, user: &str, arguments: &[&str]) -> Result<(), String> {
    let user = format!("--as={user}");
    let answer = namespace.kubectl(&[arguments, &[user.as_str()]].concat()).await;
    answer.map(drop).map_err(|error| format!("{error:#}"))
}

/// The garbage collector and the namespace controller write finalizers too, and are no administrators by name.
pub(super) async fn whatever_ends_a_binding_in_kubernetes_still_ends_it(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("record-ends").await?;
    let spec = |account: &str| binding(&json!({ "managed": {} }), &[account]);
    namespace.kubectl(&["create", "configmap", "owner"]).await?;
    let uid = namespace
        .kubectl(&["get", "configmap/owner", "--output=jsonpath={.metadata.uid}"])
        .await?;
    namespace.bind("owned", &spec("owned")).await?;
    namespace.bind("foreground", &spec("foreground")).await?;
    namespace.bind("last", &spec("last")).await?;
    namespace.all_ready().await?;
    let owners = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid.trim(), "blockOwnerDeletion": true,
    }] } });
    namespace
        .kubectl(&["patch", "wib/owned", "--type=merge", &format!("--patch={owners}")])
        .await?;
    namespace
        .kubectl(&["delete", "configmap/owner", "--cascade=foreground"])
        .await?;
    namespace.gone("owned").await?;
    namespace
        .kubectl(&["delete", "wib/foreground", "--cascade=foreground", "--wait=false"])
        .await?;
    namespace.gone("foreground").await?;
    world
        .cluster
        .kubectl
        .run(&["delete", "namespace/record-ends", "--timeout=120s"])
        .await
        .map(drop)
}

/// Whoever takes the finalizer off and deletes the binding would leave its trust behind for good.
pub(super) async fn only_the_operator_and_administrators_take_the_finalizer_off(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("finalizers").await?;
    let kubectl = &world.cluster.kubectl;
    namespace
        .kubectl(&[
            "create",
            "rolebinding",
            "tenant",
            "--clusterrole=admin",
            "--user=finalizers-tenant",
        ])
        .await?;
    let spec = binding(&json!({ "managed": {} }), &["orders"]);
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let as_tenant =
        |arguments: &[&'static str]| [arguments, &["--namespace=finalizers", "--as=finalizers-tenant"]].concat();
    // The aggregated roles take a moment.
    until("the tenant to have its rights", DEADLINE, async || {
        kubectl
            .run(&as_tenant(&["label", "--overwrite", "wib/shop", "team=shop"]))
            .await
            .map(Some)
    })
    .await?;
    let off = [
        "patch",
        "wib/shop",
        "--type=merge",
        r#"--patch={"metadata":{"finalizers":null}}"#,
    ];
    let refused = async || -> Result<()> {
        let error = kubectl
            .run(&as_tenant(&off))
            .await
            .err()
            .context("the finalizer was taken off")?;
        ensure!(
            format!("{error:#}").contains("metadata.finalizers is not permitted"),
            "{error:#}"
        );
        Ok(())
    };
    refused().await?;
    // Also while it is being deleted, when nothing would bring it back. Administrators need it when the operator is no more.
    let mut operator = world.operator.lock().await;
    operator.end(Signal::Terminate).await?;
    kubectl.run(&as_tenant(&["delete", "wib/shop", "--wait=false"])).await?;
    refused().await?;
    namespace.kubectl(&off).await?;
    namespace.gone("shop").await?;
    operator.run().await
}
