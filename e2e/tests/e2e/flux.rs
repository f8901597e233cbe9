//! Bindings, policies and the operator itself from Git, by Flux's real kustomize-controller. What is said here of what Flux does, docs/gitops.md
//! says to people.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::ConditionType;
use wio_e2e::audit::{AuditEvent, AuditLog, Mark};
use wio_e2e::flux::{self, Flux, Kustomization, Repository, Source};
use wio_e2e::namespace::Namespace;
use wio_e2e::operator::USER;
use wio_e2e::world::World;

use crate::harness::Case;

mod accounts;
mod bindings;
mod failing;
mod operator;
mod policies;
mod restarts;

pub(crate) fn cases() -> Vec<Case> {
    let all = [
        operator::cases(),
        bindings::cases(),
        failing::cases(),
        accounts::cases(),
        policies::cases(),
        restarts::cases(),
    ];
    // They count the writes of both sides.
    all.into_iter().flatten().map(Case::on_own_cluster).collect()
}

/// Where a site's namespace and its binding lie.
const NAMESPACE: &str = "namespace.yaml";
const BINDING: &str = "binding.yaml";

/// What one test has of Flux: a repository with a namespace in it, and a Kustomization of all of it, each of the same name.
struct Site<'w> {
    flux: &'w Flux,
    audit: &'w AuditLog,
    /// Flux makes it.
    namespace: Namespace<'w>,
    repository: Repository<'w>,
    kustomization: Kustomization<'w>,
}

/// What the operator writes of a binding `app`, and what of its service account.
const FINALIZER_WRITE: &str = "patch workloadidentitybindings app";
const STATUS_WRITE: &str = "patch workloadidentitybindings/status app";
const ACCOUNT_WRITE: &str = "patch serviceaccounts app";
/// What Flux writes of the binding.
const BINDING_WRITE: &str = FINALIZER_WRITE;

/// What was written to one namespace and to what is the cluster's and has its name, how often each, but Events: `patch serviceaccounts orders`.
#[derive(Debug, Default)]
struct Writes {
    ours: BTreeMap<String, usize>,
    flux: BTreeMap<String, usize>,
}

// === impl Site ===

impl<'w> Site<'w> {
    async fn new(world: &'w Arc<World>, name: &str) -> Result<Self> {
        Self::from(Source::Git, world, name).await
    }

    async fn from(source: Source, world: &'w Arc<World>, name: &str) -> Result<Self> {
        let flux = world.flux().await?;
        let mut repository = flux.source(source, name);
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        repository.put(NAMESPACE, &namespace);
        Ok(Self {
            flux,
            audit: world.cluster.audit()?,
            namespace: Namespace::new(world, name),
            repository,
            kustomization: flux.existing(name),
        })
    }

    /// Commits what the repository holds, and makes the Kustomization with this beside what all have. Returns the revision.
    async fn begin(&mut self, spec: Value) -> Result<String> {
        let revision = self.repository.commit().await?;
        let name = self.repository.name().to_owned();
        self.flux.kustomization(&self.repository, &name, spec).await?;
        Ok(revision)
    }

    /// The same, until all of it is healthy.
    async fn begin_well(&mut self) -> Result<()> {
        let revision = self.begin(json!({})).await?;
        self.kustomization.applied(&revision).await
    }

    /// Commits, and waits until all of it is healthy.
    async fn commit_well(&mut self) -> Result<()> {
        let revision = self.repository.commit().await?;
        self.kustomization.applied(&revision).await
    }

    /// Writes the binding `app` into the repository.
    fn put_binding(&mut self, spec: &Value) {
        let name = self.repository.name().to_owned();
        self.repository.put(BINDING, &binding(&name, spec));
    }

