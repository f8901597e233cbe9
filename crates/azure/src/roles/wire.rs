//! Role assignments as JSON: bodies of requests and of answers.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use wio_core::desired::DesiredRole;
use wio_core::names::{PrincipalId, RoleDefinitionGuid, Scope};
use wio_core::observed::ObservedRoleAssignment;
use wio_core::role_terms::RoleTerms;

/// A role assignment in an answer.
#[derive(Deserialize)]
pub(super) struct Assignment {
    name: String,
    properties: Properties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    scope: String,
    role_definition_id: String,
    principal_id: String,
    #[serde(default)]
    condition: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

// === impl Assignment ===

impl Assignment {
    /// The role assignment, parsed. None when it breaks Azure's own rules: such a one is not ours.
    pub(super) fn observed(self) -> Option<ObservedRoleAssignment> {
        let parsed = || {
            Some(ObservedRoleAssignment {
                name: self.name.parse().ok()?,
                // It comes back with the subscription of the request, whatever was sent, and in whatever case: the GUID is
                // what it means.
                definition: self.properties.role_definition_id.rsplit('/').next()?.parse().ok()?,
                principal: self.properties.principal_id.parse().ok()?,
                scope: self.properties.scope.clone(),
                terms: Some(RoleTerms::shown(
                    self.properties.condition.clone(),
                    self.properties.description.clone(),
                )),
            })
        };
        let observed = parsed();
        if observed.is_none() {
            tracing::debug!(name = self.name, "a role assignment is left out");
        }
        observed
    }
}

/// The body of a request that gives a principal a role.
pub(super) fn request(role: &DesiredRole, principal: PrincipalId) -> Value {
    let mut properties = Map::from_iter([
        (
            "roleDefinitionId".to_owned(),
            Value::from(definition_id(role.scope(), role.definition())),
        ),
        ("principalId".to_owned(), Value::from(principal.to_string())),
        // Without it Azure looks the principal up, and does not find one that it has only just made.
        ("principalType".to_owned(), Value::from("ServicePrincipal")),
    ]);
    // What is left out is taken away from one that stands.
    if let Some(condition) = &role.terms.condition {
        properties.insert("condition".to_owned(), Value::from(condition.as_str()));
        properties.insert("conditionVersion".to_owned(), Value::from(CONDITION_VERSION));
    }
    if let Some(description) = &role.terms.description {
        properties.insert("description".to_owned(), Value::from(description.as_str()));
    }
    json!({ "properties": properties })
}

/// The language of conditions that Azure takes.
const CONDITION_VERSION: &str = "2.0";

/// The id of a role in the subscription where it is to hold: a custom role is only known there.
fn definition_id(scope: &Scope, definition: RoleDefinitionGuid) -> String {
    let within = scope
        .subscription()
        .map(|subscription| format!("/subscriptions/{subscription}"))
        .unwrap_or_default();
    format!("{within}/providers/Microsoft.Authorization/roleDefinitions/{definition}")
}
