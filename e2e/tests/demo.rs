//! The demo on a cluster that is there already: one control plane of ours that it knows by its kubeconfig alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use wio_e2e::cluster::EXISTING;
use wio_e2e::control_plane::ControlPlane;
use wio_e2e::paths::repository;
use wio_e2e::process::{Program, output};
use wio_e2e::scratch::Scratch;
use wio_e2e::tools::Kubectl;

/// Another run may have to end first.
const DEADLINE: Duration = Duration::from_mins(15);
/// Of what is installed for the whole of a cluster.
const KINDS: &str = "customresourcedefinitions,namespaces,clusterroles,clusterrolebindings,mutatingwebhookconfigurations,\
                     validatingadmissionpolicies,validatingadmissionpolicybindings";

async fn demo(kubeconfig: &Path) -> Result<String> {
    let program = Program::new(env!("CARGO_BIN_EXE_demo")).env(EXISTING, kubeconfig);
    output(program, None, DEADLINE).await
}

async fn contents(kubectl: &Kubectl) -> Result<String> {
    kubectl.run(&["get", KINDS, "--output=name"]).await
}

#[tokio::test]
async fn the_demo_takes_a_cluster_that_is_named_leaves_it_as_it_was_and_refuses_one_that_has_an_operator() -> Result<()>
{
    let _ = rustls::crypto::ring::default_provider().install_default();
    let scratch = Scratch::new()?;
    let (_control_plane, kubeconfig) = ControlPlane::start(&scratch).await?;
    let kubectl = Kubectl::new(&scratch, &kubeconfig)?;
    let before = contents(&kubectl).await?;

    let said = demo(&kubeconfig).await?;
    for part in [
        "It must be one to throw away",
        "ok      shop/orders: oid ",
        "ok      bank/payments: oid ",
    ] {
        ensure!(said.contains(part), "{part} is not in\n{said}");
    }
    ensure!(
        contents(&kubectl).await? == before,
        "it left something, or took something away:\n{said}"
    );

    // Somebody else's operator.
    let definitions = repository().join("config/crd");
    let definitions = definitions.to_str().context("the repository's path is not Unicode")?;
    kubectl
        .run(&["apply", "--server-side", "--kustomize", definitions])
        .await?;
    kubectl
        .run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])
        .await?;
    let with_theirs = contents(&kubectl).await?;
    let Err(refused) = demo(&kubeconfig).await else {
        bail!("a cluster with somebody else's operator was taken");
    };
    let told = "has workloadidentitybindings.workloadidentity.dev already";
    ensure!(format!("{refused:#}").contains(told), "{refused:#}");
    ensure!(
        contents(&kubectl).await? == with_theirs,
        "what is somebody else's was touched"
    );
    Ok(())
}
