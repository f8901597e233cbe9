//! Clusters of AKS, read: <https://learn.microsoft.com/rest/api/aks/managed-clusters/get>.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::ResourceGroupId;
use wio_core::own_cluster::ClusterIdentities;

use crate::client::Azure;
use crate::telemetry::Operation;

/// The resource id of a cluster of AKS. Equality disregards case.
#[derive(Clone, Debug)]
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
    /// Its resource id, in whatever case.
    pub id: String,
    /// That of its control plane.
    #[serde(deserialize_with = "or_nothing")]
    pub identity: ControlPlaneIdentity,
    /// Everything else.
    pub properties: ManagedClusterProperties,
}

/// The identity of a control plane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ControlPlaneIdentity {
    /// By resource id, in whatever case.
    #[serde(deserialize_with = "or_nothing")]
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
    #[serde(deserialize_with = "or_nothing")]
    pub identity_profile: BTreeMap<String, Option<NamedIdentity>>,
    /// Add-ons by name.
    #[serde(deserialize_with = "or_nothing")]
    pub addon_profiles: BTreeMap<String, AddonProfile>,
    /// What lets traffic in.
    #[serde(deserialize_with = "or_nothing")]
    pub ingress_profile: IngressProfile,
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

/// What lets traffic in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct IngressProfile {
    /// The application routing add-on, which is none of the others.
    pub web_app_routing: Option<AddonProfile>,
}

/// An identity by its resource id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NamedIdentity {
    /// In whatever case.
    pub resource_id: Option<String>,
}

/// Reads what may be null, as it is where there is none.
fn or_nothing<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(from).map(Option::unwrap_or_default)
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

impl PartialEq for ManagedClusterId {
    fn eq(&self, other: &Self) -> bool {
        self.group == other.group && self.name.eq_ignore_ascii_case(&other.name)
    }
}

impl Eq for ManagedClusterId {}

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
            .filter_map(|(what, one)| Some((what.clone(), one.as_ref()?.resource_id.clone()?)));
        let addons = properties.addon_profiles.iter();
        let addons = addons.map(|(name, addon)| (name.as_str(), addon));
        let routing = properties.ingress_profile.web_app_routing.iter();
        let addons = addons.chain(routing.map(|addon| ("webAppRouting", addon)));
        // One that was switched off may act yet, or again.
        let addons = addons.filter_map(|(name, addon)| {
            Some((format!("add-on {name}"), addon.identity.as_ref()?.resource_id.clone()?))
        });
        control_plane.chain(kubelets).chain(addons).collect()
    }

    /// The resource group of its nodes; none when the answer does not name it, as each cluster's does.
    #[must_use]
    pub fn nodes(&self, id: &ManagedClusterId) -> Option<ResourceGroupId> {
        Some(ResourceGroupId {
            subscription: id.group.subscription,
            name: self.properties.node_resource_group.parse().ok()?,
        })
    }

    /// The identities by which it acts, when this is the cluster that was asked for and not another's answer, an empty one, or half of one.
    fn acting(&self, id: &ManagedClusterId) -> Result<ClusterIdentities, AzureCause> {
        if self.id.parse::<ManagedClusterId>().ok().as_ref() != Some(id) {
            return Err(AzureCause::Malformed(
                "it is not of the cluster that was asked for".to_owned(),
            ));
        }
        let nodes = self.nodes(id);
        let nodes = nodes.ok_or_else(|| AzureCause::Malformed("it names no resource group of nodes".to_owned()))?;
        Ok(ClusterIdentities {
            // What is no id of an identity here is none in a binding either.
            identities: self.identities().iter().filter_map(|(_, id)| id.parse().ok()).collect(),
            nodes,
        })
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

    /// The identities by which a cluster acts.
    ///
    /// # Errors
    /// Everything but such a cluster, and that there is none.
    pub async fn get_cluster_identities(&self, id: &ManagedClusterId) -> Result<ClusterIdentities, AzureFault> {
        let acting = self.get_managed_cluster(id).await?.acting(id);
        acting.map_err(|cause| AzureFault {
            operation: format!("read the cluster {id}"),
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GROUP: &str = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/shop";

    fn asked() -> ManagedClusterId {
        format!("{GROUP}/providers/Microsoft.ContainerService/managedClusters/shop")
            .parse()
            .unwrap()
    }

    fn identity(name: &str) -> String {
        format!("{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{name}")
    }

    /// An answer in the shapes of <https://learn.microsoft.com/rest/api/aks/managed-clusters/get>.
    fn answer() -> Value {
        json!({
            "id": asked().to_string().replace("resourceGroups", "resourcegroups").replace("/shop", "/SHOP"),
            "identity": { "type": "UserAssigned", "userAssignedIdentities": { (identity("plane")): { "clientId": "a", "principalId": "b" } } },
            "properties": {
                "nodeResourceGroup": "MC_shop",
                "identityProfile": { "kubeletidentity": { "resourceId": identity("kubelet").to_uppercase(), "clientId": "c", "objectId": "d" } },
                "addonProfiles": {
                    "azureKeyvaultSecretsProvider": { "enabled": true, "config": null, "identity": { "resourceId": identity("vault") } },
                    "azurepolicy": { "enabled": true, "config": null },
                    "omsagent": { "enabled": false, "identity": { "resourceId": identity("logs") } },
                },
                "ingressProfile": { "webAppRouting": { "enabled": true, "dnsZoneResourceIds": null, "identity": { "resourceId": identity("routing") } } },
            },
        })
    }

    fn acting(answer: Value) -> Result<ClusterIdentities, AzureCause> {
        serde_json::from_value::<ManagedCluster>(answer)
            .unwrap()
            .acting(&asked())
    }

    #[test]
    fn a_cluster_acts_by_its_control_plane_its_kubelets_and_every_add_on_in_any_case_of_letters() {
        let acting = acting(answer()).unwrap();
        let names = ["kubelet", "logs", "plane", "routing", "vault"];
        assert_eq!(
            acting.identities,
            names.map(|name| identity(name).parse().unwrap()).into()
        );
        assert_eq!(acting.nodes.name.as_str(), "MC_shop");
        assert_eq!(acting.nodes.subscription, asked().group.subscription);
    }

    #[test]
    fn one_that_has_none_of_these_acts_by_none_whether_they_are_null_or_left_out() {
        let mut answer = answer();
        answer["identity"] = Value::Null;
        for part in ["identityProfile", "addonProfiles", "ingressProfile"] {
            answer["properties"][part] = Value::Null;
        }
        assert!(acting(answer.clone()).unwrap().identities.is_empty());
        answer["identity"] = json!({ "type": "SystemAssigned", "userAssignedIdentities": null });
        answer["properties"] =
            json!({ "nodeResourceGroup": "MC_shop", "identityProfile": { "kubeletidentity": null } });
        assert!(acting(answer).unwrap().identities.is_empty());
    }

    #[test]
    fn what_is_not_the_answer_of_that_cluster_tells_nothing() {
        let mut of_another = answer();
        of_another["id"] = json!(asked().to_string().replace("Clusters/shop", "Clusters/shop-2"));
        let mut half = answer();
        half["properties"]["nodeResourceGroup"] = json!("");
        for (answer, why) in [
            (of_another, "not of the cluster"),
            (json!({}), "not of the cluster"),
            (half, "no resource group"),
        ] {
            let refused = acting(answer).unwrap_err();
            assert!(
                matches!(&refused, AzureCause::Malformed(said) if said.contains(why)),
                "{refused:?}"
            );
        }
    }
}
