//! What is there, in words that a case can list.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ServiceAccount;
use serde_json::{Value, json};
use wio_api::keys;
use wio_azure_sim::{Credential, Identity, Snapshot};
use wio_testkit::abuse::{Case, SUBSCRIPTION, Stands};

use crate::world::World;

/// What is there at a moment: things by their names in words, and whatever else of them must not change.
pub(super) struct Facts {
    identities: BTreeMap<String, Value>,
    credentials: BTreeMap<String, Value>,
    roles: BTreeMap<String, Value>,
    client_ids: BTreeMap<String, Value>,
    accounts: BTreeMap<String, Value>,
}

/// How an identity is named in a case.
pub(super) fn name_of(case: &Case, identity: &Identity) -> String {
    let id = &identity.id;
    let foreign = case.given.identities.iter().any(|given| {
        let subscription = given.subscription.as_deref().unwrap_or(SUBSCRIPTION);
        subscription == id.subscription_id && given.group == id.resource_group && given.name == id.name
    });
    match identity.tags.get(keys::BINDING_TAG) {
        Some(binding) if !foreign => format!("of {binding}"),
        _ if id.subscription_id == SUBSCRIPTION => format!("{}/{}", id.resource_group, id.name),
        _ => format!("{}/{}/{}", id.subscription_id, id.resource_group, id.name),
    }
}

fn name_of_credential(credential: &Credential) -> String {
    let subject = credential.subject.as_deref().unwrap_or("nobody");
    let account = subject
        .strip_prefix("system:serviceaccount:")
        .filter(|_| credential.issuer == wio_testkit::DEFAULT_ISSUER)
        .map(|account| account.replacen(':', "/", 1));
    let trusted = account.unwrap_or_else(|| format!("{} {subject}", credential.issuer));
    match credential.audiences.as_slice() {
        [usual] if usual == "api://AzureADTokenExchange" => trusted,
        others => format!("{trusted} for {}", others.join(", ")),
    }
}

// === impl Facts ===

impl Facts {
    pub(super) fn of(world: &World, case: &Case) -> Self {
        let azure = world.azure.snapshot();
        let accounts = world.cluster.list::<ServiceAccount>();
        let named = || {
            azure
                .identities
                .iter()
                .map(|identity| (name_of(case, identity), identity))
        };
        Self {
            identities: named()
                .map(|(name, one)| (name, json!([one.tags, one.client_id, one.principal_id, one.location])))
                .collect(),
            credentials: named()
                .flat_map(|(name, one)| {
                    let line = move |it: &Credential| (format!("{name}: {}", name_of_credential(it)), json!(it.name));
                    one.credentials.iter().map(line).collect::<Vec<_>>()
                })
                .collect(),
            roles: roles(case, &azure),
            client_ids: accounts
                .iter()
                .filter_map(|account| {
                    let id = account.metadata.annotations.as_ref()?.get(keys::CLIENT_ID_ANNOTATION)?;
                    let of = named().find(|(_, identity)| identity.client_id.to_string() == *id);
                    let of = of.map_or_else(|| id.clone(), |(name, _)| name);
                    Some((format!("{}: {of}", path(account)), Value::Null))
                })
                .collect(),
            accounts: accounts
                .iter()
                .map(|account| (path(account), kept(case, account)))
                .collect(),
        }
    }

    /// What differs from what a case says: nothing that was there may be gone or changed, and beside it stands what is listed.
    pub(super) fn differences(&self, after: &Self, stands: &Stands) -> Vec<String> {
        let mut found = Vec::new();
        let bound = |line: &String| {
            line.split_once(": ")
                .map(|(account, identity)| (account.to_owned(), identity.to_owned()))
        };
        let bound: Vec<(String, String)> = stands.bound.iter().filter_map(bound).collect();
        let trusted = bound.iter().map(|(account, identity)| format!("{identity}: {account}"));
        let managed = bound
            .iter()
            .map(|(_, identity)| identity)
            .filter(|identity| identity.starts_with("of "));
        let listed = |lines: &[String], more: Vec<String>| lines.iter().cloned().chain(more).collect::<BTreeSet<_>>();
        for (what, before, after, may_stand) in [
            (
                "identity",
                &self.identities,
                &after.identities,
                listed(&stands.identities, managed.cloned().collect()),
            ),
            (
                "credential",
                &self.credentials,
                &after.credentials,
                listed(&stands.credentials, trusted.collect()),
            ),
            ("role", &self.roles, &after.roles, listed(&stands.roles, Vec::new())),
            (
                "client id",
                &self.client_ids,
                &after.client_ids,
                listed(&stands.client_ids, stands.bound.clone()),
            ),
        ] {
            let new: BTreeSet<String> = after
                .keys()
                .filter(|name| !before.contains_key(*name))
                .cloned()
                .collect();
            found.extend(new.difference(&may_stand).map(|it| format!("gained {what} {it}")));
            found.extend(may_stand.difference(&new).map(|it| format!("lacks {what} {it}")));
            found.extend(lost(what, before, after));
        }
        found.extend(lost("service account", &self.accounts, &after.accounts));
        found
    }
}

fn lost(what: &str, before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let changed = before.iter().filter(|(name, value)| after.get(*name) != Some(*value));
    changed
        .map(|(name, _)| format!("lost or changed {what} {name}"))
        .collect()
}

fn roles(case: &Case, azure: &Snapshot) -> BTreeMap<String, Value> {
    let principal = |id| {
        let of = azure.identities.iter().find(|identity| identity.principal_id == id);
        of.map_or_else(|| format!("nobody ({id})"), |identity| name_of(case, identity))
    };
    let line = |it: &wio_azure_sim::RoleAssignment| {
        let line = format!(
            "{}: {} at {}",
            principal(it.principal_id),
            it.role_definition_id,
            it.scope
        );
        (line, json!(it.name))
    };
    azure.role_assignments.iter().map(line).collect()
}

fn path(account: &ServiceAccount) -> String {
    let metadata = &account.metadata;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{}/{}", part(&metadata.namespace), part(&metadata.name))
}

/// What of a service account must not change: in the tenant's own namespace that it is the same one, as the tenant may edit it.
fn kept(case: &Case, account: &ServiceAccount) -> Value {
    let metadata = &account.metadata;
    if metadata.namespace == Some(case.namespace()) {
        json!(metadata.uid)
    } else {
        json!([metadata.uid, metadata.labels, metadata.annotations])
    }
}
