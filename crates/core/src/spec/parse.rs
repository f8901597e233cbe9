//! Parsing a spec: every field that cannot be used is named, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use wio_api::limits::{ROLE_ASSIGNMENTS_MAX, SERVICE_ACCOUNTS_MAX};
use wio_api::{
    AssignedRole, BoundServiceAccount, ExistingIdentity, IdentitySource, ManagedIdentity, UnreadableField,
    WorkloadIdentityBindingSpec,
};

use super::types::{
    ExistingRef, IdentityRef, InvalidField, ManagedRef, RoleRef, ServiceAccountRef, Spec, TokenExpiration,
};
use crate::names::InvalidName;
use crate::role_terms::RoleTerms;

/// Parses a spec. The schema of the custom resource refuses the same things at admission; here they are parsed
/// again, because a schema can be older than the operator.
///
/// # Errors
/// Every field that cannot be used.
pub fn parse(spec: &WorkloadIdentityBindingSpec) -> Result<Spec, Vec<InvalidField>> {
    if !spec.unreadable.is_empty() {
        return Err(spec.unreadable.iter().map(unreadable).collect());
    }
    let mut invalid = Vec::new();
    let identity = identity(&spec.identity, &mut invalid);
    let service_accounts = service_accounts(&spec.service_accounts, &mut invalid);
    let role_assignments = role_assignments(&spec.role_assignments, &mut invalid);
    let audience = optional("spec.audience", spec.audience.as_deref(), &mut invalid);
    let export = spec.export.as_ref().map(|export| export.config_map.name.as_str());
    let export = optional("spec.export.configMap.name", export, &mut invalid);
    match identity {
        Some(identity) if invalid.is_empty() => Ok(Spec {
            identity,
            service_accounts,
            role_assignments,
            audience,
            export,
            verification: spec.verification.as_ref().map(|verification| verification.mode),
        }),
        _ => Err(invalid),
    }
}

fn unreadable(unreadable: &UnreadableField) -> InvalidField {
    InvalidField {
        field: format!("spec.{}", unreadable.field).trim_end_matches('.').to_owned(),
        problem: format!(
            "this version of the operator cannot read it ({}). Nothing is given for the spec and nothing is taken away for it \
             until that is changed, or an operator runs that can read it",
            unreadable.problem
        ),
    }
}

/// The identity that a spec means, whatever else in it cannot be used: what was made for it before is taken away by this alone. None
/// when its id cannot be told.
#[must_use]
pub fn identity_meant(source: &IdentitySource) -> Option<IdentityRef> {
    let mut invalid = Vec::new();
    let named = identity(
        &IdentitySource {
            managed: source.managed.as_ref().map(named_alone),
            existing: source.existing.clone(),
        },
        &mut invalid,
    );
    named.filter(|_| invalid.is_empty())
}

/// Only what says where a managed identity is and how it is called.
fn named_alone(managed: &ManagedIdentity) -> ManagedIdentity {
    ManagedIdentity {
        tags: BTreeMap::new(),
        location: None,
        ..managed.clone()
    }
}

fn identity(source: &IdentitySource, invalid: &mut Vec<InvalidField>) -> Option<IdentityRef> {
    match (&source.managed, &source.existing) {
        (Some(managed), None) => Some(IdentityRef::Managed(managed_identity(managed, invalid))),
        (None, Some(existing)) => existing_identity(existing, invalid).map(IdentityRef::Existing),
        _ => {
            invalid.push(InvalidField {
                field: "spec.identity".to_owned(),
                problem: "exactly one of managed and existing must be set".to_owned(),
            });
            None
        }
    }
}

fn existing_identity(existing: &ExistingIdentity, invalid: &mut Vec<InvalidField>) -> Option<ExistingRef> {
    const FIELD: &str = "spec.identity.existing";
    let subscription = &existing.subscription_id;
    match (&existing.resource_id, &existing.name, &existing.resource_group) {
        (Some(id), None, None) if subscription.is_none() => {
            required(&format!("{FIELD}.resourceId"), id, invalid).map(ExistingRef::Id)
        }
        (None, Some(name), Some(group)) => {
            let before = invalid.len();
            let name = required(&format!("{FIELD}.name"), name, invalid);
            let resource_group = required(&format!("{FIELD}.resourceGroup"), group, invalid);
            let subscription = optional(&format!("{FIELD}.subscriptionId"), subscription.as_deref(), invalid);
            // Another subscription than the one that was meant must not be the operator's own.
            let usable = invalid.len() == before;
            Some(ExistingRef::Named {
                subscription,
                resource_group: resource_group?,
                name: name?,
            })
            .filter(|_| usable)
        }
        _ => {
            invalid.push(InvalidField {
                field: FIELD.to_owned(),
                problem: "it must be resourceId alone, or name and resourceGroup, with subscriptionId where it is not the operator's".to_owned(),
            });
            None
        }
    }
}

