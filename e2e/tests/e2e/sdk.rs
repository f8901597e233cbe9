//! Microsoft's Python clients against the simulator: what stands in the place of Azure is held to who knows the real one.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_e2e::paths::{python, repository};
use wio_e2e::process::{Program, output};
use wio_e2e::simulator::{PLATFORM_TEAM_TOKEN, SUBSCRIPTION, TENANT, identity_id};
use wio_e2e::token::TokenRequest;
use wio_e2e::world::World;

use crate::harness::{Case, case};

const DEADLINE: Duration = Duration::from_mins(3);
const AUDIENCE: &str = "api://AzureADTokenExchange";
const GROUP: &str = "sdk";

pub(crate) fn cases() -> Vec<Case> {
    // It changes how many entries a page of every list has.
    vec![case!(microsofts_python_clients_understand_the_simulator).alone()]
}

async fn microsofts_python_clients_understand_the_simulator(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("sdk").await?;
    for account in ["orders", "stranger"] {
        namespace.kubectl(&["create", "serviceaccount", account]).await?;
    }
    let mint = async |account: &str| {
        let request = TokenRequest {
            audience: Some(AUDIENCE.to_owned()),
            ..TokenRequest::default()
        };
        request.mint(&world.cluster.client, "sdk", account).await
    };
    let request = json!({
        "url": world.simulator.url(),
        "tenant": TENANT,
        "subscription": SUBSCRIPTION,
        "token": PLATFORM_TEAM_TOKEN,
        "group": GROUP,
        "issuer": world.cluster.issuer().await?,
        "subject": "system:serviceaccount:sdk:orders",
        "assertion": mint("orders").await?,
        "stranger": mint("stranger").await?,
    });
    world.simulator.configure(&json!({ "pageSize": 2 })).await?;
    let seen = drive(&world, &request).await;
    world.simulator.configure(&json!({ "pageSize": 100 })).await?;
    let seen = seen?;

    let identity = world
        .simulator
        .identity(&identity_id(GROUP, "sdk-0"))
        .await?
        .context("sdk-0 should be left")?;
    let expected = [
        ("oid", identity.principal_id.to_string()),
        ("appid", identity.client_id.to_string()),
        ("tid", TENANT.to_owned()),
    ];
    for token in ["/exchange/assertion", "/exchange/workload", "/managedIdentity"] {
        let claims = seen
            .pointer(token)
            .with_context(|| format!("nothing at {token} in {seen}"))?;
        for (claim, value) in &expected {
            let found = claims.get(claim).and_then(Value::as_str);
            ensure!(found == Some(value), "{claim} of {token} should be {value}: {claims}");
        }
    }
    let refusal = seen.pointer("/exchange/stranger").and_then(Value::as_str);
    ensure!(
        refusal == Some("AADSTS700213"),
        "a stranger is refused with {refusal:?}"
    );
    // `fic-1` was deleted, and none was left behind by what was refused.
    let names: Vec<&str> = identity
        .credentials
        .iter()
        .map(|credential| credential.name.as_str())
        .collect();
    ensure!(names == ["fic-0", "fic-2", "fic-3", "fic-4"], "{names:?}");
    Ok(())
}

/// Runs e2e/sdk.py; gives what it saw.
async fn drive(world: &World, request: &Value) -> Result<Value> {
    let program = Program::new(python()?)
        .arg(repository().join("e2e/sdk.py"))
        .env("REQUESTS_CA_BUNDLE", world.simulator.authority())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let printed = output(program, Some(request.to_string().as_bytes()), DEADLINE).await?;
    serde_json::from_str(&printed).with_context(|| format!("reading {printed}"))
}
