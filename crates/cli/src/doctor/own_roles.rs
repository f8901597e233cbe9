//! What the operator needs in Azure and where: its roles of `config/azure`, at what its settings, policies and bindings name. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use wio_api::{ConditionType, IdentityOrigin, WorkloadIdentityBinding, WorkloadIdentityEffectivePolicySpec};
use wio_azure::RoleDefinition;
use wio_core::names::{IdentityId, RoleDefinitionGuid, Scope};

/// One of its roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OwnRole {
    Identities,
    FederatedCredentials,
    RoleAssignments,
    RoleAssignmentsReader,
    ActivityLogReader,
    ClusterReader,
}

/// A role as its file defines it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Defined {
    pub(crate) name: String,
    pub(crate) actions: Vec<String>,
}

/// What is needed: each role once for a place, whose case says nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Needs(BTreeMap<(OwnRole, String), Need>);

/// A role that is needed at a place.
#[derive(Clone, Debug)]
pub(crate) struct Need {
    pub(crate) role: OwnRole,
    pub(crate) at: Scope,
    /// The roles that it is to give there.
    pub(crate) gives: BTreeSet<RoleDefinitionGuid>,
}

/// A role that somebody has somewhere.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// None for one that is inherited from above all subscriptions.
    pub(crate) scope: Option<Scope>,
    pub(crate) role: RoleDefinition,
}

/// What of a role the operator lacks where it needs it.
#[derive(Clone, Debug)]
pub(crate) struct Lack {
    pub(crate) need: Need,
    pub(crate) actions: Vec<String>,
    /// Whether Azure knows the role, so that it can be assigned.
    pub(crate) is_defined: bool,
}

/// What is needed: by what the operator has settled, and by bindings that policies allow what they ask for. What somebody only asks for needs
/// nothing, or a tenant could have the operator given rights wherever he likes.
pub(crate) fn needs<'a>(
    effective: &WorkloadIdentityEffectivePolicySpec,
    cluster: Option<&str>,
    bindings: impl IntoIterator<Item = &'a WorkloadIdentityBinding>,
) -> Needs {
    let mut needs = Needs::default();
    needs.identities(&effective.accepted.resource_group_id);
    for place in effective.policies.iter().flat_map(|policy| &policy.managed_identities) {
        let (subscription, group) = (&place.subscription_id, &place.resource_group);
        needs.identities(&format!("/subscriptions/{subscription}/resourceGroups/{group}"));
    }
    for binding in bindings.into_iter().filter(|binding| is_allowed(binding)) {
        needs.of_binding(binding);
    }
    if let Some(cluster) = cluster {
        needs.add(OwnRole::ClusterReader, cluster);
    }
    needs
}

/// Whether policies allow a binding what it asks for now.
fn is_allowed(binding: &WorkloadIdentityBinding) -> bool {
    let Some(status) = &binding.status else { return false };
    let authorized = status.condition(ConditionType::Authorized);
    authorized.is_some_and(|one| one.status == "True" && one.observed_generation == binding.metadata.generation)
}

/// Which of these actions none of the roles that are held allows at a scope.
pub(crate) fn lacking(actions: &[String], at: &Scope, held: &[Held]) -> Vec<String> {
    let reaches = |one: &&Held| one.scope.as_ref().is_none_or(|scope| at.is_at_or_below(scope));
    let there: Vec<&Held> = held.iter().filter(reaches).collect();
    let lacks = |action: &&String| !there.iter().any(|one| one.role.allows(action));
    actions.iter().filter(lacks).cloned().collect()
}

// === impl Needs ===

impl Needs {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Need> {
        self.0.values()
    }

    /// What is no scope is needed nowhere.
    fn add(&mut self, role: OwnRole, at: &str) -> Option<&mut Need> {
        let at: Scope = at.parse().ok()?;
        let key = (role, at.as_str().to_lowercase());
        let need = || Need {
            role,
            at,
            gives: BTreeSet::new(),
        };
        Some(self.0.entry(key).or_insert_with(need))
    }

    fn at_root(&mut self, role: OwnRole, of: &str) {
        if let Ok(scope) = of.parse::<Scope>() {
            self.add(role, scope.root().as_str());
        }
    }

    fn identities(&mut self, group: &str) {
        self.add(OwnRole::Identities, group);
        self.at_root(OwnRole::ActivityLogReader, group);
    }

    fn of_binding(&mut self, binding: &WorkloadIdentityBinding) {
        let identity = binding.status.as_ref().and_then(|status| status.identity.as_ref());
        let parsed =
            identity.and_then(|identity| Some((identity.resource_id.parse::<IdentityId>().ok()?, identity.origin)));
        match parsed {
            Some((id, IdentityOrigin::Referenced)) => {
                self.add(OwnRole::FederatedCredentials, &id.to_string());
            }
            Some((id, IdentityOrigin::Created | IdentityOrigin::Adopted)) => self.identities(&id.group.to_string()),
            None => {}
        }
        for asked in &binding.spec.role_assignments {
            self.at_root(OwnRole::RoleAssignmentsReader, &asked.scope);
            if let Some(need) = self.add(OwnRole::RoleAssignments, &asked.scope) {
                need.gives.extend(asked.role.parse::<RoleDefinitionGuid>());
            }
        }
    }
}

// === impl OwnRole ===

impl OwnRole {
    /// Its file in `config/azure/roles`.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Identities => "identities",
            Self::FederatedCredentials => "federated-credentials",
            Self::RoleAssignments => "role-assignments",
            Self::RoleAssignmentsReader => "role-assignments-reader",
            Self::ActivityLogReader => "activity-log-reader",
            Self::ClusterReader => "cluster-reader",
        }
    }

    /// Whether the operator works without it too.
    pub(crate) const fn is_optional(self) -> bool {
        matches!(self, Self::ActivityLogReader)
    }

    /// What its file says.
    pub(crate) fn defined(self) -> Option<Defined> {
        serde_json::from_str(match self {
            Self::Identities => include_str!("../../../../config/azure/roles/identities.json"),
            Self::FederatedCredentials => include_str!("../../../../config/azure/roles/federated-credentials.json"),
            Self::RoleAssignments => include_str!("../../../../config/azure/roles/role-assignments.json"),
            Self::RoleAssignmentsReader => include_str!("../../../../config/azure/roles/role-assignments-reader.json"),
            Self::ActivityLogReader => include_str!("../../../../config/azure/roles/activity-log-reader.json"),
            Self::ClusterReader => include_str!("../../../../config/azure/roles/cluster-reader.json"),
        })
        .ok()
    }
}