fn managed_identity(managed: &ManagedIdentity, invalid: &mut Vec<InvalidField>) -> ManagedRef {
    const FIELD: &str = "spec.identity.managed";
    for tag in managed
        .tags
        .keys()
        .filter(|tag| tag.to_ascii_lowercase().starts_with(wio_api::GROUP))
    {
        invalid.push(InvalidField {
            field: format!("{FIELD}.tags"),
            problem: format!(
                "{tag:?} begins with {}, which only the operator may use",
                wio_api::GROUP
            ),
        });
    }
    for (name, same) in same_tags(&managed.tags) {
        invalid.push(InvalidField {
            field: format!("{FIELD}.tags"),
            problem: format!("{name:?} and {same:?} are one tag to Azure, which disregards case; keep one of them"),
        });
    }
    ManagedRef {
        name: optional(&format!("{FIELD}.name"), managed.name.as_deref(), invalid),
        subscription: optional(
            &format!("{FIELD}.subscriptionId"),
            managed.subscription_id.as_deref(),
            invalid,
        ),
        resource_group: optional(
            &format!("{FIELD}.resourceGroup"),
            managed.resource_group.as_deref(),
            invalid,
        ),
        location: optional(&format!("{FIELD}.location"), managed.location.as_deref(), invalid),
        tags: managed.tags.clone(),
        adopt: managed.adopt,
    }
}

/// The pairs of tag names that differ in case alone.
fn same_tags(tags: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    let mut seen = BTreeMap::new();
    tags.keys()
        .filter_map(|name| Some((seen.insert(name.to_ascii_lowercase(), name.as_str())?, name.as_str())))
        .collect()
}

fn service_accounts(accounts: &[BoundServiceAccount], invalid: &mut Vec<InvalidField>) -> Vec<ServiceAccountRef> {
    const FIELD: &str = "spec.serviceAccounts";
    if accounts.is_empty() || accounts.len() > SERVICE_ACCOUNTS_MAX {
        invalid.push(InvalidField {
            field: FIELD.to_owned(),
            problem: format!(
                "it holds {} service accounts; 1 to {SERVICE_ACCOUNTS_MAX} are possible",
                accounts.len()
            ),
        });
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut parsed = Vec::new();
    for (index, account) in accounts.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        if !seen.insert(account.name.as_str()) {
            invalid.push(InvalidField {
                field: format!("{field}.name"),
                problem: format!("{:?} stands in the list twice", account.name),
            });
        }
        let token_expiration = account.token_expiration_seconds.and_then(|seconds| {
            let parsed = TokenExpiration::new(seconds);
            if parsed.is_none() {
                invalid.push(InvalidField {
                    field: format!("{field}.tokenExpirationSeconds"),
                    problem: format!("{seconds} is not between 3600 and 86400"),
                });
            }
            parsed
        });
        if let Some(name) = required(&format!("{field}.name"), &account.name, invalid) {
            parsed.push(ServiceAccountRef {
                name,
                create: account.create,
                token_expiration,
                conflict_policy: account.conflict_policy,
            });
        }
    }
    parsed
}

fn role_assignments(roles: &[AssignedRole], invalid: &mut Vec<InvalidField>) -> Vec<RoleRef> {
    const FIELD: &str = "spec.roleAssignments";
    if roles.len() > ROLE_ASSIGNMENTS_MAX {
        invalid.push(InvalidField {
            field: FIELD.to_owned(),
            problem: format!(
                "it holds {} role assignments; at most {ROLE_ASSIGNMENTS_MAX} are possible",
                roles.len()
            ),
        });
        return Vec::new();
    }
    // A name and its GUID are one role, and a scope is the same in any case.
    let mut parsed: Vec<RoleRef> = Vec::new();
    for (index, asked) in roles.iter().enumerate() {
        let Some(role) = role_assignment(&format!("{FIELD}[{index}]"), asked, invalid) else {
            continue;
        };
        let same = |other: &&RoleRef| other.definition == role.definition && other.scope == role.scope;
        match parsed.iter().find(same) {
            None => parsed.push(role),
            Some(other) if other.terms == role.terms => {}
            Some(other) => invalid.push(InvalidField {
                field: format!("{FIELD}[{index}]"),
                problem: format!(
                    "it is the same role at the same scope as {:?} in the list, with another condition or description; Azure keeps one of them",
                    other.role
                ),
            }),
        }
    }
    parsed
}

fn role_assignment(field: &str, asked: &AssignedRole, invalid: &mut Vec<InvalidField>) -> Option<RoleRef> {
    let definition = required(&format!("{field}.role"), &asked.role, invalid);
    let scope = required(&format!("{field}.scope"), &asked.scope, invalid);
    let tell = |part: &'static str, problem| {
        invalid.push(InvalidField {
            field: format!("{field}.{part}"),
            problem,
        });
    };
    let terms = RoleTerms::parse(asked.condition.as_deref(), asked.description.as_deref(), tell);
    Some(RoleRef {
        role: asked.role.clone(),
        definition: definition?,
        scope: scope?,
        terms,
    })
}

fn required<T: FromStr<Err = InvalidName>>(field: &str, text: &str, invalid: &mut Vec<InvalidField>) -> Option<T> {
    text.parse()
        .map_err(|problem: InvalidName| {
            invalid.push(InvalidField {
                field: field.to_owned(),
                problem: problem.to_string(),
            });
        })
        .ok()
}

fn optional<T: FromStr<Err = InvalidName>>(
    field: &str,
    text: Option<&str>,
    invalid: &mut Vec<InvalidField>,
) -> Option<T> {
    text.and_then(|text| required(field, text, invalid))
}
