//! The abuse suite against admission alone: what the API server answers to the attacker, as a dry run, so that the operator never sees
//! it. See `crates/testkit/src/abuse`.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::discovery::ApiResource;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use wio_api::{WorkloadIdentityBinding, keys};
use wio_testkit::abuse::{AtAdmission, Binding, Case, Edit, Step, group_id};

use crate::cluster::{Cluster, MADE_HERE};
use crate::control_plane::client_as;
use crate::namespace::DEADLINE;
use crate::wait::until;

/// Who attacks: somebody with ClusterRole `edit` in the namespaces of the cases, and nothing else.
const TENANT: &str = "abuse-tenant";
/// The label of the suite's policies and namespaces.
const SUITE: &str = "workloadidentity.dev/abuse";
/// Its policy is written last: what admission knows it by, it knows all the others by.
const LAST: &str = "abuse-last";
const AT_ONCE: usize = 16;
/// Of a crowd, each member is asked the same, so a few are enough.
const OF_MANY: usize = 3;

/// What the API server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It takes it.
    Admitted,
    /// The schema of the custom resource refuses it.
    Schema(String),
    /// The ValidatingAdmissionPolicy refuses it.
    Policy(String),
    /// The attacker may not do so at all.
    Rights(String),
}

/// The cluster with everything that the cases need.
pub struct Suite<'c> {
    cluster: &'c Cluster,
    tenant: Client,
}

// === impl Answer ===

impl Answer {
    /// Whether it is the answer that a case expects.
    #[must_use]
    pub fn is(&self, expected: &AtAdmission) -> bool {
        match (self, expected) {
            (Self::Admitted, AtAdmission::Unseen(_)) => true,
            (Self::Schema(message), AtAdmission::Schema(part))
            | (Self::Policy(message), AtAdmission::Policy(part))
            | (Self::Rights(message), AtAdmission::Rights(part)) => message.contains(part),
            _ => false,
        }
    }

    /// In a word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Admitted => "unseen",
            Self::Schema(_) => "refused by the schema",
            Self::Policy(_) => "refused by the policy",
            Self::Rights(_) => "refused by RBAC",
        }
    }

    fn of(refusal: &kube::core::Status) -> Result<Self> {
        let message = refusal.message.clone();
        Ok(match refusal.code {
            _ if message.contains("ValidatingAdmissionPolicy") => Self::Policy(message),
            403 => Self::Rights(message),
            // Too long for the API server, or for the schema.
            400 | 413 | 422 => Self::Schema(message),
            // It exists, or it does not because it was only tried; all else was taken.
            404 | 409 => Self::Admitted,
            _ => bail!("{} {}: {message}", refusal.code, refusal.reason),
        })
    }
}

// === impl Suite ===

