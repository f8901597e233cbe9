//! A cluster as it was read, and as it would be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};
use wio_core::binding::{Binding, usage};
use wio_core::case::Case;
use wio_core::cluster::Cluster;
use wio_core::config::OperatorConfig;
use wio_core::names::{BindingName, Namespace, ServiceAccountName};
use wio_core::observed::ObservedServiceAccount;
use wio_core::policy::Policies;
use wio_core::service_account::{NamedBinding, Texts, held, is_annotated_by_us};
use wio_core::snapshot::{Lists, Snapshot};

/// A binding's namespace and name.
pub(crate) type Key = (Namespace, BindingName);

/// What was read of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) config: Arc<OperatorConfig>,
    pub(crate) namespaces: BTreeMap<Namespace, BTreeMap<String, String>>,
    pub(crate) policies: Vec<WorkloadIdentityPolicy>,
    pub(crate) bindings: BTreeMap<Key, WorkloadIdentityBinding>,
    /// By namespace and name.
    pub(crate) accounts: BTreeMap<(String, String), ObjectMeta>,
    pub(crate) now: Timestamp,
    /// What could not be read, and why.
    pub(crate) not_read: Vec<String>,
}

// === impl World ===

impl World {
    /// The snapshot from which cases are made.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let parsed = |object| Some((Binding::parse(object, &self.cluster.id).ok()?, usage(object)));
        let mut labelled: BTreeMap<String, BTreeSet<ServiceAccountName>> = BTreeMap::new();
        for account in self.accounts.values() {
            let label = account
                .labels
                .as_ref()
                .and_then(|labels| labels.get(keys::BOUND_BY_LABEL));
            let name = account.name.as_deref().and_then(|name| name.parse().ok());
            if let (Some(label), Some(name)) = (label, name) {
                labelled.entry(label.clone()).or_default().insert(name);
            }
        }
        Snapshot::of(Lists {
            cluster: self.cluster.clone(),
            config: Arc::clone(&self.config),
            policies: Arc::new(Policies::parse(&self.policies)),
            namespaces: self.namespaces.clone(),
            bindings: self.bindings.values().filter_map(parsed).collect(),
            labelled,
            now: self.now,
        })
    }

    /// The keys of all bindings.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.bindings.keys().cloned()
    }

    /// A binding.
    pub(crate) fn binding(&self, which: &Key) -> Option<&WorkloadIdentityBinding> {
        self.bindings.get(which)
    }

    /// Has a binding be as this one is.
    pub(crate) fn replace(&mut self, binding: WorkloadIdentityBinding) {
        self.bindings.extend(key(&binding).map(|which| (which, binding)));
    }

    /// Has somebody delete a binding.
    pub(crate) fn delete(&mut self, which: &Key) {
        if let Some(binding) = self.bindings.get_mut(which) {
            let now = Time(self.now);
            binding.metadata.deletion_timestamp.get_or_insert(now);
        }
    }

    /// The service accounts that a case concerns, as they are.
    pub(crate) fn service_accounts(&self, case: &Case) -> BTreeMap<ServiceAccountName, ObservedServiceAccount> {
        let owner = &case.candidate.binding.owner;
        let claimed = case.candidate.binding.claims.accounts.union(&case.labelled);
        let observed = claimed.filter_map(|name| {
            let found = self.accounts.get(&(owner.namespace.to_string(), name.to_string()))?;
            let of_us = is_annotated_by_us(found, keys::TOKEN_EXPIRATION_ANNOTATION);
            let texts = Texts::of(found, of_us);
            let named = texts
                .binding
                .and_then(|named| self.named(&owner.namespace, named, name));
            let observed = texts.observed(owner, named)?;
            Some((
                name.clone(),
                ObservedServiceAccount {
                    held: held(found),
                    ..observed
                },
            ))
        });
        observed.collect()
    }

    fn named(&self, namespace: &Namespace, name: &str, account: &ServiceAccountName) -> Option<NamedBinding> {
        let found = self.binding(&(namespace.clone(), name.parse().ok()?));
        NamedBinding::of(found?, account)
    }
}

/// The namespace and name of a binding.
pub(crate) fn key(binding: &WorkloadIdentityBinding) -> Option<Key> {
    let metadata = &binding.metadata;
    Some((
        metadata.namespace.as_deref()?.parse().ok()?,
        metadata.name.as_deref()?.parse().ok()?,
    ))
}
