//! From the custom resource to what it grants. Total: what cannot be parsed grants nothing and is told.

use std::fmt;
use std::str::FromStr;

use wio_api::{ManagedIdentityPermission, RolePermission, WorkloadIdentityPolicy, WorkloadIdentityPolicySpec};

use super::namespaces::Namespaces;
use super::policies::{Legibility, Place, Policies, Policy, PolicyProblem, RoleAt};
use super::quota::Limits;
use crate::names::ResourceGroupId;

impl Policies {
    /// Parses policies, in whatever order they come.
    #[must_use]
    pub fn parse<'a>(objects: impl IntoIterator<Item = &'a WorkloadIdentityPolicy>) -> Self {
        let mut problems = Vec::new();
        let policies = objects
            .into_iter()
            .filter_map(|object| policy(object, &mut problems))
            .collect();
        Self::new(policies, problems)
    }
}

fn policy(object: &WorkloadIdentityPolicy, problems: &mut Vec<PolicyProblem>) -> Option<Policy> {
    let written = object.metadata.name.clone().unwrap_or_default();
    let mut tell = |field: String, problem: String| {
        problems.push(PolicyProblem {
            policy: written.clone(),
            field,
            problem,
        });
    };
    let name = one("metadata.name", &written, &mut tell)?;
    let spec = &object.spec;
    if !spec.unreadable.is_empty() {
        for unreadable in &spec.unreadable {
            let field = format!("spec.{}", unreadable.field);
            let problem = format!("this version of the operator cannot read it ({})", unreadable.problem);
            tell(field.trim_end_matches('.').to_owned(), problem);
        }
        return Some(Policy {
            legibility: Legibility::Unreadable,
            // What it limits it still limits.
            limits: limits(spec),
            namespaces: Namespaces::parse(&spec.namespaces, &mut tell),
            ..Policy::granting_nothing(name)
        });
    }
    Some(Policy {
        name,
        legibility: Legibility::Legible,
        namespaces: Namespaces::parse(&spec.namespaces, &mut tell),
        service_accounts: spec
            .service_accounts
            .as_ref()
            .map(|patterns| limited("spec.serviceAccounts", patterns, &mut tell)),
        existing: each("spec.existingIdentities", &spec.existing_identities, &mut tell),
        managed: spec
            .managed_identities
            .iter()
            .enumerate()
            .filter_map(|(index, asked)| place(&format!("spec.managedIdentities[{index}]"), asked, &mut tell))
            .collect(),
        roles: spec
            .roles
            .iter()
            .enumerate()
            .filter_map(|(index, asked)| role(&format!("spec.roles[{index}]"), asked, &mut tell))
            .collect(),
        limits: limits(spec),
        allow_orphan: spec.allow_orphan,
    })
}

fn limits(spec: &WorkloadIdentityPolicySpec) -> Limits {
    Limits {
        federated_credentials: limit(spec.max_federated_credentials),
        managed_identities: limit(spec.max_managed_identities),
        role_assignments: limit(spec.max_role_assignments),
    }
}

/// Below zero nothing is left but zero.
fn limit(max: Option<i64>) -> Option<usize> {
    max.map(|max| usize::try_from(max).unwrap_or_default())
}

fn place(field: &str, asked: &ManagedIdentityPermission, tell: &mut impl FnMut(String, String)) -> Option<Place> {
    let subscription = one(&format!("{field}.subscriptionId"), &asked.subscription_id, tell);
    let name = one(&format!("{field}.resourceGroup"), &asked.resource_group, tell);
    let name_prefix = one(&format!("{field}.namePrefix"), &asked.name_prefix, tell);
    let locations = asked
        .locations
        .as_ref()
        .map(|locations| limited(&format!("{field}.locations"), locations, tell));
    Some(Place {
        group: ResourceGroupId {
            subscription: subscription?,
            name: name?,
        },
        name_prefix: name_prefix?,
        locations,
        adopt: asked.adopt,
    })
}

fn role(field: &str, asked: &RolePermission, tell: &mut impl FnMut(String, String)) -> Option<RoleAt> {
    let definition = one(&format!("{field}.role"), &asked.role, tell);
    let scopes = limited(&format!("{field}.scopes"), &asked.scopes, tell);
    Some(RoleAt {
        definition: definition?,
        scopes,
    })
}

/// A list that would mean something else if it were empty: then it means nothing at all.
fn limited<T: FromStr<Err: fmt::Display>>(
    field: &str,
    texts: &[String],
    tell: &mut impl FnMut(String, String),
) -> Vec<T> {
    if texts.is_empty() {
        tell(field.to_owned(), "it is empty; name at least one".to_owned());
    }
    each(field, texts, tell)
}

fn each<T: FromStr<Err: fmt::Display>>(field: &str, texts: &[String], tell: &mut impl FnMut(String, String)) -> Vec<T> {
    texts
        .iter()
        .enumerate()
        .filter_map(|(index, text)| one(&format!("{field}[{index}]"), text, tell))
        .collect()
}

fn one<T: FromStr<Err: fmt::Display>>(field: &str, text: &str, tell: &mut impl FnMut(String, String)) -> Option<T> {
    text.parse()
        .map_err(|problem: T::Err| tell(field.to_owned(), problem.to_string()))
        .ok()
}
