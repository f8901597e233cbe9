//! What is stored when the custom resource definitions become those of another version, and ours again.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wio_api::keys::RECONCILE_AT_ANNOTATION;
use wio_azure_sim::ResourceKind;
use wio_e2e::audit::{AuditEvent, AuditLog, Mark};
use wio_e2e::cluster::POLICIES_CRD;
use wio_e2e::namespace::{DEADLINE, Namespace};
use wio_e2e::operator::USER;
use wio_e2e::paths::repository;
use wio_e2e::simulator::{OTHER_GROUP, identity_id};
use wio_e2e::wait::until;
use wio_e2e::world::World;

use crate::harness::{Case, case};

const BINDINGS_CRD: &str = "workloadidentitybindings.workloadidentity.dev";

/// Of the namespace and of the policy.
const NAME: &str = "definitions";

pub(crate) fn cases() -> Vec<Case> {
    // All bindings are of these definitions.
    vec![
        case!(what_is_stored_stays_while_the_definitions_become_newer_and_older_and_ours_again)
            .alone()
            .on_own_cluster(),
    ]
}

/// A version of both definitions.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Of `config/crd`.
    Ours,
    /// With a field more in each spec and status.
    Newer,
    /// Without what came last: `spec.suspend` and `lastHandledReconcileAt` of bindings, the whole status of policies.
    Older,
}

// === impl Form ===

impl Form {
    fn of(self, mut definition: Value) -> Result<Value> {
        let of_policies = definition
            .pointer("/metadata/name")
            .is_some_and(|name| name == POLICIES_CRD);
        let version = definition.pointer_mut("/spec/versions/0").context("no version")?;
        match self {
            Self::Ours => {}
            Self::Newer => {
                for part in ["spec", "status"] {
                    let fields = object(
                        version,
                        &format!("/schema/openAPIV3Schema/properties/{part}/properties"),
                    )?;
                    fields.insert("later".to_owned(), json!({ "type": "string" }));
                }
            }
            Self::Older if of_policies => {
                object(version, "")?
                    .remove("subresources")
                    .context("policies have no status")?;
                object(version, "/schema/openAPIV3Schema/properties")?.remove("status");
            }
            Self::Older => {
                let fields = "/schema/openAPIV3Schema/properties";
                for (part, field) in [("spec", "suspend"), ("status", "lastHandledReconcileAt")] {
                    let fields = object(version, &format!("{fields}/{part}/properties"))?;
                    fields
                        .remove(field)
                        .with_context(|| format!("there is no {part}.{field}"))?;
                }
            }
        }
        Ok(definition)
    }

    /// Applies both definitions, as an upgrade or a way back does.
    async fn apply(self, world: &World) -> Result<()> {
        for name in [BINDINGS_CRD, POLICIES_CRD] {
            let (kind, group) = name.split_once('.').context("a name without a group")?;
            let path = repository().join(format!("config/crd/{group}_{kind}.yaml"));
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let definition = self.of(serde_yaml_ng::from_str(&text)?)?;
            world.cluster.kubectl.apply(&definition.to_string()).await?;
        }
        Ok(())
    }
}

fn object<'v>(within: &'v mut Value, pointer: &str) -> Result<&'v mut serde_json::Map<String, Value>> {
    let found = within.pointer_mut(pointer).and_then(Value::as_object_mut);
    found.with_context(|| format!("there is no {pointer}"))
}

/// One binding and one policy, and who looks at them.
struct Stored<'w> {
    world: &'w World,
    namespace: Namespace<'w>,
    audit: &'w AuditLog,
    identity: String,
}

// === impl Stored ===

