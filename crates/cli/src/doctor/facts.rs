//! What the checks rest on. Each thing was looked at, or it is said why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityEffectivePolicy, WorkloadIdentityPolicy};
use wio_azure::{ManagedCluster, ManagedClusterId, RoleDefinition};
use wio_core::active_namespaces::ActiveNamespaces;
use wio_core::fault::AzureFault;
use wio_core::names::PrincipalId;
use wio_core::observed::ObservedRoleAssignment;

use crate::output::shell;
use crate::session::Discovery;

use super::access::Access;
use super::own_roles::Lack;

/// The name of the operator's Deployment, service account, Lease and rules of admission, and the label of all its objects.
pub(super) const OPERATOR: &str = "workload-identity-operator";
/// The namespace in which it is installed unless somebody says otherwise.
pub(super) const NAMESPACE: &str = "workload-identity-system";
/// The operator's setting that names the client id which it must have.
pub(super) const DEMANDED_CLIENT: &str = "WIO_CLIENT_ID";
/// The variable in which the pod webhook gives it one.
pub(super) const GIVEN_CLIENT: &str = "AZURE_CLIENT_ID";
/// The operator's setting that names the cluster.
pub(super) const CLUSTER_ID: &str = "WIO_CLUSTER_ID";
/// The operator's settings that name the namespaces in which alone it acts, and those in which it does not.
pub(super) const WATCHED: &str = "WIO_WATCH_NAMESPACES";
const EXCLUDED: &str = "WIO_EXCLUDE_NAMESPACES";
/// The webhook that puts tokens into pods, in whatever configuration it stands.
const MUTATION: &str = "mutation.azure-workload-identity.io";

/// What was looked at, or why not.
pub(crate) type Looked<T> = Result<T, Unseen>;

/// Why something was not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// It was tried and came to nothing, so nobody knows how it is.
    Unknown(String),
    /// Nobody asked for it, or there is nothing to look at.
    Nothing(String),
}

/// Everything.
pub(crate) struct Facts {
    /// The time here.
    pub(super) now: Timestamp,
    /// How far the clock of the API server is ahead of the one here.
    pub(super) ahead: Looked<SignedDuration>,
    pub(super) caller: Looked<Caller>,
    pub(super) other_issuers: Looked<OtherIssuers>,
    /// Our custom resource definitions, as far as they are there.
    pub(super) definitions: Looked<Vec<CustomResourceDefinition>>,
    /// The names of those of pod identity that are there.
    pub(super) pod_identity: Looked<Vec<String>>,
    pub(super) operator: Operator,
    pub(super) effective: Looked<Option<WorkloadIdentityEffectivePolicy>>,
    pub(super) policies: Looked<Vec<WorkloadIdentityPolicy>>,
    pub(super) bindings: Looked<Vec<WorkloadIdentityBinding>>,
    pub(super) admission: Admission,
    pub(super) webhook: Webhook,
    pub(super) discovery: Looked<Discovery>,
    pub(super) access: Looked<Access>,
    /// The resource groups of nodes, as their provider ids say.
    pub(super) node_groups: Looked<Vec<String>>,
    pub(super) azure: OnAzure,
}

/// What Azure shows to the caller's login.
pub(super) struct OnAzure {
    /// Which cluster of AKS it is, when that was said.
    pub(super) id: Option<ManagedClusterId>,
    pub(super) cluster: Looked<ManagedCluster>,
    /// The role assignments that hold at the cluster.
    pub(super) assignments: Looked<Vec<ObservedRoleAssignment>>,
    /// The custom roles that may be assigned there.
    pub(super) roles: Looked<Vec<RoleDefinition>>,
    /// What the operator may do there.
    pub(super) rights: Looked<OwnRights>,
    /// How far the clock of Entra is ahead of the one here.
    pub(super) ahead: Looked<SignedDuration>,
    /// The federated credentials on identities of bindings that trust this cluster, and belong to no binding.
    pub(super) strangers: Looked<Vec<String>>,
}

/// What the operator's own identity may do in Azure.
pub(super) struct OwnRights {
    pub(super) principal: PrincipalId,
    /// At how many places it needs something.
    pub(super) places: usize,
    pub(super) lacks: Vec<Lack>,
}