impl<'c> Suite<'c> {
    /// Makes the namespaces, the tenant's rights, and all policies of all cases, and waits until admission knows them.
    pub async fn prepare(cluster: &'c Cluster, cases: &[Case]) -> Result<Self> {
        let suite = Self {
            cluster,
            tenant: client_as(&cluster.kubeconfig, Some(TENANT)).await?,
        };
        let mut names: Vec<String> = vec![LAST.to_owned()];
        for case in cases {
            names.push(case.namespace());
            let others = case
                .given
                .objects
                .iter()
                .filter(|object| text(object, "/kind") == "Namespace");
            names.extend(others.map(|object| text(object, "/metadata/name")));
        }
        let labels = |name: &str| {
            let case = cases.iter().find(|case| case.namespace() == name);
            let mut labels = case.map(|case| case.given.labels.clone()).unwrap_or_default();
            labels.extend([MADE_HERE, SUITE].map(|label| (label.to_owned(), "true".to_owned())));
            labels
        };
        let namespaces = names.iter().map(|name| {
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels(name) } })
        });
        suite.apply_all(namespaces.collect()).await?;
        let rights = names.iter().map(|name| {
            json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": { "name": TENANT, "namespace": name },
                "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit" },
                "subjects": [{ "apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": TENANT }],
            })
        });
        suite.apply_all(rights.collect()).await?;
        suite.apply_all(cases.iter().flat_map(accounts).collect()).await?;
        let mut policies: Vec<Value> = cases.iter().flat_map(Case::policies).collect();
        for policy in &mut policies {
            put(policy, "/metadata", "labels", json!({ SUITE: "true" }));
        }
        let merged: Vec<String> = policies.iter().map(|policy| text(policy, "/metadata/name")).collect();
        suite.apply_all(policies).await?;
        suite.wait_until_known(&merged).await?;
        Ok(suite)
    }

    /// Waits until the operator has merged the policies, and the API server knows what it merged.
    async fn wait_until_known(&self, names: &[String]) -> Result<()> {
        until("the operator to merge the policies", DEADLINE, async || {
            let merged = self.cluster.kubectl.get(&["wiep", "cluster"]).await?;
            let known = |name: &String| {
                let policies = merged.pointer("/spec/policies").and_then(Value::as_array);
                policies
                    .into_iter()
                    .flatten()
                    .any(|policy| text(policy, "/name") == *name)
            };
            Ok(names.iter().all(known).then_some(()))
        })
        .await?;
        let id = format!(
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/last",
            group_id(LAST)
        );
        let policy = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityPolicy",
            "metadata": { "name": LAST, "labels": { SUITE: "true" } },
            "spec": { "namespaces": { "names": [LAST] }, "existingIdentities": [id] },
        });
        self.apply_all(vec![policy]).await?;
        let binding = json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": { "name": "last", "namespace": LAST },
            "spec": { "identity": { "existing": { "resourceId": id } }, "serviceAccounts": [{ "name": "last" }] },
        });
        until("the policies to be in force", DEADLINE, async || {
            match self.create(&binding, true).await? {
                Answer::Admitted => Ok(Some(())),
                refused => bail!("{refused:?}"),
            }
        })
        .await
    }

    /// What the API server answers to the attacker: the first refusal, if there is one.
    pub async fn answer(&self, case: &Case) -> Result<Answer> {
        for step in &case.steps {
            if let Step::Allowed(binding) = step {
                self.create_allowed(case, binding).await?;
                continue;
            }
            let answer = self.ask(case, step).await.with_context(|| format!("{step:.300?}"))?;
            if answer != Answer::Admitted {
                return Ok(answer);
            }
        }
        Ok(Answer::Admitted)
    }

    /// What the tenant may have is really there, so that the dry run can change it. It is suspended, so that the operator leaves it
    /// alone, and carries the finalizer as it would otherwise.
    async fn create_allowed(&self, case: &Case, binding: &Binding) -> Result<()> {
        let mut object = binding.object(case);
        put(&mut object, "/spec", "suspend", json!(true));
        put(&mut object, "/metadata", "finalizers", json!([keys::FINALIZER]));
        match self.create(&object, false).await? {
            Answer::Admitted => Ok(()),
            refused => bail!("what the tenant may have was not taken: {refused:?}"),
        }
    }

    async fn ask(&self, case: &Case, step: &Step) -> Result<Answer> {
        match step {
            Step::Apply(binding) => self.create(&binding.object(case), true).await,
            Step::ApplyMany(many) => {
                for number in 0..many.count().min(OF_MANY) {
                    let answer = self.create(&many.binding(number).object(case), true).await?;
                    if answer != Answer::Admitted {
                        return Ok(answer);
                    }
                }
                Ok(Answer::Admitted)
            }
            Step::Create(object) => self.create(object, true).await,
            Step::Edit(edit) => self.edit(case, edit, &edit.patch, None).await,
            Step::ForgeStatus(edit) => self.edit(case, edit, &edit.patch, Some("status")).await,
            Step::RemoveFinalizers(object) => {
                let patch = json!({ "metadata": { "finalizers": null } });
                let api = api_of(&self.tenant, &object.kind, &object.namespace(case))?;
                change(&api, &object.name(case), &patch, None).await
            }
            Step::Delete(object) => {
                let api = api_of(&self.tenant, &object.kind, &object.namespace(case))?;
                let tried = DeleteParams {
                    dry_run: true,
                    ..DeleteParams::default()
                };
                answer(api.delete(&object.name(case), &tried).await)
            }
            // Not the attacker's, or not asked of the API server.
            Step::Allowed(_)
            | Step::OtherTenant(_)
            | Step::PlatformEdits(_)
            | Step::PlatformDeletes(_)
            | Step::Azure(_)
            | Step::Fault(_)
            | Step::Restart
            | Step::TimePasses => Ok(Answer::Admitted),
        }
    }

    async fn create(&self, object: &Value, dry_run: bool) -> Result<Answer> {
        let api = api_of(
            &self.tenant,
            &text(object, "/kind"),
            &text(object, "/metadata/namespace"),
        )?;
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        let tried = PostParams {
            dry_run,
            ..PostParams::default()
        };
        answer(api.create(&tried, &object).await)
    }

    async fn edit(&self, case: &Case, edit: &Edit, patch: &Value, part: Option<&str>) -> Result<Answer> {
        let api = api_of(&self.tenant, &edit.kind, &edit.namespace(case))?;
        change(&api, &edit.name(case), &known(patch), part).await
    }

    /// Takes away what was made. The bindings go first, and without the operator: it may never read some of the identities that they
    /// name, and would try for ever. The cluster removes what else is in the namespaces by itself.
    pub async fn clean(self) -> Result<()> {
        let client = &self.cluster.client;
        let label = format!("{SUITE}=true");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let suite = namespaces.list_metadata(&ListParams::default().labels(&label)).await?;
        let suite: BTreeSet<String> = suite.into_iter().map(|namespace| namespace.name_any()).collect();
        let all: Api<WorkloadIdentityBinding> = Api::all(client.clone());
        until("the bindings of the suite to be gone", DEADLINE, async || {
            let mut left = all.list_metadata(&ListParams::default()).await?.items;
            left.retain(|binding| binding.namespace().is_some_and(|namespace| suite.contains(&namespace)));
            for binding in &left {
                let api: Api<WorkloadIdentityBinding> =
                    Api::namespaced(client.clone(), &binding.namespace().unwrap_or_default());
                let name = binding.name_any();
                let none = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
                // One that went by itself meanwhile is what is wanted.
                let _ = api.delete(&name, &DeleteParams::default()).await;
                let _ = api.patch_metadata(&name, &PatchParams::default(), &none).await;
            }
            Ok(left.is_empty().then_some(()))
        })
        .await?;
        for kind in ["namespaces", "workloadidentitypolicies"] {
            let arguments = [
                "delete",
                kind,
                &format!("--selector={label}"),
                "--wait=false",
                "--output=name",
            ];
            self.cluster.kubectl.run(&arguments).await?;
        }
        Ok(())
    }

    async fn apply_all(&self, objects: Vec<Value>) -> Result<()> {
        let apply = |object: Value| async move {
            let (kind, namespace) = (text(&object, "/kind"), text(&object, "/metadata/namespace"));
            let api = api_of(&self.cluster.client, &kind, &namespace)?;
            let parameters = PatchParams::apply("e2e-administrator").force();
            let name = text(&object, "/metadata/name");
            let applied = api.patch(&name, &parameters, &Patch::Apply(&object)).await;
            applied.map(drop).with_context(|| format!("applying {object:.300}"))
        };
        stream::iter(objects)
            .map(apply)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }
}

