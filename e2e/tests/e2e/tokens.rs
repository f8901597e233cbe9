//! The main job: one binding gives a pod its token, and nobody else's pod.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::keys::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION};
use wio_e2e::pods;
use wio_e2e::simulator::TENANT;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(pods_of_bound_service_accounts_get_tokens_of_the_bindings_identity),
        case!(a_service_account_that_is_not_in_the_binding_gets_no_token),
        case!(a_service_account_that_leaves_the_binding_loses_its_token),
    ]
}

async fn pods_of_bound_service_accounts_get_tokens_of_the_bindings_identity(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("tokens").await?;
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }, { "name": "mailer", "tokenExpirationSeconds": 7200 }],
    });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let identity = namespace.identity("shop").await?;

    for (account, seconds) in [("orders", 3600), ("mailer", 7200)] {
        let pod = namespace.pod(account, account).await?;
        let environment = pods::environment(&pod)?;
        let path = environment.get("AZURE_FEDERATED_TOKEN_FILE").context("no token file")?;
        let token = pods::projected_token(&pod, path)?;
        ensure!(token.seconds == Some(seconds), "{account}: {token:?}");

        let sign_in = namespace.sign_in(&pod).await?;
        let claims = sign_in.claims()?;
        let expected = [
            ("oid", identity.principal_id.as_str()),
            ("appid", identity.client_id.as_str()),
            ("tid", TENANT),
        ];
        for (name, value) in expected {
            let found = claims.get(name).and_then(Value::as_str);
            ensure!(
                found == Some(value),
                "{account}: {name} should be {value}, in {claims:?}"
            );
        }
    }
    Ok(())
}

/// Whoever may annotate a service account may name any client id there. What keeps them out is Entra, which knows the
/// subjects that the binding names and no other.
async fn a_service_account_that_is_not_in_the_binding_gets_no_token(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("intruder").await?;
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] });
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let identity = namespace.identity("shop").await?;

    namespace.kubectl(&["create", "serviceaccount", "intruder"]).await?;
    let client_id = format!("{CLIENT_ID_ANNOTATION}={}", identity.client_id);
    let tenant = format!("{TENANT_ID_ANNOTATION}={TENANT}");
    namespace.annotate("intruder", &[&client_id, &tenant]).await?;
    let pod = namespace.pod("intruder", "intruder").await?;
    let environment = pods::environment(&pod)?;
    ensure!(
        environment.get("AZURE_CLIENT_ID") == Some(&identity.client_id),
        "{environment:?}"
    );
    namespace.sign_in(&pod).await?.must_be_refused_with("AADSTS700213")
}

async fn a_service_account_that_leaves_the_binding_loses_its_token(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("leaving").await?;
    namespace.kubectl(&["create", "serviceaccount", "mailer"]).await?;
    let with = |accounts: &[&str]| {
        let accounts: Vec<Value> = accounts.iter().map(|name| json!({ "name": name })).collect();
        json!({ "identity": { "managed": {} }, "serviceAccounts": accounts })
    };
    namespace.bind("shop", &with(&["orders", "mailer"])).await?;
    namespace.ready("shop").await?;
    let pod = namespace.pod("mailer", "mailer").await?;
    namespace.sign_in(&pod).await?.claims()?;

    namespace.bind("shop", &with(&["orders"])).await?;
    namespace.ready("shop").await?;
    // Its pod runs on, with the environment that it was given.
    namespace.sign_in(&pod).await?.must_be_refused_with("AADSTS700213")?;
    let left = namespace.annotation("mailer", CLIENT_ID_ANNOTATION).await?;
    ensure!(left.is_none(), "mailer still carries the client id {left:?}");
    Ok(())
}
