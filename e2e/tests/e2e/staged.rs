//! Faults that are staged one after the other: from what the plugin says alone a person has to find each. The page docs/troubleshooting.md lists them.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use wio_api::keys::CLIENT_ID_ANNOTATION;
use wio_api::{ConditionType, Reason};
use wio_azure_sim::{Fault, ResourceKind};
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::AUDIENCE;
use wio_e2e::paths::repository;
use wio_e2e::simulator::{PLATFORM_GROUP, Trusted, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::doctor::FAULTS;
use crate::harness::{Case, case};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case!(each_staged_fault_is_named_by_the_plugin),
        case!(the_page_lists_each_staged_fault),
    ]
}

/// The page, and the heading of its table.
const PAGE: &str = "docs/troubleshooting.md";

/// A fault that is staged.
struct Staged {
    /// What is wrong, as the page has it.
    fault: &'static str,
    /// The name of the binding, and of its service account and pod.
    name: &'static str,
    /// The command of `kubectl wib` that finds it, and what it says.
    command: &'static str,
    says: &'static str,
    stage: Stage,
}

/// How it is staged.
#[derive(Clone, Copy)]
enum Stage {
    PodWithoutLabel,
    PodBeforeBinding,
    PodWithClientId,
    PodWithTokenPath,
    PodLabelledLater,
    MissingIdentity,
    FullIdentity,
    HeldAccount,
    MissingAccount,
    Suspended,
    RefusedForALock,
    RefusedForRights,
    RefusedForAPolicy,
    Throttled,
    OtherIssuer,
}

const fn staged(fault: &'static str, name: &'static str, says: &'static str, stage: Stage) -> Staged {
    Staged {
        fault,
        name,
        command: "status",
        says,
        stage,
    }
}

const STAGED: [Staged; 15] = [
    staged(
        "the pod lacks the label",
        "unlabelled",
        "it lacks the label azure.workload.identity/use",
        Stage::PodWithoutLabel,
    ),
    staged(
        "the pod started before the service account was bound",
        "early",
        "it is older than the client id on its service account",
        Stage::PodBeforeBinding,
    ),
    staged(
        "the pod names another client id itself",
        "other-client",
        "container main has another client id, 00000000-0000-4000-8000-000000000001",
        Stage::PodWithClientId,
    ),
    staged(
        "the pod names the path of the token itself",
        "old-path",
        "looks for the token at /var/run/secrets/tokens/old, where no volume is",
        Stage::PodWithTokenPath,
    ),
    staged(
        "the label came after the pod",
        "label-later",
        "the webhook did not change it when it was created",
        Stage::PodLabelledLater,
    ),
    staged(
        "the existing identity is not there",
        "no-identity",
        "IdentityNotFound",
        Stage::MissingIdentity,
    ),
    staged(
        "the identity has no room for another credential",
        "full",
        "FederatedCredentialQuotaExceeded",
        Stage::FullIdentity,
    ),
    staged(
        "somebody else holds the annotation",
        "held",
        "ServiceAccountConflict",
        Stage::HeldAccount,
    ),
    staged(
        "the service account is not there, and is not to be created",
        "no-account",
        "ServiceAccountNotFound",
        Stage::MissingAccount,
    ),
    staged(
        "the binding is suspended",
        "suspended",
        "Next step: kubectl wib resume suspended -n staged",
        Stage::Suspended,
    ),
    staged(
        "a lock stands on the resource group",
        "locked",
        "ScopeLocked",
        Stage::RefusedForALock,
    ),
    staged(
        "the operator's role in Azure does not allow it",
        "no-right",
        "AuthorizationFailed",
        Stage::RefusedForRights,
    ),
    staged(
        "an Azure Policy forbids it",
        "forbidden",
        "DisallowedByPolicy",
        Stage::RefusedForAPolicy,
    ),
    staged("Azure throttles", "throttled", "Throttled", Stage::Throttled),
    Staged {
        command: "verify",
        ..staged(
            "the federated credential has another issuer",
            "other-issuer",
            "AADSTS700211: the issuer differs",
            Stage::OtherIssuer,
        )
    },
];

