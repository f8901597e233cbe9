//! A case: what is there, what is tried, and what must come of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

/// The environment variable that makes a crowd bigger than it is in the tests that run at every change: `make abuse` has ten
/// thousand.
pub const CROWD: &str = "WIO_ABUSE_CROWD";

/// The name of most things of a case that need one.
const ORDERS: &str = "orders";

/// One attack.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    /// Its name, from which that of the tenant's namespace comes.
    pub id: String,
    /// The heading under which it stands.
    #[serde(skip)]
    pub group: String,
    /// What the attacker tries: a sentence.
    pub attack: String,
    /// Who does.
    #[serde(default)]
    pub who: Attacker,
    /// What is there before.
    #[serde(default)]
    pub given: Given,
    /// What happens.
    pub steps: Vec<Step>,
    /// What must come of it when nothing but the reconciler stands in the way.
    pub reconciler: AtReconciler,
    /// What admission alone must answer.
    pub admission: AtAdmission,
}

/// Who attacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attacker {
    /// Somebody with ClusterRole `edit` in the namespace.
    #[default]
    Tenant,
    /// A tenant who somehow may write the status of bindings.
    StatusWriter,
    /// A principal that may write federated credentials, roles or tags in Azure.
    AzureWriter,
    /// Whoever answers in Azure's place.
    AzureItself,
    /// Another cluster that has the same names.
    OtherCluster,
}

/// What is there before the attack.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Given {
    /// The labels of the tenant's namespace.
    pub labels: BTreeMap<String, String>,
    /// Policies.
    pub policies: Vec<PolicyOf>,
    /// Further Kubernetes objects: namespaces and service accounts.
    pub objects: Vec<Value>,
    /// Identities in Azure that belong to no binding of the case.
    pub identities: Vec<ForeignIdentity>,
    /// Custom roles in Azure.
    pub custom_roles: Vec<CustomRole>,
    /// Bindings of others, which are Ready before the attack.
    pub bindings: Vec<Binding>,
}

/// A policy of the platform team.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyOf {
    /// Its name; that of the tenant's namespace when it is left out.
    name: Option<String>,
    /// Its spec. Without namespaces it is for the tenant's alone.
    pub spec: Value,
}

/// An identity that somebody else made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForeignIdentity {
    /// Its resource group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Its subscription, when it is not the usual one.
    pub subscription: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its federated credentials.
    #[serde(default)]
    pub credentials: Vec<ForeignCredential>,
    /// How many credentials of others it has beside those.
    #[serde(default)]
    pub more_credentials: usize,
}

/// A federated credential that the operator did not make.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForeignCredential {
    /// Its name.
    pub name: String,
    /// Its issuer; the cluster's own when it is left out.
    pub issuer: Option<String>,
    /// Its subject.
    pub subject: String,
    /// Its audience; the usual one when it is left out.
    pub audience: Option<String>,
}

/// A role that the tenant of Azure made itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomRole {
    /// Its GUID.
    pub guid: String,
    /// Its name for people.
    pub name: String,
    /// What it allows.
    pub actions: Vec<String>,
}

/// A binding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// Its namespace; the tenant's when it is left out.
    namespace: Option<String>,
    /// Its name; orders when it is left out.
    name: Option<String>,
    /// Its annotations.
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// Its spec. Without service accounts it binds orders.
    spec: Value,
}

/// Many bindings of one kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Many {
    /// How many, unless [`CROWD`] says otherwise.
    count: usize,
    /// One of them, with `{n}` for its number.
    pub of: Value,
}

/// An object that is there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: String,
    /// Its namespace; the tenant's when it is left out.
    namespace: Option<String>,
    /// Its name; orders when it is left out, and for policies and namespaces the tenant's namespace.
    name: Option<String>,
}

/// A change of an object that is there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Its kind.
    pub kind: String,
    /// Its name, as in [`ObjectRef`].
    name: Option<String>,
    /// What changes, as a JSON merge patch. `{uid:NAME}` stands for a binding's UID.
    pub patch: Value,
}

