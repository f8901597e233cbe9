//! The first step: everything that a decision rests on, from the caches, at one moment.

use std::collections::BTreeSet;

use kube::runtime::reflector::ObjectRef;
use wio_api::{Reason, WorkloadIdentityBinding, keys};
use wio_core::binding::{Binding, Finalizer};
use wio_core::case::{Candidate, Case};
use wio_core::cluster::Cluster;
use wio_core::fault::{Blocked, Fault};
use wio_core::names::{IdentityId, Namespace, ServiceAccountName};
use wio_core::owner::Owner;
use wio_core::policy::NamespaceFacts;
use wio_core::rules::Rules;

use super::knowledge::Slots;
use crate::caches::stores::{AccountMeta, Caches};
use crate::runtime::request::malformed;

/// Parses a binding. It succeeds for every object that an API server stored.
pub(crate) fn parse(object: &WorkloadIdentityBinding, cluster: &Cluster, slots: &Slots) -> Result<Binding, Fault> {
    let mut binding = Binding::parse(object, &cluster.id).map_err(|invalid| {
        let fields: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        malformed("read the binding".to_owned(), &fields.join("; "))
    })?;
    if binding.lifecycle.finalizer == Finalizer::Missing && slots.finalizer_is_released(&binding.owner.uid) {
        binding.lifecycle.finalizer = Finalizer::Released;
    }
    Ok(binding)
}

/// Takes everything that a decision about a binding rests on out of the caches: owned, and of one moment.
///
/// # Errors
/// Why nothing can be decided yet.
pub(crate) fn dereference(caches: &Caches, cluster: &Cluster, binding: Binding) -> Result<Case, Blocked> {
    let policies = caches.learned.policies.borrow().clone();
    let policies = policies.ok_or_else(|| undecided("the policies are"))?;
    let facts = namespace(caches, &binding.owner.namespace);
    let rules = Rules {
        cluster: cluster.clone(),
        config: caches.learned.config.clone(),
        policies,
        namespace: facts.ok_or_else(|| undecided("the labels of the binding's namespace are"))?,
    };
    let labelled = labelled(caches, &binding.owner);
    let limit = rules.credential_limit();
    let neighbours = neighbours(caches, &rules, &binding, &labelled);
    let candidate = |binding| candidate(caches, limit, binding);
    Ok(Case {
        neighbours: neighbours.into_iter().map(candidate).collect(),
        candidate: candidate(binding),
        labelled,
        rules,
    })
}

/// The other bindings of the namespace that may share something of what a binding claims.
fn neighbours(
    caches: &Caches,
    rules: &Rules,
    binding: &Binding,
    labelled: &BTreeSet<ServiceAccountName>,
) -> Vec<Binding> {
    let accounts = binding.claims.accounts.union(labelled).cloned().collect();
    let recorded = binding.recorded.identity.as_ref().map(|identity| identity.id.clone());
    let asked = binding.spec.as_ref().ok();
    let asked = asked.map(|spec| spec.identity_id(&binding.owner, &rules.config));
    let identities: Vec<IdentityId> = recorded.into_iter().chain(asked).collect();
    let bindings = &caches.bindings;
    let found = bindings
        .index
        .sharing(binding.owner.namespace.as_str(), &accounts, &identities);
    found
        .iter()
        .filter_map(|key| Binding::parse(&*bindings.store.get(key)?, &rules.cluster.id).ok())
        .filter(|neighbour| neighbour.owner.uid != binding.owner.uid)
        .collect()
}

fn candidate(caches: &Caches, limit: Option<usize>, binding: Binding) -> Candidate {
    let index = &caches.bindings.index;
    let namespace = binding.owner.namespace.as_str();
    let before = |limit| index.credentials_before(namespace, &binding.lifecycle.seniority, limit);
    Candidate {
        credentials_before: limit.map_or(0, before),
        binding,
    }
}

/// Takes the case again, as it is now: whoever shares with the binding, or what it may have, may have changed while the world was
/// read. None when the case is no longer the same one: the binding itself, its labels on service accounts, or, where something is
/// to be taken away, the policies; then what was read is not what is to be known.
pub(crate) fn dereference_again(caches: &Caches, slots: &Slots, case: &Case) -> Option<Case> {
    let before = &case.candidate.binding;
    let owner = &before.owner;
    let object = caches.bindings.get(owner.namespace.as_str(), owner.name.as_str())?;
    let cluster = caches.learned.cluster();
    let now = parse(&object, &cluster, slots).ok()?;
    let (then, later) = (&before.lifecycle, &now.lifecycle);
    if now.owner != *owner || (then.generation, then.deleting) != (later.generation, later.deleting) {
        return None;
    }
    let again = dereference(caches, &cluster, now).ok()?;
    (again.labelled == case.labelled).then_some(again)
}

fn namespace(caches: &Caches, name: &Namespace) -> Option<NamespaceFacts> {
    let key = ObjectRef::new(name.as_str());
    let found = caches.surroundings.namespaces.get(&key)?;
    Some(NamespaceFacts {
        name: name.clone(),
        labels: found.metadata.labels.clone().unwrap_or_default(),
    })
}

/// The service accounts that carry a binding's label.
fn labelled(caches: &Caches, owner: &Owner) -> BTreeSet<ServiceAccountName> {
    let accounts = caches
        .surroundings
        .accounts
        .state_filter(|account| carries_label_of(account, owner));
    accounts
        .iter()
        .filter_map(|account| account.metadata.name.as_deref()?.parse().ok())
        .collect()
}

fn carries_label_of(account: &AccountMeta, owner: &Owner) -> bool {
    let labels = account.metadata.labels.as_ref();
    account.metadata.namespace.as_deref() == Some(owner.namespace.as_str())
        && labels.and_then(|all| all.get(keys::BOUND_BY_LABEL)).map(String::as_str) == Some(owner.uid.as_str())
}

/// Nothing is decided without what it is decided by.
fn undecided(what: &str) -> Blocked {
    Blocked {
        reason: Reason::NotDecided,
        message: format!("{what} not known yet, so what it may have is not decided"),
    }
}