async fn stage(namespace: &Namespace<'_>, staged: &Staged) -> Result<()> {
    let name = staged.name;
    match staged.stage {
        Stage::PodWithoutLabel => pod_without_label(namespace, name).await,
        Stage::PodBeforeBinding => pod_before_binding(namespace, name).await,
        Stage::PodWithClientId => pod_with_client_id(namespace, name).await,
        Stage::PodWithTokenPath => pod_with_token_path(namespace, name).await,
        Stage::PodLabelledLater => pod_labelled_later(namespace, name).await,
        Stage::MissingIdentity => existing(namespace, name).await,
        Stage::FullIdentity => full_identity(namespace, name).await,
        Stage::HeldAccount => held_account(namespace, name).await,
        Stage::MissingAccount => missing_account(namespace, name).await,
        Stage::Suspended => suspended(namespace, name).await,
        Stage::RefusedForALock => refused(namespace, name, 409, "ScopeLocked").await,
        Stage::RefusedForRights => refused(namespace, name, 403, "AuthorizationFailed").await,
        Stage::RefusedForAPolicy => refused(namespace, name, 403, "RequestDisallowedByPolicy").await,
        Stage::Throttled => refused(namespace, name, 429, "TooManyRequests").await,
        Stage::OtherIssuer => other_issuer(namespace, name).await,
    }
}

async fn each_staged_fault_is_named_by_the_plugin(world: Arc<World>) -> Result<()> {
    let namespace = world.namespace("staged").await?;
    let all = STAGED.iter().map(async |staged| {
        stage(&namespace, staged).await.context(staged.fault)?;
        let named = async || -> Result<Option<()>> {
            let asked = [staged.command, staged.name, "--namespace", &namespace.name];
            let azure = world.simulator.variables();
            let told = world.cluster.kubectl.wib(&asked, None, &azure).await?;
            ensure!(told.out.contains(staged.says), "{}{}", told.out, told.err);
            Ok(Some(()))
        };
        until(staged.fault, DEADLINE, named).await
    });
    try_join_all(all).await?;
    // Else the doctor of the same world calls an operator ill whose role allows too little, and what Azure throttles
    // holds up the subscription's writes for all: other bindings say by turns that, and what is wrong with them.
    let delete = ["delete", "wib", "--all", "--timeout=60s"];
    namespace.kubectl(&delete).await.map(drop)
}

async fn the_page_lists_each_staged_fault(_: Arc<World>) -> Result<()> {
    let page = std::fs::read_to_string(repository().join(PAGE)).context(PAGE)?;
    for staged in &STAGED {
        let row = format!("| {} | `kubectl wib {}` | ", staged.fault, staged.command);
        ensure!(page.contains(&row), "{PAGE} has no row that begins with {row:?}");
    }
    for staged in &FAULTS {
        let row = format!("| {} | `kubectl wib doctor` | `{}", staged.wrong, staged.says);
        ensure!(page.contains(&row), "{PAGE} has no row that begins with {row:?}");
    }
    Ok(())
}

fn managed(account: &str) -> Value {
    json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": account }] })
}

/// A pod that asks for a token, or not, with variables of its own.
async fn pod(namespace: &Namespace<'_>, name: &str, labelled: bool, env: &Value) -> Result<()> {
    let labels = if labelled {
        json!({ "azure.workload.identity/use": "true" })
    } else {
        json!({})
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace.name, "labels": labels },
        "spec": {
            "serviceAccountName": name,
            "containers": [{ "name": "main", "image": "registry.example/app:1", "env": env }],
        },
    });
    namespace.apply(&pod).await
}

async fn ready(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    namespace.bind(name, &managed(name)).await?;
    namespace.ready(name).await
}