impl<'w> Stored<'w> {
    /// Makes them, and waits until the operator has nothing more to do.
    async fn make(world: &'w World) -> Result<Self> {
        let namespace = world.namespace(NAME).await?;
        let policy = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": NAME },
            "spec": { "namespaces": { "names": [NAME] }, "existingIdentities": [identity_id(OTHER_GROUP, NAME)] },
        });
        let kubectl = &world.cluster.kubectl;
        kubectl.apply(&policy.to_string()).await?;
        let spec =
            json!({ "identity": { "managed": {} }, "serviceAccounts": [{ "name": "orders" }], "suspend": false });
        namespace.bind("orders", &spec).await?;
        namespace.ready("orders").await?;
        let ready = format!("wip/{NAME}");
        kubectl
            .run(&["wait", "--for=condition=Ready", &ready, "--timeout=60s"])
            .await?;
        // What an older definition does not know is to be there.
        let asked = format!("{RECONCILE_AT_ANNOTATION}=once");
        namespace.kubectl(&["annotate", "wib/orders", &asked]).await?;
        let stored = Self {
            world,
            audit: world.cluster.audit()?,
            identity: namespace.identity("orders").await?.name,
            namespace,
        };
        let handled = "/status/lastHandledReconcileAt";
        let is = |binding: &Value, _: &Value| binding.pointer(handled).is_some();
        stored.shown("what was asked for to be done", is).await?;
        Ok(stored)
    }

    /// Both as anybody reads them.
    async fn read(&self) -> Result<(Value, Value)> {
        let kubectl = &self.world.cluster.kubectl;
        let place = format!("--namespace={}", self.namespace.name);
        Ok((
            kubectl.get(&["wib", "orders", &place]).await?,
            kubectl.get(&["wip", NAME]).await?,
        ))
    }

    /// Waits until the API server shows both objects so.
    async fn shown(&self, what: &str, is: impl Fn(&Value, &Value) -> bool) -> Result<()> {
        until(what, DEADLINE, async || {
            let (binding, policy) = self.read().await?;
            Ok(is(&binding, &policy).then_some(()))
        })
        .await
    }

    /// Applies the definitions of another version, waits until the operator listed all anew and looked at Azure for the binding, and returns
    /// what it wrote or tried to write meanwhile.
    async fn under(&self, form: Form) -> Result<Vec<AuditEvent>> {
        let mark = self.audit.mark()?;
        form.apply(self.world).await?;
        for kind in ["workloadidentitybindings", "workloadidentitypolicies"] {
            until(&format!("the operator to watch {kind} again"), DEADLINE, async || {
                let events = self.audit.since(mark)?;
                let again =
                    |it: &AuditEvent| (&*it.user, &*it.resource, &*it.verb, it.code) == (USER, kind, "watch", 200);
                Ok(events.iter().any(again).then_some(()))
            })
            .await?;
        }
        self.looked_at().await?;
        self.written(mark)
    }

    /// Waits until the operator looked at Azure for the binding once more.
    async fn looked_at(&self) -> Result<()> {
        let requests = async || self.world.simulator.requests_about(&self.identity).await;
        let before = requests().await?.len();
        until("Azure to be looked at", DEADLINE, async || {
            // It reads the credentials last, and decides then: so the first of the next look.
            let since = requests().await?.split_off(before);
            let looks = since
                .iter()
                .filter(|it| it.kind == ResourceKind::Identity && it.method == "GET");
            Ok((looks.count() >= 2).then_some(()))
        })
        .await
    }

    /// What the operator wrote or tried to write since then: in the namespace, and of its own kinds what all share.
    fn written(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let mut events = self.audit.since(mark)?;
        events.retain(|it| {
            let shared = it.group == "workloadidentity.dev" && it.namespace.is_empty();
            it.user == USER && it.writes() && (it.namespace == self.namespace.name || shared)
        });
        Ok(events)
    }
}

fn version(object: &Value) -> Option<&Value> {
    object.pointer("/metadata/resourceVersion")
}

async fn what_is_stored_stays_while_the_definitions_become_newer_and_older_and_ours_again(
    world: Arc<World>,
) -> Result<()> {
    let stored = Stored::make(&world).await?;

    // The definitions of an upgrade come before its operator, and somebody writes what it does not know yet.
    let mark = stored.audit.mark()?;
    Form::Newer.apply(&world).await?;
    let later = r#"--patch={"spec":{"later":"kept"}}"#;
    let has_later = |it: &Value| it.pointer("/spec/later").is_some_and(|later| later == "kept");
    let is_seen = |it: &Value| it.pointer("/status/observedGeneration") == it.pointer("/metadata/generation");
    until("the newer field to be taken", DEADLINE, async || {
        let kubectl = &world.cluster.kubectl;
        kubectl.run(&["patch", "wip", NAME, "--type=merge", later]).await?;
        let orders = ["patch", "wib", "orders", "--type=merge", later];
        stored.namespace.kubectl(&orders).await?;
        let (binding, policy) = stored.read().await?;
        Ok((has_later(&binding) && has_later(&policy)).then_some(()))
    })
    .await?;
    let is = |binding: &Value, policy: &Value| is_seen(binding) && is_seen(policy);
    stored.shown("the operator to see the new generations", is).await?;
    let written = stored.written(mark)?;
    let seen: Vec<(&str, &str)> = written.iter().map(|it| (&*it.name, &*it.subresource)).collect();
    ensure!(
        seen.len() == 2
            && [("orders", "status"), (NAME, "status")]
                .iter()
                .all(|it| seen.contains(it)),
        "{written:#?}"
    );

    // And back: the field that these do not have is not shown, and nothing is lost as long as nobody writes.
    let (binding, policy) = stored.read().await?;
    let written = stored.under(Form::Ours).await?;
    ensure!(written.is_empty(), "{written:#?}");
    let (now, policy_now) = stored.read().await?;
    ensure!(!has_later(&now) && !has_later(&policy_now), "{now:#} {policy_now:#}");
    ensure!(
        version(&now) == version(&binding) && version(&policy_now) == version(&policy),
        "{now:#} {policy_now:#}"
    );
    stored.namespace.ready("orders").await?;

    // Definitions that are older than the operator, as for the moment of a way back: the status of which they lack a part stays as it was.
    let written = stored.under(Form::Older).await?;
    let taken: Vec<&AuditEvent> = written.iter().filter(|it| it.code < 400).collect();
    ensure!(taken.is_empty(), "{taken:#?}");
    stored.namespace.ready("orders").await?;
    let (now, policy_now) = stored.read().await?;
    ensure!(
        now.pointer("/status/lastHandledReconcileAt").is_none() && policy_now.pointer("/status").is_none(),
        "{now:#} {policy_now:#}"
    );

    // The upgrade is made again. What was refused may be tried once more, and changes nothing.
    stored.under(Form::Newer).await?;
    let (now, policy) = stored.read().await?;
    ensure!(now == binding, "{now:#} instead of {binding:#}");
    ensure!(has_later(&policy) && is_seen(&policy), "{policy:#}");

    Form::Ours.apply(&world).await?;
    let is = |binding: &Value, policy: &Value| !has_later(binding) && !has_later(policy);
    stored.shown("our definitions", is).await
}
