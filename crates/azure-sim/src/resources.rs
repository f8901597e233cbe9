//! What exists at a moment.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::answer::{Answer, Outcome};
use crate::model::{
    Identity, IdentityId, Lock, ManagedCluster, ResourceGroup, RoleAssignment, RoleDefinition, Snapshot, cluster_key,
    group_key,
};
use crate::target::lies_within;

/// The resources of the cloud. Each map is in the order of its ids.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resources {
    pub(crate) groups: BTreeMap<String, ResourceGroup>,
    pub(crate) identities: BTreeMap<String, Identity>,
    /// By name: a name is taken once in the whole tenant, whatever the scope.
    pub(crate) assignments: BTreeMap<Uuid, RoleAssignment>,
    pub(crate) definitions: BTreeMap<Uuid, RoleDefinition>,
    pub(crate) locks: BTreeMap<String, Lock>,
    pub(crate) clusters: BTreeMap<String, ManagedCluster>,
}

// === impl Resources ===

impl Resources {
    pub(crate) fn group(&self, subscription: &str, name: &str) -> Outcome<&ResourceGroup> {
        self.groups.get(&group_key(subscription, name)).ok_or_else(|| {
            let message = format!("Resource group '{name}' could not be found.");
            Answer::gateway_not_found("ResourceGroupNotFound", message)
        })
    }

    /// The resource group, if things may be written in it.
    pub(crate) fn writable_group(&self, subscription: &str, name: &str) -> Outcome<&ResourceGroup> {
        let group = self.group(subscription, name)?;
        if group.gone_at.is_some() {
            let message =
                format!("The resource group '{name}' is in deprovisioning state and cannot perform this operation.");
            return Err(Answer::conflict("ResourceGroupBeingDeleted", message));
        }
        Ok(group)
    }

    pub(crate) fn identity(&self, id: &IdentityId) -> Outcome<&Identity> {
        self.identities.get(&id.key()).ok_or_else(|| no_identity(id))
    }

    pub(crate) fn identity_mut(&mut self, id: &IdentityId) -> Outcome<&mut Identity> {
        self.identities.get_mut(&id.key()).ok_or_else(|| no_identity(id))
    }

    pub(crate) fn identity_of_client(&self, client_id: Uuid) -> Option<&Identity> {
        self.identities
            .values()
            .find(|identity| identity.client_id == client_id)
    }

    pub(crate) fn identity_of_principal(&self, principal_id: Uuid) -> Option<&Identity> {
        self.identities
            .values()
            .find(|identity| identity.principal_id == principal_id)
    }

    /// Removes what lies in or is scoped to these resource groups; gives the identities that went.
    pub(crate) fn remove_within(&mut self, groups: &[String]) -> Vec<Identity> {
        let is_gone = |id: &str| groups.iter().any(|group| lies_within(id, group));
        let lost = self.identities.extract_if(.., |key, _| is_gone(key));
        let lost = lost.map(|(_, identity)| identity).collect();
        self.assignments.retain(|_, assignment| !is_gone(&assignment.scope));
        self.locks.retain(|_, lock| !is_gone(&lock.scope));
        self.clusters.retain(|id, _| !is_gone(id));
        lost
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut role_assignments: Vec<RoleAssignment> = self.assignments.values().cloned().collect();
        role_assignments.sort_by_key(|assignment| assignment.id().to_lowercase());
        Snapshot {
            resource_groups: self.groups.values().cloned().collect(),
            identities: self.identities.values().cloned().collect(),
            role_assignments,
            role_definitions: self.definitions.values().cloned().collect(),
            locks: self.locks.values().cloned().collect(),
            managed_clusters: self.clusters.values().cloned().collect(),
        }
    }
}

impl From<Snapshot> for Resources {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot {
            resource_groups,
            identities,
            role_assignments,
            role_definitions,
            locks,
            managed_clusters,
        } = snapshot;
        let cluster = |cluster: ManagedCluster| {
            let key = cluster_key(&cluster.subscription_id, &cluster.resource_group, &cluster.name);
            (key, cluster)
        };
        let group = |group: ResourceGroup| (group_key(&group.subscription_id, &group.name), group);
        Self {
            groups: resource_groups.into_iter().map(group).collect(),
            identities: identities
                .into_iter()
                .map(|identity| (identity.id.key(), identity))
                .collect(),
            assignments: role_assignments
                .into_iter()
                .map(|assignment| (assignment.name, assignment))
                .collect(),
            definitions: role_definitions
                .into_iter()
                .map(|definition| (definition.name, definition))
                .collect(),
            locks: locks.into_iter().map(|lock| (lock.key(), lock)).collect(),
            clusters: managed_clusters.into_iter().map(cluster).collect(),
        }
    }
}

fn no_identity(id: &IdentityId) -> Answer {
    let IdentityId {
        resource_group, name, ..
    } = id;
    let message = format!(
        "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/{name}' under resource group '{resource_group}' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    );
    Answer::gateway_not_found("ResourceNotFound", message)
}
