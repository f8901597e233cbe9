//! The operator within its memory limit, whatever tenants write.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use wio_api::{WorkloadIdentityBinding, keys};
use wio_e2e::process::Signal;
use wio_e2e::world::World;

use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![case!(objects_as_big_as_can_be_do_not_outgrow_the_memory_limit).alone()]
}

/// The limit of `config/manager`.
const LIMIT: u64 = 256 << 20;
/// Of each kind, several pages of a list.
const OBJECTS: usize = 60;
/// With the bookkeeping of their fields, which is as long again, an object is as big as etcd takes one.
const LABELS: usize = 3800;

/// A start lists everything: one tenant's objects ended it again and again, and with it every revocation of the cluster.
async fn objects_as_big_as_can_be_do_not_outgrow_the_memory_limit(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("memory").await?;
    let client = &world.cluster.client;
    let bindings: Api<WorkloadIdentityBinding> = Api::namespaced(client.clone(), &namespace.name);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &namespace.name);
    let mut operator = world.operator.lock().await;
    operator.end(Signal::Terminate).await?;
    // Without the finalizer nothing needs the operator to go again.
    let made = stream::iter(0..OBJECTS).map(Ok).try_for_each_concurrent(8, |n| {
        let (bindings, accounts) = (&bindings, &accounts);
        async move {
            let binding = serde_json::from_value(big_binding(n))?;
            bindings.create(&PostParams::default(), &binding).await?;
            let account = serde_json::from_value(big_account(n))?;
            accounts.create(&PostParams::default(), &account).await?;
            Ok::<_, anyhow::Error>(())
        }
    });
    made.await.context("creating big objects")?;
    let size = size_of_one(&bindings).await?;
    ensure!(
        size > 1_000_000,
        "an object is {size} bytes, and was to be as big as can be"
    );

    operator.limit_data(Some(LIMIT));
    operator.run().await.context("starting it within its memory limit")?;
    namespace
        .bind(
            "orders",
            &json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }] }),
        )
        .await?;
    namespace.ready("orders").await?;
    let peak = peak_kib(operator.id()?)?;
    println!("at most {} MiB of {} were in use", peak / 1024, LIMIT >> 20);

    operator.limit_data(None);
    operator.restart(Signal::Terminate).await?;
    let all = (DeleteParams::default(), ListParams::default());
    bindings.delete_collection(&all.0, &all.1).await?;
    accounts.delete_collection(&all.0, &all.1).await?;
    Ok(())
}

fn labels() -> BTreeMap<String, String> {
    let long = "x".repeat(60);
    (0..LABELS)
        .map(|n| (format!("{long}.example.org/{n:050}"), long.clone()))
        .collect()
}

fn big_binding(n: usize) -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": format!("big-{n}"), "labels": labels() },
        "spec": { "identity": { "managed": {} }, "serviceAccounts": [{ "name": format!("big-{n}") }], "suspend": true },
    })
}

fn big_account(n: usize) -> Value {
    let mut labels = labels();
    labels.insert(keys::BOUND_BY_LABEL.to_owned(), "nobody".to_owned());
    json!({ "metadata": { "name": format!("big-{n}"), "labels": labels } })
}

async fn size_of_one(bindings: &Api<WorkloadIdentityBinding>) -> Result<usize> {
    let one: Vec<_> = bindings.list(&ListParams::default().limit(1)).await?.items;
    Ok(serde_json::to_string(&one)?.len())
}

/// The most memory that a process has had, in KiB.
fn peak_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.context("no VmHWM")?.trim().trim_end_matches(" kB");
    peak.parse().with_context(|| format!("reading {peak}"))
}
