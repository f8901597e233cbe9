//! Creating or annotating a service account.

use std::collections::BTreeMap;

use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value};
use wio_api::{ConflictPolicy, keys};
use wio_core::desired::DesiredServiceAccount;
use wio_core::fault::Fault;
use wio_core::observed::{BoundBy, IdentityFacts, ObservedServiceAccount};
use wio_core::owner::Owner;

use super::wire::{self, api};
use crate::runtime::own_write::OwnWrite;
use crate::runtime::request::{malformed, request};

/// A service account as it was applied.
pub(crate) struct Applied {
    pub(crate) account: ObservedServiceAccount,
    /// The write, which the cache may not show yet; none when its answer carries no version.
    pub(crate) write: Option<OwnWrite>,
}

/// Creates or annotates a service account. Never an object of another UID than the one that was seen.
pub(crate) async fn apply(
    client: &Client,
    owner: &Owner,
    wanted: &DesiredServiceAccount,
    seen: Option<&ObservedServiceAccount>,
    facts: &IdentityFacts,
) -> Result<Applied, Fault> {
    let name = &wanted.name;
    let created_by_us = seen.is_none_or(|seen| seen.created_by_us);
    let mut parameters = PatchParams::apply(keys::FIELD_MANAGER);
    parameters.force = wanted.conflict_policy == ConflictPolicy::Force;
    let body = wire::Applied {
        namespace: &owner.namespace,
        name,
        uid: seen.map(|seen| &seen.uid),
        version: None,
        labels: labels(owner, created_by_us),
        annotations: annotations(owner, wanted, facts),
    };
    let operation = || format!("annotate the service account {name}");
    let patch = Patch::Apply(body.json());
    let written = request(
        operation,
        api(client, &owner.namespace).patch_metadata(name.as_str(), &parameters, &patch),
    )
    .await?;
    let Some(uid) = written.metadata.uid.as_deref().and_then(|uid| uid.parse().ok()) else {
        return Err(malformed(operation(), "it carries no UID"));
    };
    Ok(Applied {
        account: ObservedServiceAccount {
            uid,
            client_id: Some(facts.client_id.to_string()),
            tenant_id: Some(facts.tenant_id.to_string()),
            token_expiration: wanted.token_expiration.map(|seconds| seconds.to_string()),
            bound_by: BoundBy::Us,
            created_by_us,
            held: BTreeMap::new(),
        },
        write: OwnWrite::of(&written),
    })
}

fn labels(owner: &Owner, created_by_us: bool) -> Map<String, Value> {
    let bound_by = (keys::BOUND_BY_LABEL.to_owned(), Value::from(owner.uid.as_str()));
    let created = created_by_us.then(|| (keys::CREATED_LABEL.to_owned(), Value::from("true")));
    std::iter::once(bound_by).chain(created).collect()
}

fn annotations(owner: &Owner, wanted: &DesiredServiceAccount, facts: &IdentityFacts) -> Map<String, Value> {
    let expiration = wanted.token_expiration.map(|seconds| seconds.to_string());
    [
        (keys::BINDING_ANNOTATION, Some(owner.name.to_string())),
        (keys::CLIENT_ID_ANNOTATION, Some(facts.client_id.to_string())),
        (keys::TENANT_ID_ANNOTATION, Some(facts.tenant_id.to_string())),
        (keys::TOKEN_EXPIRATION_ANNOTATION, expiration),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?))))
    .collect()
}