    /// Writes a service account `app` into the repository.
    fn put_account(&mut self, annotations: &Value) {
        let name = self.repository.name().to_owned();
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": "app", "namespace": name, "annotations": annotations },
        });
        self.repository.put("account.yaml", &account);
    }

    /// What the binding's Ready says now, without waiting.
    async fn says(&self) -> Result<(String, String, String)> {
        let conditions = self
            .namespace
            .binding("app")
            .await?
            .status
            .unwrap_or_default()
            .conditions;
        let ready = conditions.iter().find(|it| it.type_ == ConditionType::Ready.as_str());
        let ready = ready.with_context(|| format!("the conditions are {conditions:#?}"))?;
        Ok((ready.status.clone(), ready.reason.clone(), ready.message.clone()))
    }

    /// The binding must be Ready now, because Flux said that all is well.
    async fn must_be_ready(&self) -> Result<()> {
        let says = self.says().await?;
        ensure!(says.0 == "True", "{says:?}");
        Ok(())
    }

    fn mark(&self) -> Result<Mark> {
        self.audit.mark()
    }

    /// What was written to the namespace since then.
    fn writes(&self, mark: Mark) -> Result<Writes> {
        writes(self.audit, &self.namespace.name, mark)
    }
}

fn binding(namespace: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": "app", "namespace": namespace },
        "spec": spec,
    })
}

/// A binding of service account `app` to an identity of its own.
fn managed() -> Value {
    json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "app" }] })
}

/// The same with another value of one field.
fn with(mut spec: Value, field: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut spec {
        fields.insert(field.to_owned(), value);
    }
    spec
}

/// A binding of service account `app`, which somebody else makes, to an identity of its own.
fn of_their_account(conflict_policy: &str) -> Value {
    json!({
        "identity": { "managed": {} },
        "serviceAccounts": [{ "name": "app", "create": false, "conflictPolicy": conflict_policy }],
    })
}

/// A binding of service account `app` to an identity that exists, or should.
fn existing(resource_id: &str) -> Value {
    json!({ "identity": { "existing": { "resourceId": resource_id } }, "serviceAccounts": [{ "name": "app" }] })
}

fn writes(audit: &AuditLog, namespace: &str, mark: Mark) -> Result<Writes> {
    let mut writes = Writes::default();
    let is_there =
        |event: &AuditEvent| event.namespace == namespace || (event.namespace.is_empty() && event.name == namespace);
    for event in audit.since(mark)? {
        // What Flux says of itself is none of it.
        let of_theirs = event.resource != "events" && !event.group.ends_with("fluxcd.io");
        let counts = is_there(&event) && event.writes() && !event.is_dry_run() && of_theirs;
        let side = match event.user.as_str() {
            USER => &mut writes.ours,
            flux::USER => &mut writes.flux,
            _ => continue,
        };
        if counts {
            let what = match event.subresource.as_str() {
                "" => event.resource,
                subresource => format!("{}/{subresource}", event.resource),
            };
            let refused = if event.code < 300 {
                String::new()
            } else {
                format!(": {}", event.code)
            };
            *side
                .entry(format!("{} {what} {}{refused}", event.verb, event.name))
                .or_default() += 1;
        }
    }
    Ok(writes)
}

// === impl Writes ===

impl Writes {
    /// These writes of ours and no others, each so often; and these of Flux's, each once.
    fn must_be(&self, ours: &[(&str, RangeInclusive<usize>)], flux: &[&str]) -> Result<()> {
        let allowed = |what: &str| ours.iter().find(|(named, _)| *named == what).map(|(_, times)| times);
        let more = self
            .ours
            .iter()
            .any(|(what, times)| allowed(what).is_none_or(|it| !it.contains(times)));
        let less = ours
            .iter()
            .any(|(what, times)| *times.start() > 0 && !self.ours.contains_key(*what));
        ensure!(!more && !less, "{:#?} instead of {ours:#?}", self.ours);
        each_once(&self.flux, flux)
    }
}

/// Exactly these writes, each once.
fn each_once(writes: &BTreeMap<String, usize>, expected: &[&str]) -> Result<()> {
    let expected: BTreeMap<String, usize> = expected.iter().map(|what| ((*what).to_owned(), 1)).collect();
    ensure!(*writes == expected, "{writes:#?} instead of {expected:#?}");
    Ok(())
}
