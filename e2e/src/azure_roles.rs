//! The operator's roles in Azure, as `config/azure` has them, and where the platform team assigns them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::paths::repository;
use crate::simulator::{
    OTHER_GROUP, PLATFORM_GROUP, RESOURCE_GROUP, RESTRICTED_GROUP, ROLE_OF_WORKLOADS, SUBSCRIPTION, cluster_id,
    group_id,
};

/// May create identities.
pub const IDENTITIES: &str = "identities";
/// May bind identities of others.
pub const FEDERATED_CREDENTIALS: &str = "federated-credentials";
/// May assign roles.
pub const ROLE_ASSIGNMENTS: &str = "role-assignments";
/// May see who has which role.
pub const ROLE_ASSIGNMENTS_READER: &str = "role-assignments-reader";
/// May see who changed what.
pub const ACTIVITY_LOG_READER: &str = "activity-log-reader";
/// May see by which identities the cluster acts.
pub const CLUSTER_READER: &str = "cluster-reader";

/// A role of `config/azure/roles`, as the Azure CLI takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[allow(dead_code, reason = "a field that is not known here would be one that is not obeyed")]
pub struct AzureRole {
    /// The name for people.
    pub name: String,
    is_custom: bool,
    description: String,
    /// What it allows.
    pub actions: Vec<String>,
    not_actions: [String; 0],
    data_actions: [String; 0],
    not_data_actions: [String; 0],
    assignable_scopes: Vec<String>,
}

/// A role and where it is assigned.
#[derive(Clone, Debug)]
pub struct Granted {
    /// The role's file, without its ending.
    pub file: &'static str,
    /// What it allows.
    pub role: AzureRole,
    /// The id of the resource group or subscription.
    pub scope: String,
}

/// Every role of the operator, where it is assigned.
pub fn granted() -> Result<Vec<Granted>> {
    let places = [
        (IDENTITIES, group_id(RESOURCE_GROUP)),
        (FEDERATED_CREDENTIALS, group_id(PLATFORM_GROUP)),
        (FEDERATED_CREDENTIALS, group_id(RESTRICTED_GROUP)),
        (FEDERATED_CREDENTIALS, group_id(OTHER_GROUP)),
        (ROLE_ASSIGNMENTS, group_id(PLATFORM_GROUP)),
        (ROLE_ASSIGNMENTS_READER, subscription()),
        (ACTIVITY_LOG_READER, subscription()),
        (CLUSTER_READER, cluster_id()),
    ];
    let granted = places.into_iter().map(|(file, scope)| {
        let role = AzureRole::read(file)?;
        Ok(Granted { file, role, scope })
    });
    granted.collect()
}

/// Whether it is a list of the identities of a resource group in which the operator was given nothing to do with identities.
#[must_use]
pub fn is_list_elsewhere(granted: &[Granted], path: &str, action: &str) -> bool {
    const PROVIDER: &str = "Microsoft.ManagedIdentity";
    let lower = path.to_lowercase();
    let segments: Vec<&str> = lower.split('/').skip(1).collect();
    let lists = matches!(
        segments.as_slice(),
        [
            "subscriptions",
            _,
            "resourcegroups",
            _,
            "providers",
            "microsoft.managedidentity",
            "userassignedidentities"
        ]
    );
    let of_identities = |one: &&Granted| one.role.actions.iter().any(|action| action.starts_with(PROVIDER));
    lists
        && action == format!("{PROVIDER}/userAssignedIdentities/read")
        && !granted.iter().filter(of_identities).any(|one| one.reaches(path))
}

/// The names of all files of roles, so that none is forgotten.
pub fn files() -> Result<Vec<String>> {
    let folder = folder();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.context("reading the folder of roles")?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default();
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The condition that limits [`ROLE_ASSIGNMENTS`], filled in as its reader is told to.
pub fn condition() -> Result<String> {
    let text = read(&format!("{ROLE_ASSIGNMENTS}.condition"))?;
    Ok(text.replace("ROLES", ROLE_OF_WORKLOADS))
}

fn subscription() -> String {
    format!("/subscriptions/{SUBSCRIPTION}")
}

fn folder() -> PathBuf {
    repository().join("config/azure/roles")
}

fn read(file: &str) -> Result<String> {
    let path = folder().join(file);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

// === impl AzureRole ===

impl AzureRole {
    /// Reads the role's file.
    pub fn read(file: &str) -> Result<Self> {
        serde_json::from_str(&read(&format!("{file}.json"))?).with_context(|| format!("the role {file}"))
    }

    /// The role's GUID, which Azure's clients choose.
    #[must_use]
    pub fn guid(&self) -> String {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, self.name.as_bytes()).to_string()
    }

    /// As Azure Resource Manager takes it.
    pub(crate) fn body(&self) -> Value {
        json!({ "properties": {
            "roleName": self.name,
            "type": "CustomRole",
            "description": self.description,
            "permissions": [{ "actions": self.actions }],
            "assignableScopes": [subscription()],
        } })
    }
}

// === impl Granted ===

impl Granted {
    /// Whether a path of Azure Resource Manager lies at or below the scope.
    #[must_use]
    pub fn reaches(&self, path: &str) -> bool {
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let mut scope = self.scope.split('/').filter(|segment| !segment.is_empty());
        scope.all(|outer| segments.next().is_some_and(|inner| inner.eq_ignore_ascii_case(outer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_of_config_azure_is_assigned_somewhere() {
        let mut assigned: Vec<&str> = granted().unwrap().iter().map(|granted| granted.file).collect();
        assigned.sort_unstable();
        assigned.dedup();
        assert_eq!(assigned, files().unwrap());
    }

    #[test]
    fn a_role_reaches_whole_segments_in_any_case() {
        let granted = granted().unwrap();
        let platform = granted.iter().find(|it| it.scope == group_id(PLATFORM_GROUP)).unwrap();
        assert!(platform.reaches(&group_id(PLATFORM_GROUP).to_uppercase()));
        assert!(platform.reaches(&format!("{}/providers/a", group_id(PLATFORM_GROUP))));
        assert!(!platform.reaches(&format!("{}-2", group_id(PLATFORM_GROUP))));
        assert!(!platform.reaches(&subscription()));
    }

    #[test]
    fn only_a_list_of_a_group_without_a_role_is_one_elsewhere() {
        const READ: &str = "Microsoft.ManagedIdentity/userAssignedIdentities/read";
        let granted = granted().unwrap();
        let identities = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
        let of_group = |name: &str| format!("{}/{identities}", group_id(name));
        let elsewhere = |path: &str, action: &str| is_list_elsewhere(&granted, path, action);
        assert!(elsewhere(&of_group("team"), READ));
        assert!(elsewhere(&of_group("team").to_lowercase(), READ));
        for ours in [RESOURCE_GROUP, PLATFORM_GROUP, RESTRICTED_GROUP, OTHER_GROUP] {
            assert!(!elsewhere(&of_group(ours), READ), "{ours}");
        }
        let whole = format!("{}/{identities}", subscription());
        let one = format!("{}/orders", of_group("team"));
        let credentials = format!("{one}/federatedIdentityCredentials");
        for other in [whole, one, credentials] {
            assert!(!elsewhere(&other, READ), "{other}");
        }
        assert!(!elsewhere(&of_group("team"), &READ.replace("read", "write")));
    }

    #[test]
    fn the_condition_is_filled_in() {
        let condition = condition().unwrap();
        assert!(
            !condition.contains("ROLES") && condition.contains(ROLE_OF_WORKLOADS),
            "{condition}"
        );
    }
}