/// Who asks.
pub(super) struct Caller {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
}

/// What an API server's metrics tell of issuers beside the cluster's own whose tokens it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OtherIssuers {
    /// Whether it has a file of them.
    pub(super) configured: bool,
    /// The hashes of those of which a token was tried.
    pub(super) tried: BTreeSet<String>,
}

/// The operator, as it is installed.
pub(super) struct Operator {
    /// The namespace in which it was found, or in which it would be.
    pub(super) namespace: String,
    pub(super) deployments: Looked<Vec<Deployment>>,
    pub(super) pods: Looked<Vec<Pod>>,
    pub(super) budgets: Looked<Vec<PodDisruptionBudget>>,
    pub(super) settings: Looked<BTreeMap<String, String>>,
    pub(super) lease: Looked<Option<Lease>>,
    /// What it needs in the cluster and may not do.
    pub(super) lacks: Looked<Vec<String>>,
}

/// Our rules of admission.
pub(super) struct Admission {
    pub(super) policies: Looked<Vec<ValidatingAdmissionPolicy>>,
    pub(super) bindings: Looked<Vec<ValidatingAdmissionPolicyBinding>>,
}

/// The pod webhook.
pub(super) struct Webhook {
    pub(super) configurations: Looked<Vec<MutatingWebhookConfiguration>>,
    /// How many of its endpoints are ready.
    pub(super) ready: Looked<usize>,
    /// The images of its pods.
    pub(super) images: Looked<Vec<String>>,
}

/// What was looked at, for a check that rests on it.
pub(super) fn seen<T>(looked: &Looked<T>) -> Looked<&T> {
    looked.as_ref().map_err(Clone::clone)
}

/// The version in an image's name: its tag, without a digest.
pub(super) fn version_of(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
    last.split_once(':').map(|(_, tag)| tag)
}

// === impl Unseen ===

impl Unseen {
    /// There is nothing to look at.
    pub(super) fn nothing(why: &str) -> Self {
        Self::Nothing(why.to_owned())
    }
}

/// What is not said to be nothing is unknown.
impl From<String> for Unseen {
    fn from(why: String) -> Self {
        Self::Unknown(why)
    }
}

/// What Azure did not say.
impl From<AzureFault> for Unseen {
    fn from(fault: AzureFault) -> Self {
        Self::Unknown(fault.to_string())
    }
}

/// The same, of words that are written here.
impl From<&str> for Unseen {
    fn from(why: &str) -> Self {
        Self::Unknown(why.to_owned())
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unknown(why) | Self::Nothing(why)) = self;
        f.write_str(why)
    }
}

// === impl Operator ===

impl Operator {
    /// Those of the bindings that are in namespaces in which it acts.
    pub(super) fn own<'a>(
        &self,
        bindings: &'a Looked<Vec<WorkloadIdentityBinding>>,
    ) -> Looked<Vec<&'a WorkloadIdentityBinding>> {
        let namespaces = active_namespaces(&self.settings)?;
        let own = |one: &&WorkloadIdentityBinding| namespaces.contains(&one.namespace().unwrap_or_default());
        Ok(seen(bindings)?.iter().filter(own).collect())
    }

    /// The client id as which it signs in: that which its settings demand, or else what its pods were given.
    pub(super) fn client_id(&self) -> Looked<&str> {
        let demanded = seen(&self.settings)?.get(DEMANDED_CLIENT).map(String::as_str);
        let given = || self.pods.iter().flatten().find_map(|pod| variable(pod, GIVEN_CLIENT));
        demanded
            .or_else(given)
            .ok_or_else(|| "neither its settings nor its pods say as which client id it signs in".into())
    }
}

// === impl OtherIssuers ===

