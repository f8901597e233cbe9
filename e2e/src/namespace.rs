//! A namespace, and what a person does in it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use wio_api::keys::RECONCILE_AT_ANNOTATION;
use wio_api::{Condition, ConditionType, IdentityStatus, Reason, WorkloadIdentityBinding};

use crate::pods;
use crate::process::Ended;
use crate::wait::until;
use crate::workload::{self, SignIn};
use crate::world::World;

/// Longer than any pause that the operator makes after its first failures.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// How the API server says that the rules of `config/admission` refuse something.
pub const REFUSED: &str = "ValidatingAdmissionPolicy 'workload-identity-operator'";

/// A namespace of the cluster under test.
pub struct Namespace<'w> {
    world: &'w World,
    /// Its name.
    pub name: String,
}

// === impl Namespace ===

/// The identity that a status names, with the ids that Azure gave it.
#[derive(Clone, Debug)]
pub struct KnownIdentity {
    /// Its resource id.
    pub resource_id: String,
    /// Its name.
    pub name: String,
    /// Its client id.
    pub client_id: String,
    /// Its principal id.
    pub principal_id: String,
    /// Its tenant.
    pub tenant_id: String,
}

impl KnownIdentity {
    fn of(status: IdentityStatus) -> Option<Self> {
        Some(Self {
            resource_id: status.resource_id,
            name: status.name,
            client_id: status.client_id?,
            principal_id: status.principal_id?,
            tenant_id: status.tenant_id?,
        })
    }
}

impl<'w> Namespace<'w> {
    /// A namespace that exists.
    #[must_use]
    pub fn new(world: &'w World, name: &str) -> Self {
        Self {
            world,
            name: name.to_owned(),
        }
    }