/// Something that happens.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The tenant applies a binding that it may have, and it becomes Ready.
    Allowed(Binding),
    /// The attacker applies a binding.
    Apply(Binding),
    /// The attacker applies many.
    ApplyMany(Many),
    /// The attacker changes an object.
    Edit(Edit),
    /// The attacker changes the status of a binding.
    ForgeStatus(Edit),
    /// The attacker takes all finalizers off a binding.
    RemoveFinalizers(ObjectRef),
    /// The attacker asks to delete an object.
    Delete(ObjectRef),
    /// The attacker creates an object.
    Create(Value),
    /// Another tenant applies a binding that it may have, and it becomes Ready.
    OtherTenant(Binding),
    /// The platform team changes an object.
    PlatformEdits(Edit),
    /// The platform team deletes an object.
    PlatformDeletes(ObjectRef),
    /// Somebody changes something in Azure.
    Azure(AzureStep),
    /// Something fails from now on, or does no more.
    Fault(FaultStep),
    /// The operator ends and starts again.
    Restart,
    /// The operator has time for everything that it does by itself.
    TimePasses,
}

/// What fails from now on.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultStep {
    /// The API server refuses every status.
    StatusNotWritten,
    /// Azure's lists show what was a while ago.
    StaleLists,
    /// Azure lets nobody read the role assignments of a scope.
    UnreadableScope(String),
    /// Another operator runs beside the first one.
    SecondOperator,
    /// Nothing fails any more.
    Mended,
}

/// Something that happens in Azure. Identities are named as in [`Stands`].
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum AzureStep {
    /// A federated credential is added.
    Plant {
        /// To which identity.
        identity: String,
        /// Which.
        credential: ForeignCredential,
    },
    /// The operator's credential for a service account is changed.
    Change {
        /// Of which identity.
        identity: String,
        /// Of which service account: `<namespace>/<name>`.
        account: String,
        /// Another issuer.
        issuer: Option<String>,
        /// Another subject.
        subject: Option<String>,
        /// Another audience.
        audience: Option<String>,
    },
    /// The identity is given a role.
    Assign {
        /// Which identity.
        identity: String,
        /// The GUID of the role.
        role: String,
        /// Where.
        scope: String,
    },
    /// The tags of an identity are replaced.
    Tag {
        /// Which identity.
        identity: String,
        /// With these.
        tags: BTreeMap<String, String>,
    },
    /// From now on every list ends with a link to a further page.
    NextLink(String),
}

/// What must come of a case when nothing but the reconciler stands in the way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtReconciler {
    /// The reason of the condition Ready of the binding that attacks, or Gone when it does not exist any more.
    pub reason: String,
    /// That binding's name; orders when it is left out.
    binding: Option<String>,
    /// A part of the condition's message.
    #[serde(default)]
    pub message: String,
    /// What is there at the end beside what was there before the attack.
    #[serde(default)]
    pub stands: Stands,
}

/// What may be there at the end. An identity is named `<group>/<name>`, with `<subscription>/` before it where it is not the usual
/// one, and one that a binding manages `of <namespace>/<binding>`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Stands {
    /// Service accounts that are trusted and carry the client id: `<namespace>/<service account>: <identity>`.
    pub bound: Vec<String>,
    /// Identities.
    pub identities: Vec<String>,
    /// Federated credentials: `<identity>: <namespace>/<service account>`, or the issuer and subject.
    pub credentials: Vec<String>,
    /// Role assignments: `<identity>: <GUID of the role> at <scope>`.
    pub roles: Vec<String>,
    /// Client ids on service accounts: `<namespace>/<service account>: <identity>`.
    pub client_ids: Vec<String>,
}

/// What admission alone must answer to what the attacker asks of the API server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AtAdmission {
    /// The schema refuses it, with this in the message.
    Schema(String),
    /// The ValidatingAdmissionPolicy refuses it, with this in the message.
    Policy(String),
    /// The attacker may not write such objects, with this in the message.
    Rights(String),
    /// It is admitted; why admission cannot see it.
    Unseen(String),
}

/// The namespace of a case.
pub(super) fn namespace(id: &str) -> String {
    format!("abuse-{id}")
}

// === impl Case ===

impl Case {
    /// The tenant's namespace.
    #[must_use]
    pub fn namespace(&self) -> String {
        namespace(&self.id)
    }

    /// The binding on which the reconciler's verdict stands.
    #[must_use]
    pub fn attacking(&self) -> &str {
        self.reconciler.binding.as_deref().unwrap_or(ORDERS)
    }