impl OtherIssuers {
    pub(super) fn of_metrics(text: &str) -> Self {
        const OF_FILE: &str = "apiserver_authentication_config_controller_";
        const OF_TOKENS: &str = "apiserver_authentication_jwt_authenticator_";
        let mut found = Self::default();
        for line in text.lines() {
            found.configured |= line.starts_with(OF_FILE);
            if line.starts_with(OF_TOKENS) {
                let hash = line
                    .split_once("jwt_issuer_hash=\"")
                    .and_then(|(_, rest)| rest.split_once('"'));
                found.tried.extend(hash.map(|(hash, _)| hash.to_owned()));
            }
        }
        found
    }
}

// === impl Facts ===

impl Facts {
    /// The time of the API server, whose clock is nearer to the leader's than the one here.
    pub(super) fn there(&self) -> Timestamp {
        self.now + self.ahead.as_ref().copied().unwrap_or_default()
    }

    /// The operator's Deployment.
    pub(super) fn deployment(&self) -> Looked<Option<&Deployment>> {
        Ok(seen(&self.operator.deployments)?.first())
    }

    /// The same, for a check that says nothing where there is none.
    pub(super) fn found_deployment(&self) -> Looked<&Deployment> {
        self.deployment()?
            .ok_or_else(|| Unseen::nothing("there is no Deployment of the operator"))
    }

    /// The command that changes the cluster of AKS, with its name where that is known.
    pub(super) fn aks_update(&self, flags: &str) -> String {
        let (group, name) = self.aks_names();
        format!("az aks update --resource-group {group} --name {name} {flags}")
    }

    /// The words for its resource group and its name.
    pub(super) fn aks_names(&self) -> (String, String) {
        let (group, name) = match &self.azure.id {
            Some(id) => (id.group.name.to_string(), id.name.clone()),
            None => ("RESOURCE_GROUP".to_owned(), "CLUSTER".to_owned()),
        };
        (shell::word(&group), shell::word(&name))
    }

    /// The cluster that the operator's settings name; none when they name none.
    pub(crate) fn named_cluster(&self) -> Looked<Option<&str>> {
        Ok(seen(&self.operator.settings)?.get(CLUSTER_ID).map(String::as_str))
    }

    /// The bindings in namespaces in which the operator acts. It leaves the others as they are, so nothing of them is its doing.
    pub(super) fn own_bindings(&self) -> Looked<Vec<&WorkloadIdentityBinding>> {
        self.operator.own(&self.bindings)
    }

    /// The name of the operator's service account.
    pub(super) fn account(&self) -> String {
        let deployment = self.deployment().ok().flatten();
        account_of(deployment)
    }
}

/// The namespaces in which the operator acts, as its settings say: all where they say nothing, or there is no Deployment that has some.
pub(super) fn active_namespaces(settings: &Looked<BTreeMap<String, String>>) -> Looked<ActiveNamespaces> {
    let settings = match settings {
        Ok(settings) => settings,
        Err(Unseen::Nothing(_)) => return Ok(ActiveNamespaces::All),
        Err(unknown) => return Err(unknown.clone()),
    };
    let names = |setting: &str| -> Vec<String> {
        let names = settings.get(setting).into_iter().flat_map(|names| names.split(','));
        let names = names.map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    };
    ActiveNamespaces::parse(&names(WATCHED), &names(EXCLUDED))
        .map_err(|invalid| format!("the operator's settings name what is no namespace: {invalid}").into())
}

/// The value of a variable of a pod's containers.
pub(super) fn variable<'a>(pod: &'a Pod, name: &str) -> Option<&'a str> {
    let containers = pod.spec.iter().flat_map(|spec| spec.containers.iter());
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    variables.find(|variable| variable.name == name)?.value.as_deref()
}

/// The name of the service account as which a Deployment of the operator runs.
pub(super) fn account_of(deployment: Option<&Deployment>) -> String {
    let spec = deployment.and_then(|one| one.spec.as_ref()?.template.spec.as_ref());
    spec.and_then(|spec| spec.service_account_name.clone())
        .unwrap_or_else(|| OPERATOR.to_owned())
}

/// The webhook in a configuration that puts tokens into pods.
pub(super) fn mutation(configuration: &MutatingWebhookConfiguration) -> Option<&MutatingWebhook> {
    let mut webhooks = configuration.webhooks.iter().flatten();
    webhooks.find(|webhook| webhook.name == MUTATION)
}
