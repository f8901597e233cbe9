//! The main job: one binding gives a pod its token, and nobody else's pod.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::keys::{CLIENT_ID_ANNOTATION, TENANT_ID_ANNOTATION};
use wio_api::{ConditionType, Reason};
use wio_e2e::operator::USER;
use wio_e2e::pods;
use wio_e2e::simulator::TENANT;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(pods_of_bound_service_accounts_get_tokens_of_the_bindings_identity),
        case!(a_service_account_that_is_not_in_the_binding_gets_no_token),
        case!(a_service_account_that_leaves_the_binding_loses_its_token),
        case!(ready_is_proven_by_a_token_that_entra_gave_and_the_operator_mints_no_other),
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

/// The API server's own token and signature, and Entra's own judgement. With the right to mint tokens for Entra nobody gets one for the API server.
async fn ready_is_proven_by_a_token_that_entra_gave_and_the_operator_mints_no_other(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("proven-ready").await?;
    let spec = json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "orders" }],
        "verification": { "mode": "TokenExchange" },
    });
    // What is foretold of a proof is what comes of it, and a binding that is proven leaves nothing to do.
    let manifest = json!({
        "apiVersion": "workloadidentity.dev/v1alpha1", "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "shop" }, "spec": spec,
    });
    let foretold = namespace.wib(&["plan", "-f", "-"], Some(&manifest)).await?;
    let token = "  ~ a token of service account orders, exchanged with Microsoft Entra";
    ensure!(
        foretold.code == 2 && foretold.out.contains(token) && !foretold.out.contains("not read"),
        "{}{}",
        foretold.out,
        foretold.err
    );
    namespace.bind("shop", &spec).await?;
    namespace.ready("shop").await?;
    let still = namespace.wib(&["plan", "shop"], None).await?;
    ensure!(still.code == 0, "{}{}", still.out, still.err);
    let proof = namespace
        .condition("shop", ConditionType::TokenExchangeVerified, "True", Reason::Succeeded)
        .await?;
    ensure!(proof.contains("orders"), "{proof}");
    let status = namespace.binding("shop").await?.status.unwrap_or_default();
    ensure!(
        status.token_exchanges.iter().all(|one| one.verified_at.is_some()) && status.token_exchanges.len() == 1,
        "{:?}",
        status.token_exchanges
    );
    let mint = async |audience: &str| {
        let (user, audience) = (format!("--as={USER}"), format!("--audience={audience}"));
        namespace
            .kubectl(&["create", "token", "orders", &user, &audience])
            .await
    };
    mint("api://AzureADTokenExchange").await?;
    for audience in ["https://kubernetes.default.svc", "https://127.0.0.1"] {
        let refused = mint(audience).await;
        let refused = refused.err().context("a token that is not for Entra")?;
        ensure!(format!("{refused:#}").contains("api://"), "{refused:#}");
    }
    Ok(())
}