async fn pod_without_label(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    ready(namespace, name).await?;
    pod(namespace, name, false, &json!([])).await
}

async fn pod_before_binding(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    namespace.kubectl(&["create", "serviceaccount", name]).await?;
    pod(namespace, name, true, &json!([])).await?;
    ready(namespace, name).await
}

async fn pod_with_client_id(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    ready(namespace, name).await?;
    let env = json!([{ "name": "AZURE_CLIENT_ID", "value": "00000000-0000-4000-8000-000000000001" }]);
    pod(namespace, name, true, &env).await
}

async fn pod_with_token_path(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    ready(namespace, name).await?;
    let env = json!([{ "name": "AZURE_FEDERATED_TOKEN_FILE", "value": "/var/run/secrets/tokens/old" }]);
    pod(namespace, name, true, &env).await
}

async fn pod_labelled_later(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    ready(namespace, name).await?;
    pod(namespace, name, false, &json!([])).await?;
    let label = "azure.workload.identity/use=true";
    namespace.kubectl(&["label", "pod", name, label]).await.map(drop)
}

async fn existing(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let id = identity_id(PLATFORM_GROUP, &format!("staged-{name}"));
    let spec = json!({ "identity": { "existing": { "resourceId": id } }, "serviceAccounts": [{ "name": name }] });
    namespace.bind(name, &spec).await
}

async fn full_identity(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let simulator = &namespace.world().simulator;
    let id = identity_id(PLATFORM_GROUP, &format!("staged-{name}"));
    simulator.put_identity(&id).await?;
    for number in 0..20 {
        let subject = format!("system:serviceaccount:elsewhere:{number}");
        let trusted = Trusted {
            issuer: "https://elsewhere.example/",
            subject: &subject,
            audience: AUDIENCE,
        };
        simulator
            .put_credential(&id, &format!("credential-{number}"), trusted)
            .await?;
    }
    existing(namespace, name).await
}

async fn held_account(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    namespace.kubectl(&["create", "serviceaccount", name]).await?;
    let claim = format!("{CLIENT_ID_ANNOTATION}=00000000-0000-4000-8000-000000000001");
    namespace.annotate(name, &[&claim]).await?;
    namespace.bind(name, &managed(name)).await
}

async fn missing_account(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    let spec = json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": name, "create": false }] });
    namespace.bind(name, &spec).await
}

async fn suspended(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    ready(namespace, name).await?;
    namespace.wib(&["suspend", name], None).await.map(drop)
}

/// Somebody edits the credential, and nobody puts it back.
async fn other_issuer(namespace: &Namespace<'_>, name: &str) -> Result<()> {
    ready(namespace, name).await?;
    namespace.wib(&["suspend", name], None).await?;
    // A reconcile that began before takes what is edited away, and none puts it back.
    namespace
        .condition(name, ConditionType::Ready, "True", Reason::Suspended)
        .await?;
    let identity = namespace.identity(name).await?;
    let status = namespace.binding(name).await?.status.unwrap_or_default();
    let credential = status.federated_credentials.first().context("no credential")?;
    let trusted = Trusted {
        issuer: "https://elsewhere.example/",
        subject: &credential.subject,
        audience: AUDIENCE,
    };
    let simulator = &namespace.world().simulator;
    simulator
        .put_credential(&identity.resource_id, &credential.name, trusted)
        .await
}

/// Has Azure answer each write of the binding's identity so.
async fn refused(namespace: &Namespace<'_>, name: &str, status: u16, code: &str) -> Result<()> {
    let path = format!("/wib-{}-{name}-", namespace.name);
    let fault = Fault::on("PUT")
        .kind(ResourceKind::Identity)
        .path(&path)
        .respond(status, code);
    namespace.world().simulator.inject(&fault.times(1000)).await?;
    namespace.bind(name, &managed(name)).await
}
