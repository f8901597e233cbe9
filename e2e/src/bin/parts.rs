//! The real parts and the simulator without the operator: a cluster as it is before a person begins with docs/quickstart.md.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wio_e2e::cluster::{Cluster, EXISTING};
use wio_e2e::paths::{built, part};
use wio_e2e::scratch::Scratch;
use wio_e2e::simulator::{SUBSCRIPTION, Simulator, TENANT};
use wio_e2e::webhook::Webhook;

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("parts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts them, prints one line of JSON that says where they are, and runs until its standard input ends.
async fn run() -> Result<()> {
    ensure!(
        std::env::var_os(EXISTING).is_none(),
        "this starts a control plane of its own: unset {EXISTING}"
    );
    // kube and reqwest share one TLS provider; this fails only when it was chosen before, by us.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scratch = Scratch::new()?;
    let cluster = Cluster::start(&scratch).await?;
    let simulator = Simulator::start(&scratch, cluster.authority()).await?;
    let _webhook = Webhook::start(&scratch, &cluster, simulator.url(), TENANT).await?;
    let found = json!({
        "folder": scratch.path(),
        "kubeconfig": cluster.kubeconfig,
        "programs": part("kubectl")?.parent(),
        "operator": built("workload-identity-operator", "workload-identity-operator")?,
        "simulator": simulator.url(),
        "authority": simulator.authority(),
        "subscription": SUBSCRIPTION,
    });
    println!("{found}");
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
        .await?
        .context("waiting for the end of standard input")
        .map(drop)
}
