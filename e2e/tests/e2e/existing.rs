//! Identities that somebody else owns.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_api::IdentityOrigin;
use wio_api::keys::{BINDING_ANNOTATION, BOUND_BY_LABEL, CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION};
use wio_e2e::operator::AUDIENCE;
use wio_e2e::simulator::{CLUSTERS_GROUP, KUBELET, PLATFORM_GROUP, Trusted, identity_id};
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(foreign_credentials_of_an_existing_identity_are_left_alone),
        case!(an_identity_by_which_the_cluster_acts_is_refused_though_nobody_listed_it),
    ]
}

async fn foreign_credentials_of_an_existing_identity_are_left_alone(world: Arc<World>) -> Result<()> {
    let (simulator, namespace) = (&world.simulator, world.namespace("existing").await?);
    let id = identity_id(PLATFORM_GROUP, "payments");
    let principal = simulator.put_identity(&id).await?;
    let issuer = world.cluster.issuer().await?;
    let foreign = [
        ("terraform", issuer.as_str(), "system:serviceaccount:elsewhere:payments"),
        (
            "aks-identity-binding",
            "https://ib.oic.prod-aks.azure.com/t/c",
            "payments",
        ),
    ];
    for (name, issuer, subject) in foreign {
        let trusted = Trusted {
            issuer,
            subject,
            audience: AUDIENCE,
        };
        simulator.put_credential(&id, name, trusted).await?;
    }
    let before = simulator.identity(&id).await?.context("the identity is missing")?;

    namespace.kubectl(&["create", "serviceaccount", "payments"]).await?;
    namespace.annotate("payments", &["team=payments"]).await?;
    let spec = json!({
        "identity": { "existing": { "resourceId": id } },
        "serviceAccounts": [{ "name": "payments", "create": false }, { "name": "settlement" }],
    });
    namespace.bind("payments", &spec).await?;
    namespace.ready("payments").await?;
    let status = namespace.binding("payments").await?.status.unwrap_or_default();
    let identity = status.identity.context("no identity in the status")?;
    ensure!(identity.origin == IdentityOrigin::Referenced, "{identity:?}");
    ensure!(
        identity.principal_id.as_ref() == Some(&principal.principal_id),
        "{identity:?}"
    );
    let usage = status.federated_credential_usage.context("no usage in the status")?;
    ensure!((usage.ours, usage.foreign, usage.limit) == (2, 2, 20), "{usage:?}");

    let bound = simulator.identity(&id).await?.context("the identity is gone")?;
    ensure!(bound.credentials.len() == 4, "{bound:#?}");
    for credential in &before.credentials {
        ensure!(bound.credential(&credential.name) == Some(credential), "{bound:#?}");
    }
    let pod = namespace.pod("payments", "payments").await?;
    namespace.sign_in(&pod).await?.claims()?;

    namespace.delete("payments").await?;
    let after = simulator.identity(&id).await?.context("the identity is gone")?;
    ensure!(after == before, "{after:#?} was {before:#?}");
    namespace.sign_in(&pod).await?.must_be_refused_with("AADSTS700213")?;

    // The one that was there before stays, and what we wrote on it goes; the one that we created goes.
    let adopted = namespace.service_account("payments").await?.context("it is gone")?;
    let annotations = adopted.metadata.annotations.unwrap_or_default();
    ensure!(
        annotations.get("team").is_some_and(|team| team == "payments"),
        "{annotations:?}"
    );
    for ours in [CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION, BINDING_ANNOTATION] {
        ensure!(!annotations.contains_key(ours), "{annotations:?}");
    }
    let labels = adopted.metadata.labels.unwrap_or_default();
    ensure!(!labels.contains_key(BOUND_BY_LABEL), "{labels:?}");
    let created = namespace.service_account("settlement").await?;
    ensure!(created.is_none(), "{created:?}");
    Ok(())
}

/// The operator read it at the cluster's own resource, and told admission.
async fn an_identity_by_which_the_cluster_acts_is_refused_though_nobody_listed_it(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("kubelet").await?;
    let id = identity_id(CLUSTERS_GROUP, KUBELET);
    let binding = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "thief", "namespace": "kubelet" },
        "spec": { "identity": { "existing": { "resourceId": id } }, "serviceAccounts": [{ "name": "thief" }] },
    });
    let applied = namespace.apply(&binding).await;
    let refused = applied.err().context("it was taken")?;
    ensure!(format!("{refused:#}").contains("protect"), "{refused:#}");
    Ok(())
}