    /// The policies, as objects.
    #[must_use]
    pub fn policies(&self) -> Vec<Value> {
        let object = |policy: &PolicyOf| {
            let mut spec = policy.spec.clone();
            or_else(&mut spec, "namespaces", json!({ "names": [self.namespace()] }));
            json!({
                "apiVersion": "workloadidentity.dev/v1alpha1",
                "kind": "WorkloadIdentityPolicy",
                "metadata": { "name": policy.name(self) },
                "spec": spec,
            })
        };
        self.given.policies.iter().map(object).collect()
    }
}

// === impl PolicyOf ===

impl PolicyOf {
    /// Its name.
    #[must_use]
    pub fn name(&self, case: &Case) -> String {
        self.name.clone().unwrap_or_else(|| case.namespace())
    }
}

// === impl Binding ===

impl Binding {
    /// Its namespace.
    #[must_use]
    pub fn namespace(&self, case: &Case) -> String {
        self.namespace.clone().unwrap_or_else(|| case.namespace())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(ORDERS)
    }

    /// The object.
    #[must_use]
    pub fn object(&self, case: &Case) -> Value {
        let mut spec = self.spec.clone();
        or_else(&mut spec, "serviceAccounts", json!([{ "name": ORDERS }]));
        json!({
            "apiVersion": "workloadidentity.dev/v1alpha1",
            "kind": "WorkloadIdentityBinding",
            "metadata": {
                "name": self.name(),
                "namespace": self.namespace(case),
                "annotations": self.annotations,
            },
            "spec": spec,
        })
    }
}

// === impl Many ===

impl Many {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        let asked = std::env::var(CROWD).ok().and_then(|count| count.parse().ok());
        asked.unwrap_or(self.count)
    }

    /// The binding of this number.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    #[allow(clippy::panic, reason = "a case that is not well formed is a fault of the suite")]
    pub fn binding(&self, number: usize) -> Binding {
        let mut of = self.of.clone();
        super::fill(&mut of, &[("{n}", format!("{number:05}"))]);
        serde_json::from_value(of).unwrap_or_else(|error| panic!("one of many bindings: {error}"))
    }
}

// === impl ObjectRef ===

impl ObjectRef {
    /// Its namespace; empty for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self, case: &Case) -> String {
        match self.namespace.clone() {
            Some(namespace) => namespace,
            None => namespace_of(&self.kind, case),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, case: &Case) -> String {
        name_of(&self.kind, self.name.as_deref(), case)
    }
}

// === impl Edit ===

impl Edit {
    /// Its namespace; empty for cluster-scoped kinds.
    #[must_use]
    pub fn namespace(&self, case: &Case) -> String {
        namespace_of(&self.kind, case)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, case: &Case) -> String {
        name_of(&self.kind, self.name.as_deref(), case)
    }
}

/// Sets a field that is left out.
fn or_else(spec: &mut Value, field: &str, value: Value) {
    if let Some(fields) = spec.as_object_mut() {
        fields.entry(field).or_insert(value);
    }
}

fn is_of_the_cluster(kind: &str) -> bool {
    ["Namespace", "WorkloadIdentityPolicy"].contains(&kind)
}

fn namespace_of(kind: &str, case: &Case) -> String {
    if is_of_the_cluster(kind) {
        String::new()
    } else {
        case.namespace()
    }
}

fn name_of(kind: &str, name: Option<&str>, case: &Case) -> String {
    match name {
        Some(name) => name.to_owned(),
        None if is_of_the_cluster(kind) => case.namespace(),
        None => ORDERS.to_owned(),
    }
}

// === impl Step ===

impl Step {
    /// Whether the attacker does it through the API server, so that admission has a say.
    #[must_use]
    pub const fn is_asked_of_the_api_server(&self) -> bool {
        matches!(
            self,
            Self::Apply(_)
                | Self::ApplyMany(_)
                | Self::Edit(_)
                | Self::ForgeStatus(_)
                | Self::RemoveFinalizers(_)
                | Self::Delete(_)
                | Self::Create(_)
        )
    }
}

// === impl Attacker ===

impl std::fmt::Display for Attacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::StatusWriter => "status writer",
            Self::AzureWriter => "Azure writer",
            Self::AzureItself => "Azure itself",
            Self::OtherCluster => "another cluster",
        })
    }
}
