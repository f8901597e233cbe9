//! Clusters of AKS, read: <https://learn.microsoft.com/rest/api/aks/managed-clusters/get>.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::ResourceGroupId;

use crate::client::Azure;
use crate::telemetry::Operation;

/// The resource id of a cluster of AKS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedClusterId {
    /// Its resource group.
    pub group: ResourceGroupId,
    /// Its name.
    pub name: String,
}

/// A text that is no resource id of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must be /subscriptions/<GUID>/resourceGroups/<name>/providers/Microsoft.ContainerService/managedClusters/<name>, exactly"
)]
pub struct InvalidClusterId;

/// A cluster, as far as it says by which identities it acts and who may come in. What is left out is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ManagedCluster {
    /// That of its control plane.
    pub identity: ControlPlaneIdentity,
    /// Everything else.
    pub properties: ManagedClusterProperties,
}

/// The identity of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ControlPlaneIdentity {
    /// By resource id, in whatever case.
    pub user_assigned_identities: BTreeMap<String, serde_json::Value>,
}

/// Its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ManagedClusterProperties {
    /// Entra integration; none when it is off.
    pub aad_profile: Option<AadProfile>,
    /// Whether local accounts, and so the administrator's certificate, are off.
    pub disable_local_accounts: bool,
    /// The issuer of service account tokens.
    pub oidc_issuer_profile: OidcIssuerProfile,
    /// What protects it.
    pub security_profile: SecurityProfile,
    /// The identities of kubelets, by what they are for.
    pub identity_profile: BTreeMap<String, NamedIdentity>,
    /// Add-ons by name.
    pub addon_profiles: BTreeMap<String, AddonProfile>,
    /// The name of the resource group of the nodes.
    pub node_resource_group: String,
}

/// Entra integration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AadProfile {
    /// Whether it is AKS's own.
    pub managed: bool,
    /// Whether Entra decides about rights too.
    #[serde(rename = "enableAzureRBAC")]
    pub enable_azure_rbac: bool,
}

/// The issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OidcIssuerProfile {
    /// Whether it is published.
    pub enabled: bool,
    /// Where.
    #[serde(rename = "issuerURL")]
    pub issuer_url: Option<String>,
}

/// What protects a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SecurityProfile {
    /// Workload identity.
    pub workload_identity: Switch,
}

/// Something that is on or off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Switch {
    /// Whether it is on.
    pub enabled: bool,
}

/// An add-on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AddonProfile {
    /// Whether it is on.
    pub enabled: bool,
    /// The identity by which it acts, if it has one.
    pub identity: Option<NamedIdentity>,
}

/// An identity by its resource id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NamedIdentity {
    /// In whatever case.
    pub resource_id: Option<String>,
}

// === impl ManagedClusterId ===

impl FromStr for ManagedClusterId {
    type Err = InvalidClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LONGEST: usize = 63;
        let segments: Vec<&str> = text.split('/').collect();
        let [group @ .., p, provider, kind, name] = segments.as_slice() else {
            return Err(InvalidClusterId);
        };
        let fixed = p.eq_ignore_ascii_case("providers")
            && provider.eq_ignore_ascii_case("Microsoft.ContainerService")
            && kind.eq_ignore_ascii_case("managedClusters");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !fixed || name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
            return Err(InvalidClusterId);
        }
        Ok(Self {
            group: group.join("/").parse().map_err(|_| InvalidClusterId)?,
            name: (*name).to_owned(),
        })
    }
}

impl fmt::Display for ManagedClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/providers/Microsoft.ContainerService/managedClusters/{}",
            self.group, self.name
        )
    }
}

// === impl ManagedCluster ===

impl ManagedCluster {
    /// The identities by which it acts, each with what it is for.
    #[must_use]
    pub fn identities(&self) -> Vec<(String, String)> {
        let control_plane = self.identity.user_assigned_identities.keys();
        let control_plane = control_plane.map(|id| ("control plane".to_owned(), id.clone()));
        let properties = &self.properties;
        let kubelets = properties
            .identity_profile
            .iter()
            .filter_map(|(what, one)| Some((what.clone(), one.resource_id.clone()?)));
        let addons = properties.addon_profiles.iter().filter(|(_, addon)| addon.enabled);
        let addons = addons.filter_map(|(name, addon)| {
            Some((format!("add-on {name}"), addon.identity.as_ref()?.resource_id.clone()?))
        });
        control_plane.chain(kubelets).chain(addons).collect()
    }
}

// === impl Azure ===

impl Azure {
    /// A cluster.
    ///
    /// # Errors
    /// Everything but a cluster, and that there is none.
    pub async fn get_managed_cluster(&self, id: &ManagedClusterId) -> Result<ManagedCluster, AzureFault> {
        let url = self.pipeline.urls.managed_cluster(&id.group, &id.name);
        let read: Result<ManagedCluster, AzureCause> = self.pipeline.get_json(Operation::GetManagedCluster, url).await;
        read.map_err(|cause| AzureFault {
            operation: format!("read the cluster {id}"),
            cause,
        })
    }
}
