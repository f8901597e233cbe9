//! What a person sees.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_e2e::namespace::DEADLINE;
use wio_e2e::simulator::SUBSCRIPTION;
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(kubectl_get_and_describe_tell_how_a_binding_is),
        case!(kubectl_explain_describes_the_fields),
        case!(a_binding_that_cannot_be_is_refused_with_the_field_that_is_wrong),
        case!(what_is_applied_again_is_unchanged),
    ]
}

async fn kubectl_get_and_describe_tell_how_a_binding_is(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("seen").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let identity = namespace.identity("shop").await?;

    // By the short name, by the category, and with the columns of each width.
    let expected = ["NAME", "READY", "REASON", "IDENTITY", "AGE"];
    let row = ["shop", "True", "Succeeded", identity.name.as_str()];
    for kind in ["wib", "workloadidentitybindings"] {
        let table = namespace.kubectl(&["get", kind]).await?;
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let heading = lines.next().unwrap_or_default();
        ensure!(heading == expected, "{table}");
        ensure!(lines.next().is_some_and(|line| line.starts_with(&row)), "{table}");
    }
    let of_category = namespace.kubectl(&["get", "azure-identity"]).await?;
    for row in [
        "workloadidentitybinding.workloadidentity.dev/shop ",
        "workloadidentitypolicy.workloadidentity.dev/platform ",
        "workloadidentityeffectivepolicy.workloadidentity.dev/cluster ",
    ] {
        ensure!(of_category.contains(row), "{row} is not in\n{of_category}");
    }
    let wide = namespace.kubectl(&["get", "wib", "--output=wide"]).await?;
    for part in [
        "CLIENT ID",
        "MESSAGE",
        identity.client_id.as_str(),
        "Pods of service account orders",
    ] {
        ensure!(wide.contains(part), "{part} is not in\n{wide}");
    }

    let described = until("the event to be described", DEADLINE, async || {
        let text = namespace.kubectl(&["describe", "wib/shop"]).await?;
        Ok(text.contains("workload-identity-operator  ").then_some(text))
    })
    .await?;
    let (_, events) = described.split_once("Events:").context("no events are described")?;
    let event = events.lines().find(|line| line.contains("Succeeded"));
    let event = event.with_context(|| format!("no event tells of the success:\n{events}"))?;
    ensure!(event.trim_start().starts_with("Normal"), "{event}");
    ensure!(event.contains("Pods of service account orders"), "{event}");
    for part in [
        identity.principal_id.as_str(),
        "system:serviceaccount:seen:orders",
        "Origin:",
    ] {
        ensure!(described.contains(part), "{part} is not in\n{described}");
    }
    Ok(())
}

async fn kubectl_explain_describes_the_fields(world: Arc<World>) -> Result<()> {
    let expected = [
        ("wib", "with no secret anywhere"),
        ("wib.spec.identity", "exactly one of managed and existing"),
        ("wib.spec.serviceAccounts", "conflictPolicy"),
        (
            "wib.spec.serviceAccounts.tokenExpirationSeconds",
            "from one hour to one day",
        ),
        ("wib.spec.deletionPolicy", "RetainIdentity"),
        ("wip.spec.allowOrphan", "deletionPolicy Orphan"),
        ("wiep.spec.problems", "cannot be used"),
        ("wib.status.identity.principalId", "object id of the service principal"),
    ];
    for (field, words) in expected {
        // The description of a kind that was just installed comes a second after the kind.
        let text = until("the kind to be described", DEADLINE, async || {
            world.cluster.kubectl.run(&["explain", field]).await.map(Some)
        })
        .await?;
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(
            text.contains(words),
            "{words:?} is not in what explains {field}: {text}"
        );
    }
    Ok(())
}

async fn a_binding_that_cannot_be_is_refused_with_the_field_that_is_wrong(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("refused").await?;
    let account = json!([{ "name": "orders" }]);
    let wrong = [
        (json!({ "identity": {}, "serviceAccounts": account }), "spec.identity"),
        (
            json!({ "identity": { "managed": {} }, "serviceAccounts": [] }),
            "spec.serviceAccounts",
        ),
        (
            json!({ "identity": { "managed": { "name": "a/../b" } }, "serviceAccounts": account }),
            "spec.identity.managed.name",
        ),
        (
            json!({ "identity": { "existing": { "resourceId": "orders" } }, "serviceAccounts": account }),
            "spec.identity.existing.resourceId",
        ),
        (
            json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "a", "tokenExpirationSeconds": 60 }] }),
            "spec.serviceAccounts[0].tokenExpirationSeconds",
        ),
    ];
    for (spec, field) in wrong {
        let Err(error) = namespace.bind("wrong", &spec).await else {
            anyhow::bail!("{spec} was taken");
        };
        let error = format!("{error:#}");
        ensure!(error.contains(&format!("{field}:")), "{field} is not named: {error}");
    }
    Ok(())
}

/// By client-side apply, as people and most tools do. The API server had filled in defaults that made a difference each time.
async fn what_is_applied_again_is_unchanged(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("unchanged").await?;
    let object = |kind: &str, spec: serde_json::Value| json!({ "apiVersion": "workloadidentity.dev/v1alpha1", "kind": kind, "metadata": { "name": "unchanged" }, "spec": spec });
    let binding = object(
        "WorkloadIdentityBinding",
        json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }, { "name": "mails", "create": true }] }),
    );
    let policy = object(
        "WorkloadIdentityPolicy",
        json!({
            "namespaces": { "names": ["unchanged"] },
            "managedIdentities": [{ "subscriptionId": SUBSCRIPTION, "resourceGroup": "team" }],
            "roles": [{ "role": "Reader", "scopes": [format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/team")] }],
        }),
    );
    for (name, manifest) in [("binding.json", binding), ("policy.json", policy)] {
        let file = world
            .scratch
            .write(&format!("unchanged/{name}"), manifest.to_string())?;
        let file = file.to_str().context("the run's path is not Unicode")?;
        let apply = async || namespace.kubectl(&["apply", "--filename", file]).await;
        ensure!(apply().await?.trim_end().ends_with(" created"), "{name}");
        let again = apply().await?;
        ensure!(again.trim_end().ends_with(" unchanged"), "{again}");
    }
    namespace.delete("unchanged").await?;
    world.cluster.kubectl.run(&["delete", "wip/unchanged"]).await.map(drop)
}