/// The objects of a kind in a namespace, or in the whole cluster.
fn api_of(client: &Client, kind: &str, namespace: &str) -> Result<Api<DynamicObject>> {
    let (group, version, plural) = match kind {
        "Namespace" => ("", "v1", "namespaces"),
        "ServiceAccount" => ("", "v1", "serviceaccounts"),
        "RoleBinding" => ("rbac.authorization.k8s.io", "v1", "rolebindings"),
        "WorkloadIdentityBinding" => (wio_api::GROUP, "v1alpha1", "workloadidentitybindings"),
        "WorkloadIdentityPolicy" => (wio_api::GROUP, "v1alpha1", "workloadidentitypolicies"),
        _ => bail!("no case can ask for a {kind}"),
    };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: if group.is_empty() {
            version.to_owned()
        } else {
            format!("{group}/{version}")
        },
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Ok(if namespace.is_empty() {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    })
}

/// A text within an object, or nothing.
fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn put(object: &mut Value, parent: &str, field: &str, value: Value) {
    if let Some(fields) = object.pointer_mut(parent).and_then(Value::as_object_mut) {
        fields.insert(field.to_owned(), value);
    }
}

/// The service accounts that the attacker changes: those that the operator would have made are among them.
fn accounts(case: &Case) -> Vec<Value> {
    let account = |step: &Step| match step {
        Step::Edit(edit) if edit.kind == "ServiceAccount" => Some(json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": edit.name(case), "namespace": edit.namespace(case) },
        })),
        _ => None,
    };
    case.steps.iter().filter_map(account).collect()
}

/// A patch without what only a running operator can fill in.
fn known(patch: &Value) -> Value {
    match patch {
        Value::String(text) if text.starts_with('{') => json!("00000000-0000-4000-8000-000000000000"),
        Value::Array(items) => items.iter().map(known).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), known(value))).collect(),
        other => other.clone(),
    }
}

async fn change(api: &Api<DynamicObject>, name: &str, patch: &Value, part: Option<&str>) -> Result<Answer> {
    let tried = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    answer(match part {
        None => api.patch(name, &tried, &patch).await,
        Some(part) => api.patch_subresource(part, name, &tried, &patch).await,
    })
}

fn answer<T>(answered: kube::Result<T>) -> Result<Answer> {
    match answered {
        Ok(_) => Ok(Answer::Admitted),
        Err(kube::Error::Api(refusal)) => Answer::of(&refusal),
        Err(error) => Err(error).context("asking the API server"),
    }
}
