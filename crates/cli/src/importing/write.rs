//! From what was found to bindings and policies. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wio_api::WorkloadIdentityBinding;
use wio_api::limits::{EXISTING_IDENTITIES_MAX, SERVICE_ACCOUNTS_MAX};
use wio_core::names::{Audience, IdentityId, hash};

use super::found::{Found, Left, Trust, Which};

/// Which objects are wanted: the policies have to stand before the bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Only {
    /// The policies.
    Policies,
    /// The bindings.
    Bindings,
}

/// The objects to apply, and what they do not carry on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Written {
    pub(crate) policies: Vec<Value>,
    pub(crate) bindings: Vec<Value>,
    pub(crate) left: BTreeSet<Left>,
    /// What is said of objects: where they come from.
    pub(crate) notes: Vec<String>,
}

/// One identity of a namespace, and who gets its tokens.
#[derive(Clone, Debug, Default)]
struct Group {
    accounts: BTreeSet<String>,
    audiences: BTreeSet<String>,
    by: BTreeSet<String>,
}

type Groups = BTreeMap<(String, String), (IdentityId, Group)>;

/// Writes bindings for what was found and no binding has yet, in one namespace or in all.
pub(crate) fn write(found: &Found, existing: &[WorkloadIdentityBinding], within: Option<&str>) -> Written {
    let mut written = Written {
        left: found.left.iter().cloned().collect(),
        ..Written::default()
    };
    let groups = groups(found, existing, within, &mut written);
    let mut names: BTreeSet<(String, String)> = existing
        .iter()
        .filter_map(|one| Some((one.metadata.namespace.clone()?, one.metadata.name.clone()?)))
        .collect();
    let mut allowed: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for ((namespace, _), (id, group)) in &groups {
        if let Some(why) = group.cannot_be_bound() {
            written.left.insert(Left {
                what: format!("{id} in namespace {namespace}"),
                why,
            });
            continue;
        }
        allowed.entry(namespace).or_default().push(id.to_string());
        let name = free_name(namespace, id, group, &mut names);
        let by: Vec<&str> = group.by.iter().map(String::as_str).collect();
        written
            .notes
            .push(format!("binding {namespace}/{name}: {}", by.join(", ")));
        written.bindings.push(binding(namespace, &name, id, group));
    }
    for (namespace, ids) in allowed {
        let policies = ids.chunks(EXISTING_IDENTITIES_MAX);
        written.policies.extend(policies.map(|ids| policy(namespace, ids)));
    }
    written
}

fn groups(found: &Found, existing: &[WorkloadIdentityBinding], within: Option<&str>, written: &mut Written) -> Groups {
    let mut groups = Groups::new();
    for trust in &found.trusts {
        if within.is_some_and(|within| within != trust.namespace) {
            continue;
        }
        let Some(id) = found.id(trust) else {
            let Which::Client(client) = &trust.identity else {
                continue;
            };
            written.left.insert(Left {
                what: trust.by.clone(),
                why: format!(
                    "which managed identity has the client id {client} is not known: name its resource group with --group, or its \
                     Terraform state; an Entra application cannot be bound"
                ),
            });
            continue;
        };
        if is_bound(trust, &id, existing) {
            continue;
        }
        let same = |other: &&Trust| (&other.namespace, &other.account) == (&trust.namespace, &trust.account);
        let mut others = found.trusts.iter().filter(same);
        if !trust.stands && !others.any(|other| other.stands && found.id(other).as_ref() == Some(&id)) {
            written.left.insert(Left {
                what: trust.by.clone(),
                why: format!(
                    "no federated credential was seen by which {id} trusts it, and whoever writes service accounts may name any identity: \
                     name the identity's resource group with --group, so that its credentials are read"
                ),
            });
            continue;
        }
        let place = (trust.namespace.clone(), id.to_string().to_ascii_lowercase());
        let (_, group) = groups.entry(place).or_insert_with(|| (id, Group::default()));
        group.accounts.insert(trust.account.clone());
        group.by.insert(trust.by.clone());
        group.audiences.extend(trust.audience.clone());
    }
    groups
}

/// Whether a binding has the service account with this identity already.
fn is_bound(trust: &Trust, id: &IdentityId, existing: &[WorkloadIdentityBinding]) -> bool {
    existing.iter().any(|binding| {
        let status = binding.status.as_ref().and_then(|status| status.identity.as_ref());
        let asked = binding
            .spec
            .identity
            .existing
            .as_ref()
            .and_then(|one| one.resource_id.as_deref());
        let mut ids = asked
            .into_iter()
            .chain(status.map(|identity| identity.resource_id.as_str()));
        binding.metadata.namespace.as_deref() == Some(trust.namespace.as_str())
            && binding
                .spec
                .service_accounts
                .iter()
                .any(|account| account.name == trust.account)
            && ids.any(|one| one.eq_ignore_ascii_case(&id.to_string()))
    })
}

/// The name of a binding: its only service account's, or else the identity's, with a number where another binding has that.
fn free_name(namespace: &str, id: &IdentityId, group: &Group, names: &mut BTreeSet<(String, String)>) -> String {
    let mut accounts = group.accounts.iter();
    let wished = match (accounts.next(), accounts.next()) {
        (Some(only), None) => only.clone(),
        // An identity's name may have what an object's may not.
        _ => id
            .name
            .as_str()
            .to_ascii_lowercase()
            .replace('_', "-")
            .trim_matches('-')
            .to_owned(),
    };
    let numbered = (2..).map(|number| format!("{wished}-{number}"));
    let mut free = std::iter::once(wished.clone()).chain(numbered);
    let name = free.find(|name| names.insert((namespace.to_owned(), name.clone())));
    name.unwrap_or(wished)
}

fn binding(namespace: &str, name: &str, id: &IdentityId, group: &Group) -> Value {
    let accounts = group
        .accounts
        .iter()
        .map(|account| json!({ "name": account, "create": false }));
    let mut spec = json!({
        "identity": { "existing": { "resourceId": id.to_string() } },
        "serviceAccounts": accounts.collect::<Vec<_>>(),
    });
    let audience = group
        .audiences
        .first()
        .filter(|audience| *audience != Audience::DEFAULT);
    if let (Some(audience), Some(spec)) = (audience, spec.as_object_mut()) {
        spec.insert("audience".to_owned(), audience.clone().into());
    }
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityBinding",
        "metadata": { "name": name, "namespace": namespace },
        "spec": spec,
    })
}

/// A policy that is called by what it allows: one of an earlier import must not be replaced by what was found since, or those who are bound by it lose
/// what they have.
fn policy(namespace: &str, ids: &[String]) -> Value {
    let texts: Vec<&str> = std::iter::once(namespace)
        .chain(ids.iter().map(String::as_str))
        .collect();
    json!({
        "apiVersion": "workloadidentity.dev/v1alpha1",
        "kind": "WorkloadIdentityPolicy",
        "metadata": { "name": format!("{namespace}-imported-{}", hash(&texts)) },
        "spec": { "namespaces": { "names": [namespace] }, "existingIdentities": ids },
    })
}

// === impl Group ===

impl Group {
    /// Why one binding cannot have all of it; none when it can.
    fn cannot_be_bound(&self) -> Option<String> {
        if self.accounts.len() > SERVICE_ACCOUNTS_MAX {
            let count = self.accounts.len();
            return Some(format!(
                "{count} service accounts use it, and an identity trusts at most {SERVICE_ACCOUNTS_MAX}"
            ));
        }
        let audiences = &self.audiences;
        (audiences.len() > 1)
            .then(|| format!("its service accounts have different audiences, {audiences:?}; bind each by itself"))
    }
}
