//! Whether the caller's role assignments allow a call.

use http::StatusCode;
use jiff::Timestamp;
use uuid::Uuid;

use crate::access::built_in_roles::built_in_roles;
use crate::access::caller::Caller;
use crate::access::conditions::{Attempt, holds};
use crate::access::patterns::covers;
use crate::answer::{Answer, Outcome};
use crate::model::{Permission, RoleDefinition};
use crate::resources::Resources;
use crate::state::State;
use crate::target::lies_within;

/// Lets the call pass when a role assignment at the scope or above it grants the action, has had its time to spread, and
/// its condition holds.
pub(crate) fn require(
    state: &State,
    caller: &Caller,
    attempt: &Attempt<'_>,
    scope: &str,
    now: Timestamp,
) -> Outcome<()> {
    let id = Uuid::try_parse(&caller.principal).unwrap_or_default();
    let action = attempt.action;
    let mut conditions = state
        .granting(now)
        .filter(|assignment| {
            assignment.principal_id == id
                && lies_within(scope, &assignment.scope)
                && role(&state.live, assignment.role_definition_id).is_some_and(|role| grants(role, action))
        })
        .map(|assignment| assignment.condition.as_deref())
        .peekable();
    let conditional = conditions.peek().is_some();
    if conditions.any(|condition| condition.is_none_or(|condition| holds(condition, attempt))) {
        return Ok(());
    }
    let Caller { principal, client } = caller;
    let lacks = if conditional {
        "has an authorization with ABAC condition that is not fulfilled"
    } else {
        "does not have authorization"
    };
    let message = format!(
        "The client '{client}' with object id '{principal}' {lacks} to perform action '{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your credentials."
    );
    Err(Answer::error(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
        .with_header("x-ms-failure-cause", "gateway"))
}

/// A role definition, built in or custom.
pub(crate) fn role(resources: &Resources, name: Uuid) -> Option<&RoleDefinition> {
    built_in_roles().get(&name).or_else(|| resources.definitions.get(&name))
}

fn grants(role: &RoleDefinition, action: &str) -> bool {
    // `userAssignedIdentities/*/read` is how Managed Identity Operator may read the identity itself, too.
    let covers = |pattern: &String| covers(pattern, action) || covers(&pattern.replace("/*/", "/"), action);
    let any = |patterns: &[String]| patterns.iter().any(covers);
    role.permissions.iter().any(
        |Permission {
             actions, not_actions, ..
         }| any(actions) && !any(not_actions),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role_of(guid: &str) -> &'static RoleDefinition {
        &built_in_roles()[&Uuid::try_parse(guid).unwrap()]
    }

    #[test]
    fn a_contributor_assigns_no_roles() {
        let contributor = role_of("b24988ac-6180-42a0-ab88-20f7382dd24c");
        assert!(grants(
            contributor,
            "Microsoft.ManagedIdentity/userAssignedIdentities/write"
        ));
        assert!(!grants(contributor, "Microsoft.Authorization/roleAssignments/write"));
        assert!(grants(
            role_of("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"),
            "Microsoft.Authorization/roleAssignments/write"
        ));
    }

    #[test]
    fn a_managed_identity_contributor_manages_identities_and_their_credentials_alone() {
        let role = role_of("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59");
        let identity = "Microsoft.ManagedIdentity/userAssignedIdentities";
        for action in [
            "write",
            "delete",
            "federatedIdentityCredentials/write",
            "federatedIdentityCredentials/delete",
        ] {
            assert!(grants(role, &format!("{identity}/{action}")), "{action}");
        }
        assert!(grants(role, "Microsoft.Authorization/roleAssignments/read"));
        assert!(!grants(role, "Microsoft.Authorization/roleAssignments/write"));
        assert!(!grants(role, &format!("{identity}/assign/action")));
        let operator = role_of("f1a07417-d97a-45cb-824c-7a7467783830");
        assert!(grants(operator, &format!("{identity}/read")) && !grants(operator, &format!("{identity}/write")));
    }
}