    /// Runs kubectl in it.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let namespace = format!("--namespace={}", self.name);
        self.world
            .cluster
            .kubectl
            .run(&[arguments, &[namespace.as_str()]].concat())
            .await
    }

    /// The world that it is in.
    #[must_use]
    pub const fn world(&self) -> &'w World {
        self.world
    }

    /// Applies an object.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        self.world.cluster.kubectl.apply(&object.to_string()).await.map(drop)
    }

    /// Runs `kubectl wib` in it, with a manifest as its input.
    pub async fn wib(&self, arguments: &[&str], input: Option<&Value>) -> Result<Ended> {
        let namespace = format!("--namespace={}", self.name);
        let input = input.map(Value::to_string);
        let kubectl = &self.world.cluster.kubectl;
        kubectl
            .wib(&[arguments, &[namespace.as_str()]].concat(), input.as_deref(), &[])
            .await
    }

    // === Bindings ===

    /// Applies a binding. What admission refuses is tried again, because the policy that permits it may have been applied a
    /// moment ago.
    pub async fn bind(&self, name: &str, spec: &Value) -> Result<()> {
        self.bind_all([(name.to_owned(), spec.clone())]).await
    }

    /// Applies several bindings in one go, as `bind` does.
    pub async fn bind_all(&self, bindings: impl IntoIterator<Item = (String, Value)>) -> Result<()> {
        let manifest = |(name, spec): (String, Value)| {
            json!({
                "apiVersion": "workloadidentity.dev/v1alpha1",
                "kind": "WorkloadIdentityBinding",
                "metadata": { "name": name, "namespace": self.name },
                "spec": spec,
            })
        };
        let items: Vec<Value> = bindings.into_iter().map(manifest).collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        until("bindings to be admitted", DEADLINE, async || {
            match self.world.cluster.kubectl.apply(&list.to_string()).await {
                Ok(_) => Ok(Some(Ok(()))),
                Err(error) if format!("{error:#}").contains(REFUSED) => Err(error),
                Err(error) => Ok(Some(Err(error))),
            }
        })
        .await?
    }

    /// Tries to write a binding, as `kubectl apply --server-side --dry-run=server` would. A refusal is its message.
    pub async fn try_to_bind(&self, name: &str, spec: &Value) -> Result<Result<(), String>> {
        let object = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": name },
            "spec": spec,
        });
        let tried = PatchParams {
            dry_run: true,
            ..PatchParams::apply("e2e-administrator").force()
        };
        match self.bindings().patch(name, &tried, &Patch::Apply(object)).await {
            Ok(_) => Ok(Ok(())),
            Err(kube::Error::Api(refusal)) if [403, 422].contains(&refusal.code) => Ok(Err(refusal.message.clone())),
            Err(error) => Err(error).context("trying to write a binding"),
        }
    }

    /// Waits by `kubectl wait` until a binding is Ready.
    pub async fn ready(&self, name: &str) -> Result<()> {
        self.wait_ready(&[&format!("wib/{name}")]).await
    }

    /// Waits by `kubectl wait` until all bindings of the namespace are Ready.
    pub async fn all_ready(&self) -> Result<()> {
        self.wait_ready(&["wib", "--all"]).await
    }

    async fn wait_ready(&self, which: &[&str]) -> Result<()> {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        let waited = self
            .kubectl(&[&["wait", "--for=condition=Ready", &timeout], which].concat())
            .await;
        if let Err(error) = waited {
            let shown = self.kubectl(&["get", "wib", "--output=wide"]).await;
            bail!("{error:#}\n{}", shown.unwrap_or_else(|error| format!("{error:#}")));
        }
        Ok(())
    }

    /// A binding, as the API server has it.
    pub async fn binding(&self, name: &str) -> Result<WorkloadIdentityBinding> {
        let found = self.find_binding(name).await?;
        found.with_context(|| format!("there is no binding {}/{name}", self.name))
    }

    /// A binding, if it exists.
    pub async fn find_binding(&self, name: &str) -> Result<Option<WorkloadIdentityBinding>> {
        self.bindings().get_opt(name).await.context("reading a binding")
    }

    /// What the status of a binding says of its identity.
    pub async fn identity(&self, name: &str) -> Result<KnownIdentity> {
        let status = self.binding(name).await?.status.unwrap_or_default();
        status
            .identity
            .and_then(KnownIdentity::of)
            .with_context(|| format!("the status of {name} names no identity with its ids"))
    }

    /// Waits until a condition of a binding has this status and reason. Returns its message.
    pub async fn condition(&self, name: &str, kind: ConditionType, status: &str, reason: Reason) -> Result<String> {
        let what = format!("{kind}={status} with reason {reason} on {name}");
        until(&what, DEADLINE, async || {
            let conditions = self.binding(name).await?.status.unwrap_or_default().conditions;
            let found: Option<&Condition> = conditions.iter().find(|condition| condition.type_ == kind.as_str());
            let is = found.is_some_and(|it| it.status == status && it.reason == reason.as_str());
            ensure!(is, "the conditions are {conditions:#?}");
            Ok(found.map(|it| it.message.clone()))
        })
        .await
    }

    /// Waits until an Event of a binding has this reason. Returns its note.
    pub async fn event(&self, binding: &str, reason: Reason) -> Result<String> {
        let events: Api<Event> = Api::namespaced(self.world.cluster.client.clone(), &self.name);
        until(&format!("an event {reason} of {binding}"), DEADLINE, async || {
            let all = events.list(&ListParams::default()).await.context("reading events")?;
            let found = all.into_iter().find(|event| {
                let regarding = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
                regarding == Some(binding) && event.reason.as_deref() == Some(reason.as_str())
            });
            Ok(found.map(|event| event.note.unwrap_or_default()))
        })
        .await
    }

    /// Deletes a binding and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        self.kubectl(&["delete", &format!("wib/{name}"), &timeout])
            .await
            .map(drop)
    }

    /// Waits until a binding, whose deletion was asked for, is gone.
    pub async fn gone(&self, name: &str) -> Result<()> {
        until(&format!("{name} to be gone"), DEADLINE, async || {
            let left = self.find_binding(name).await?;
            Ok(left.is_none().then_some(()))
        })
        .await
    }

    /// Has the operator look at a binding and everything of it once more, and waits until it did. Each time takes another word.
    pub async fn looked_at(&self, name: &str, word: &str) -> Result<()> {
        let asked = format!("{RECONCILE_AT_ANNOTATION}={word}");
        self.kubectl(&["annotate", "--overwrite", &format!("wib/{name}"), &asked])
            .await?;
        until("the operator to look", DEADLINE, async || {
            let status = self.binding(name).await?.status.unwrap_or_default();
            Ok((status.last_handled_reconcile_at.as_deref() == Some(word)).then_some(()))
        })
        .await
    }

    fn bindings(&self) -> Api<WorkloadIdentityBinding> {
        Api::namespaced(self.world.cluster.client.clone(), &self.name)
    }

    // === Service accounts and pods ===

    /// A service account, if it exists.
    pub async fn service_account(&self, name: &str) -> Result<Option<ServiceAccount>> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.world.cluster.client.clone(), &self.name);
        accounts.get_opt(name).await.context("reading a service account")
    }

    /// An annotation of a service account, if both exist.
    pub async fn annotation(&self, service_account: &str, key: &str) -> Result<Option<String>> {
        let account = self.service_account(service_account).await?;
        Ok(account.and_then(|account| account.metadata.annotations?.remove(key)))
    }

    /// Sets annotations of a service account by hand: `KEY=VALUE`, or `KEY-` to remove one.
    pub async fn annotate(&self, service_account: &str, annotations: &[&str]) -> Result<()> {
        let object = format!("serviceaccount/{service_account}");
        self.kubectl(&[&["annotate", "--overwrite", &object], annotations].concat())
            .await
            .map(drop)
    }

    /// Creates a pod of a service account, which passes through the real webhook, and returns it as that left it.
    pub async fn pod(&self, name: &str, service_account: &str) -> Result<Pod> {
        pods::create(&self.world.cluster.client, &self.name, name, service_account).await
    }

    /// Lets the application of a pod ask for an access token.
    pub async fn sign_in(&self, pod: &Pod) -> Result<SignIn> {
        let World {
            cluster,
            simulator,
            scratch,
            ..
        } = self.world;
        workload::sign_in(scratch, &cluster.client, pod, simulator.authority()).await
    }
}
