//! Bindings as an operator leaves them that are Ready, in Kubernetes and in Azure, by the pattern of one that it made.

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;
use wio_api::keys;
use wio_azure_sim::{Identity, Snapshot};
use wio_core::names::{BindingName, CredentialPrefix, Namespace as NamespaceName, credential_name, identity_name};

use crate::measure::{Bench, binding};

const TEMPLATE: (&str, &str) = ("bench-template", "template");
const SEEDED_AT_ONCE: usize = 32;
pub(crate) const IN_A_NAMESPACE: usize = 100;

/// Writes bindings as an operator leaves them that are Ready.
pub(crate) struct Seeder<'b, 'w> {
    bench: &'b Bench<'w>,
    cluster: String,
    issuer: String,
    /// What the operator made of the template, as text: its status, its service account and its identity.
    status: String,
    account: String,
    identity: String,
    /// What stands in them that is the template's own, in the order of [`Seeder::own`].
    own: [String; 10],
}

/// A binding that is written.
struct Seed<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: String,
    account_uid: String,
    client_id: String,
    principal_id: String,
}

// === impl Seeder ===

impl<'b, 'w> Seeder<'b, 'w> {
    /// Has the operator make one, and keeps it as a template.
    pub(crate) async fn new(bench: &'b Bench<'w>) -> Result<Self> {
        let (namespace, name) = TEMPLATE;
        bench.world.cluster.namespace(namespace).await?;
        bench.time_to_ready(namespace, name).await?;
        let client = bench.world.cluster.client.clone();
        let made = bench
            .bindings(namespace)
            .get(name)
            .await
            .context("reading the template")?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let account = accounts
            .get(&format!("{name}-0"))
            .await
            .context("reading its service account")?;
        let system = Api::<Namespace>::all(client)
            .get("kube-system")
            .await
            .context("reading kube-system")?;
        let status = made.status.unwrap_or_default();
        let id = status.identity.as_ref().map(|identity| identity.resource_id.clone());
        let id = id.context("the template has no identity")?;
        let identity = bench.world.simulator.identity(&id).await?;
        let identity = identity.context("the template's identity is not in Azure")?;
        let mut seeder = Self {
            bench,
            cluster: system.metadata.uid.unwrap_or_default(),
            issuer: status.issuer.clone().unwrap_or_default(),
            status: serde_json::to_string(&status).context("the status of the template")?,
            account: json!({ "metadata": {
                "name": account.metadata.name,
                "labels": account.metadata.labels,
                "annotations": account.metadata.annotations,
            }})
            .to_string(),
            identity: serde_json::to_string(&identity).context("the identity of the template")?,
            own: Default::default(),
        };
        seeder.own = seeder.own(&Seed {
            namespace,
            name,
            uid: made.metadata.uid.unwrap_or_default(),
            account_uid: account.metadata.uid.unwrap_or_default(),
            client_id: identity.client_id.to_string(),
            principal_id: identity.principal_id.to_string(),
        })?;
        Ok(seeder)
    }

    /// The bench in which it writes.
    pub(crate) const fn bench(&self) -> &'b Bench<'w> {
        self.bench
    }

    /// Writes bindings with these numbers. The operator does not run.
    pub(crate) async fn bindings(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let simulator = &self.bench.world.simulator;
        let (first, end) = (numbers.start / IN_A_NAMESPACE, numbers.end.div_ceil(IN_A_NAMESPACE));
        for n in first..end {
            self.bench.world.cluster.namespace(&namespace_of(n)).await?;
        }
        let identities: Vec<Identity> = stream::iter(numbers)
            .map(|n| self.binding(namespace_of(n / IN_A_NAMESPACE), format!("binding-{n}")))
            .buffer_unordered(SEEDED_AT_ONCE)
            .try_collect()
            .await?;
        let mut snapshot: Snapshot = simulator.snapshot().await?;
        snapshot.identities.extend(identities);
        simulator.restore(&snapshot).await
    }

    /// Writes one into Kubernetes; returns its identity.
    async fn binding(&self, namespace: String, name: String) -> Result<Identity> {
        let bindings = self.bench.bindings(&namespace);
        let mut object = binding(&name, 1)?;
        object.metadata.finalizers = Some(vec![keys::FINALIZER.to_owned()]);
        let created = bindings
            .create(&PostParams::default(), &object)
            .await
            .context("creating a binding")?;
        let mut seed = Seed {
            namespace: &namespace,
            name: &name,
            uid: created.metadata.uid.unwrap_or_default(),
            account_uid: String::new(),
            client_id: Uuid::new_v4().to_string(),
            principal_id: Uuid::new_v4().to_string(),
        };
        let account: ServiceAccount = self.written(&self.account, &seed)?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.bench.world.cluster.client.clone(), &namespace);
        let account = accounts
            .create(&PostParams::default(), &account)
            .await
            .context("creating a service account")?;
        seed.account_uid = account.metadata.uid.unwrap_or_default();
        let status: Value = self.written(&self.status, &seed)?;
        let patch: Patch<Value> = Patch::Merge(json!({ "status": status }));
        bindings
            .patch_status(&name, &PatchParams::default(), &patch)
            .await
            .context("writing a status")?;
        self.written(&self.identity, &seed)
    }

    /// What the operator made of the template, with all that is the template's own replaced.
    fn written<T: DeserializeOwned>(&self, text: &str, seed: &Seed<'_>) -> Result<T> {
        let theirs = self.own(seed)?;
        let pairs = self.own.iter().zip(&theirs);
        let text = pairs.fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        serde_json::from_str(&text).with_context(|| format!("reading {text}"))
    }

    /// What is a binding's own: derived names before those that they contain.
    fn own(&self, seed: &Seed<'_>) -> Result<[String; 10]> {
        let (namespace, name) = (seed.namespace, seed.name);
        let account = format!("{name}-0");
        let cluster = self.cluster.parse()?;
        let (of, binding): (NamespaceName, BindingName) = (namespace.parse()?, name.parse()?);
        let prefix = CredentialPrefix::of(&cluster, &of, &binding);
        let credential = credential_name(&prefix, &account.parse()?, &self.issuer.parse()?);
        Ok([
            identity_name(&cluster, &of, &binding).to_string(),
            credential.to_string(),
            format!("system:serviceaccount:{namespace}:{account}"),
            seed.uid.clone(),
            seed.account_uid.clone(),
            seed.client_id.clone(),
            seed.principal_id.clone(),
            // In messages, tags and metadata.
            account,
            namespace.to_owned(),
            name.to_owned(),
        ])
    }

    /// Writes service accounts that nobody binds.
    pub(crate) async fn strangers(&self, count: usize) -> Result<()> {
        let namespace = "bench-strangers";
        self.bench.world.cluster.namespace(namespace).await?;
        let client = self.bench.world.cluster.client.clone();
        let accounts: Api<ServiceAccount> = Api::namespaced(client, namespace);
        stream::iter(0..count)
            .map(async |n| {
                let object: ServiceAccount =
                    serde_json::from_value(json!({ "metadata": { "name": format!("stranger-{n}") } }))?;
                accounts.create(&PostParams::default(), &object).await?;
                Ok(())
            })
            .buffer_unordered(SEEDED_AT_ONCE)
            .try_collect()
            .await
    }
}

fn namespace_of(n: usize) -> String {
    format!("bench-large-{n}")
}
