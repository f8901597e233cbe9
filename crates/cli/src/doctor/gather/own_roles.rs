//! What the operator's own identity may do in Azure, as role assignments say.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use wio_azure::{Azure, RoleDefinition};
use wio_core::names::{ClientId, PrincipalId, RoleDefinitionGuid, Scope, SubscriptionId};

use super::super::facts::{Looked, OwnRights, Unseen};
use super::super::own_roles::{Held, Lack, Need, Needs, OwnRole, lacking};

/// The most subscriptions and management groups that are looked at: each costs a list, and each role that is held a read.
const AT_MOST: usize = 20;

/// Who the operator is, and where to look for it.
pub(super) struct Operator {
    pub(super) client_id: ClientId,
    pub(super) subscription: SubscriptionId,
}

/// What it lacks of what it needs.
pub(super) async fn own_rights(azure: &Azure, operator: &Operator, needs: &Needs) -> Looked<OwnRights> {
    let Operator {
        client_id,
        subscription,
    } = *operator;
    let found = azure.find_identity(subscription, client_id).await?;
    let facts = found.and_then(|found| found.facts).ok_or_else(|| {
        format!("no managed identity of subscription {subscription} has the operator's client id {client_id}, so its roles are not known")
    })?;
    let principal = facts.principal_id;
    let roots: BTreeSet<String> = needs.iter().map(root).collect();
    if roots.len() > AT_MOST {
        return Err(format!(
            "it works in {} subscriptions, and no more than {AT_MOST} are looked at",
            roots.len()
        )
        .into());
    }
    let mut lacks = Vec::new();
    for at in &roots {
        lacks.extend(lacks_below(azure, principal, (at, needs)).await?);
    }
    Ok(OwnRights {
        principal,
        places: needs.iter().count(),
        lacks,
    })
}

fn root(need: &Need) -> String {
    need.at.root().as_str().to_lowercase()
}

/// What it lacks in a subscription or management group.
async fn lacks_below(azure: &Azure, principal: PrincipalId, (at, needs): (&str, &Needs)) -> Looked<Vec<Lack>> {
    let scope: Scope = at.parse().map_err(|error| format!("{at}: {error}"))?;
    let held = held(azure, principal, &scope).await?;
    let mut lacks = Vec::new();
    for need in needs.iter().filter(|need| root(need) == at) {
        let Some(defined) = need.role.defined() else { continue };
        let actions = lacking(&defined.actions, &need.at, &held);
        if !actions.is_empty() {
            lacks.push(Lack {
                need: need.clone(),
                actions,
                is_defined: true,
            });
        }
    }
    // Whoever may not list them hears how to assign a role alone.
    if let (false, Ok(defined)) = (lacks.is_empty(), azure.list_custom_roles(&scope).await) {
        for lack in &mut lacks {
            let name = lack.need.role.defined().map(|defined| defined.name);
            lack.is_defined = defined.iter().any(|one| Some(&one.name) == name.as_ref());
        }
    }
    Ok(lacks)
}

/// The roles that a principal has in a subscription or management group, below it and from above it.
async fn held(azure: &Azure, principal: PrincipalId, scope: &Scope) -> Looked<Vec<Held>> {
    let assignments = azure.list_roles_held(scope, principal).await?;
    let mut roles: BTreeMap<RoleDefinitionGuid, Option<RoleDefinition>> = BTreeMap::new();
    let mut held = Vec::new();
    for one in assignments {
        if let Entry::Vacant(unread) = roles.entry(one.definition) {
            unread.insert(azure.get_role(scope, one.definition).await?);
        }
        if let Some(Some(role)) = roles.get(&one.definition) {
            held.push(Held {
                scope: one.scope.parse().ok().filter(|at: &Scope| at.subscription().is_some()),
                role: role.clone(),
            });
        }
    }
    Ok(held)
}

/// Which actions of one of the operator's roles a principal lacks at a scope.
pub(crate) async fn lacks_at(azure: &Azure, principal: PrincipalId, role: OwnRole, at: &str) -> Looked<Vec<String>> {
    let scope: Scope = at.parse().map_err(|error| format!("{at}: {error}"))?;
    let defined = role.defined().ok_or_else(|| Unseen::from("its role is not defined"))?;
    Ok(lacking(
        &defined.actions,
        &scope,
        &held(azure, principal, &scope).await?,
    ))
}
