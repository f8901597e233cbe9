//! A snapshot of a cluster: what lists show of it at one moment, and the cases that follow from it, for whoever asks about many and keeps no
//! caches. The operator takes the same cases out of its indexes.

mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::binding::Binding;
use crate::case::{Candidate, Case, Rival};
use crate::cluster::Cluster;
use crate::config::OperatorConfig;
use crate::names::{BindingName, Namespace, ServiceAccountName};
use crate::policy::{Limits, NamespaceFacts, Policies, Usage};
use crate::rules::Rules;
use crate::spec::IdentityRef;
use index::Index;

/// What lists show of a cluster at one moment.
#[derive(Clone, Debug)]
pub struct Lists {
    /// The cluster.
    pub cluster: Cluster,
    /// The operator's configuration.
    pub config: Arc<OperatorConfig>,
    /// The policies.
    pub policies: Arc<Policies>,
    /// The labels of namespaces.
    pub namespaces: BTreeMap<Namespace, BTreeMap<String, String>>,
    /// The bindings, each with what it asks for of what policies limit.
    pub bindings: Vec<(Binding, Usage)>,
    /// The service accounts that carry the label of a binding, by its UID.
    pub labelled: BTreeMap<String, BTreeSet<ServiceAccountName>>,
    /// When it was taken.
    pub now: Timestamp,
}

/// A snapshot of a cluster.
#[derive(Debug)]
pub struct Snapshot {
    lists: Lists,
    index: Index,
    looked_at: AtomicU64,
}

// === impl Snapshot ===

impl Snapshot {
    /// The snapshot that lists make.
    #[must_use]
    pub fn of(lists: Lists) -> Self {
        Self {
            index: Index::of(&lists.bindings, &lists.config),
            lists,
            looked_at: AtomicU64::new(0),
        }
    }

    /// How many bindings were looked at for the cases so far. It is what cases cost.
    #[must_use]
    pub fn looked_at(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// A binding.
    #[must_use]
    pub fn binding(&self, namespace: &Namespace, name: &BindingName) -> Option<&Binding> {
        self.at(self.index.named(namespace, name)?)
    }

    /// Everything that a decision about a binding rests on; none when its namespace is not in the snapshot.
    #[must_use]
    pub fn case(&self, binding: &Binding) -> Option<Case> {
        let rules = self.rules(&binding.owner.namespace)?;
        let limits = rules.limits();
        let labelled = self.lists.labelled.get(binding.owner.uid.as_str());
        let labelled = labelled.cloned().unwrap_or_default();
        let neighbours = self.neighbours(binding, &labelled);
        Some(Case {
            neighbours: neighbours.map(|one| self.candidate(one, &limits)).collect(),
            candidate: self.candidate(binding, &limits),
            // What the operator holds lists do not tell.
            held: BTreeSet::new(),
            rivals: self.rivals(binding, &rules),
            labelled,
            rules,
            now: self.lists.now,
        })
    }

    fn at(&self, place: usize) -> Option<&Binding> {
        self.looked_at.fetch_add(1, Ordering::Relaxed);
        self.lists.bindings.get(place).map(|(binding, _)| binding)
    }

    fn rules(&self, namespace: &Namespace) -> Option<Rules> {
        Some(Rules {
            cluster: self.lists.cluster.clone(),
            config: Arc::clone(&self.lists.config),
            policies: Arc::clone(&self.lists.policies),
            namespace: NamespaceFacts {
                name: namespace.clone(),
                labels: self.lists.namespaces.get(namespace)?.clone(),
            },
        })
    }

    fn candidate(&self, binding: &Binding, limits: &Limits) -> Candidate {
        Candidate {
            used_before: self.index.used_before(binding, limits),
            binding: binding.clone(),
        }
    }

    /// The other bindings of the namespace that may share something: a service account, or the identity.
    fn neighbours(&self, binding: &Binding, labelled: &BTreeSet<ServiceAccountName>) -> impl Iterator<Item = &Binding> {
        let accounts = binding.claims.accounts.union(labelled);
        let met = self.index.met(binding, accounts, &self.lists.config);
        let uid = binding.owner.uid.clone();
        let others = met.into_iter().filter_map(|place| self.at(place));
        others.filter(move |other| other.owner.uid != uid && other.may_have_something())
    }

    /// The other bindings of any namespace that name the managed identity which a binding chose the name of.
    fn rivals(&self, binding: &Binding, rules: &Rules) -> Vec<Rival> {
        let Ok(spec) = &binding.spec else {
            return Vec::new();
        };
        if spec.name_is_derived() || !matches!(spec.identity, IdentityRef::Managed(_)) {
            return Vec::new();
        }
        let identity = spec.identity_id(&binding.owner, &rules.config);
        let others = self.index.naming(&identity).filter_map(|place| self.at(place));
        let rival = |other: &Binding| {
            let rules = self.rules(&other.owner.namespace)?;
            Some(Rival {
                candidate: self.candidate(other, &rules.limits()),
                rules,
            })
        };
        others
            .filter(|other| other.owner != binding.owner)
            .filter_map(rival)
            .collect()
    }
}
