//! The first step: everything that a decision rests on, from the caches, at one moment.

use std::collections::BTreeSet;

use kube::runtime::reflector::ObjectRef;
use wio_api::{Reason, WorkloadIdentityBinding, keys};
use wio_core::binding::{Binding, Finalizer};
use wio_core::case::{Candidate, Case, Rival};
use wio_core::cluster::Cluster;
use wio_core::fault::{Blocked, Fault};
use wio_core::names::{IdentityId, Namespace, ServiceAccountName};
use wio_core::owner::Owner;
use wio_core::policy::{Limits, NamespaceFacts};
use wio_core::rules::Rules;
use wio_core::spec::IdentityRef;

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
    let rules = rules(caches, cluster, &binding.owner.namespace)?;
    let rivals = rivals(caches, &rules, &binding);
    let labelled = labelled(caches, &binding.owner);
    let limits = rules.limits();
    let neighbours = neighbours(caches, &rules, &binding, &labelled);
    let candidate = |binding| candidate(caches, &limits, binding);
    Ok(Case {
        neighbours: neighbours.into_iter().map(candidate).collect(),
        candidate: candidate(binding),
        labelled,
        rivals,
        rules,
        now: (caches.learned.clock)(),
    })
}

/// A binding as far as it can be decided about alone, with the rules that it is decided by.
///
/// # Errors
/// Why nothing can be decided yet.
pub(crate) fn candidate_of(
    caches: &Caches,
    cluster: &Cluster,
    binding: Binding,
) -> Result<(Candidate, Rules), Blocked> {
    let rules = rules(caches, cluster, &binding.owner.namespace)?;
    Ok((candidate(caches, &rules.limits(), binding), rules))
}

fn rules(caches: &Caches, cluster: &Cluster, of: &Namespace) -> Result<Rules, Blocked> {
    let policies = caches.learned.policies.borrow().clone();
    let policies = policies.ok_or_else(|| undecided("the policies are"))?;
    let facts = namespace(caches, of);
    Ok(Rules {
        cluster: cluster.clone(),
        config: caches.learned.config.clone(),
        policies,
        namespace: facts.ok_or_else(|| undecided("the labels of the binding's namespace are"))?,
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

/// The other bindings of any namespace that name the managed identity which a binding chose the name of. A derived name no other
/// binding can have.
fn rivals(caches: &Caches, rules: &Rules, binding: &Binding) -> Vec<Rival> {
    let Ok(spec) = &binding.spec else {
        return Vec::new();
    };
    if spec.name_is_derived() || !matches!(spec.identity, IdentityRef::Managed(_)) {
        return Vec::new();
    }
    let identity = spec.identity_id(&binding.owner, &rules.config);
    let bindings = &caches.bindings;
    let found = bindings.index.choosing(&identity.name);
    let rival = |key: &ObjectRef<WorkloadIdentityBinding>| {
        let rival = Binding::parse(&*bindings.store.get(key)?, &rules.cluster.id).ok()?;
        let asked = rival.spec.as_ref().ok();
        let asked = asked.map(|spec| spec.identity_id(&rival.owner, &rules.config));
        let names_it = asked.as_ref() == Some(&identity) || rival.recorded.ids_of(&identity).is_some();
        if rival.owner == binding.owner || !names_it {
            return None;
        }
        let rules = Rules {
            namespace: namespace(caches, &rival.owner.namespace)?,
            ..rules.clone()
        };
        Some(Rival {
            candidate: candidate(caches, &rules.limits(), rival),
            rules,
        })
    };
    found.iter().filter_map(rival).collect()
}

fn candidate(caches: &Caches, limits: &Limits, binding: Binding) -> Candidate {
    let namespace = binding.owner.namespace.as_str();
    let seniority = &binding.lifecycle.seniority;
    Candidate {
        used_before: caches.bindings.index.used_before(namespace, seniority, limits),
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

/// How much a namespace may have, as far as that is known.
pub(crate) fn limits(caches: &Caches, namespace: &str) -> Limits {
    let policies = caches.learned.policies.borrow().clone();
    let facts = namespace.parse().ok().and_then(|name| self::namespace(caches, &name));
    policies
        .zip(facts)
        .map(|(policies, facts)| policies.limits(&facts))
        .unwrap_or_default()
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
