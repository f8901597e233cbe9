//! Roles, read: <https://learn.microsoft.com/rest/api/authorization/role-definitions/list>.

use serde::Deserialize;
use wio_core::fault::{AzureCause, AzureFault};
use wio_core::names::{RoleDefinitionGuid, Scope};

use crate::client::Azure;
use crate::paging::list_all;
use crate::telemetry::Operation;

/// The bound on pages of a list: a tenant has at most 5000 custom roles.
const MAX_PAGES: usize = 100;

/// A role, as far as it says what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDefinition {
    /// The GUID of its definition.
    pub definition: RoleDefinitionGuid,
    /// What people call it.
    pub name: String,
    permissions: Vec<Permission>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Permission {
    actions: Vec<String>,
    not_actions: Vec<String>,
}

#[derive(Deserialize)]
struct Definition {
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    #[serde(default)]
    role_name: String,
    #[serde(default)]
    permissions: Vec<Permission>,
}

// === impl Definition ===

impl Definition {
    /// None when it breaks Azure's own rules.
    fn read(self) -> Option<RoleDefinition> {
        Some(RoleDefinition {
            definition: self.name.parse().ok()?,
            name: self.properties.role_name,
            permissions: self.properties.permissions,
        })
    }
}

// === impl RoleDefinition ===

impl RoleDefinition {
    /// Whether it allows an action of management, such as `Microsoft.Authorization/roleAssignments/write`.
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, action));
        let mut permissions = self.permissions.iter();
        permissions.any(|permission| any(&permission.actions) && !any(&permission.not_actions))
    }
}

/// Whether an action is one of those that a pattern names. A star stands for any text; case says nothing.
fn covers(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == action;
    };
    let (middle, last) = rest
        .rsplit_once('*')
        .map_or(("", rest), |(middle, last)| (middle, last));
    let Some(between) = action.strip_prefix(first).and_then(|left| left.strip_suffix(last)) else {
        return false;
    };
    let found = middle
        .split('*')
        .try_fold(between, |left, part| left.split_once(part).map(|(_, right)| right));
    found.is_some()
}

// === impl Azure ===

impl Azure {
    /// The custom roles that may be assigned at a scope. One that breaks Azure's own rules is left out.
    ///
    /// # Errors
    /// When any page cannot be had: half a list is no list.
    pub async fn list_custom_roles(&self, scope: &Scope) -> Result<Vec<RoleDefinition>, AzureFault> {
        let list = self.pipeline.urls.custom_roles(scope);
        let listed = list_all(&self.pipeline, Operation::ListRoleDefinitions, &list, MAX_PAGES).await;
        let listed = listed.map_err(|cause| AzureFault {
            operation: format!("list the custom roles at {scope}"),
            cause,
        })?;
        Ok(listed.filter_map(Definition::read).entries)
    }

    /// A role, built-in or custom; none where there is no such role for this scope.
    ///
    /// # Errors
    /// Everything that is neither.
    pub async fn get_role(
        &self,
        scope: &Scope,
        role: RoleDefinitionGuid,
    ) -> Result<Option<RoleDefinition>, AzureFault> {
        const NONE: &str = "RoleDefinitionDoesNotExist";
        let url = self.pipeline.urls.role(scope, role);
        match self
            .pipeline
            .get_json::<Definition>(Operation::GetRoleDefinition, url)
            .await
        {
            Ok(found) => Ok(found.read()),
            Err(AzureCause::Answer(answer)) if answer.code == NONE => Ok(None),
            Err(cause) => Err(AzureFault {
                operation: format!("read the role {role} at {scope}"),
                cause,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_its_stars_leave_open() {
        let action = "Microsoft.ContainerService/managedClusters/listClusterAdminCredential/action";
        for (pattern, expected) in [
            ("*", true),
            (action, true),
            ("microsoft.containerservice/*", true),
            ("*/action", true),
            ("Microsoft.ContainerService/*/listClusterAdminCredential/*", true),
            ("Microsoft.ContainerService/managedClusters/*/action", true),
            ("*/read", false),
            (
                "Microsoft.ContainerService/managedClusters/listClusterAdminCredential",
                false,
            ),
            ("Microsoft.ContainerService/*/listClusterUserCredential/*", false),
            ("Microsoft.Compute/*", false),
        ] {
            assert_eq!(covers(pattern, action), expected, "{pattern}");
        }
        assert!(!covers("ab*ba", "aba"), "one letter is not taken twice");
    }
}
