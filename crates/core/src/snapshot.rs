//! A snapshot of a cluster: what lists show of it at one moment, and the cases that follow from it, for whoever asks about many and keeps no
//! caches. The operator takes the same cases out of its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::binding::{Binding, Finalizer};
use crate::case::{Candidate, Case, Rival};
use crate::cluster::Cluster;
use crate::config::OperatorConfig;
use crate::names::{BindingName, IdentityId, Namespace, ServiceAccountName};
use crate::policy::{Limits, NamespaceFacts, Policies, Tally, Usage};
use crate::rules::Rules;
use crate::spec::IdentityRef;

/// A snapshot of a cluster.
#[derive(Clone, Debug)]
pub struct Snapshot {
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

// === impl Snapshot ===

impl Snapshot {
    /// A binding.
    #[must_use]
    pub fn binding(&self, namespace: &Namespace, name: &BindingName) -> Option<&Binding> {
        let mut all = self.bindings.iter().map(|(binding, _)| binding);
        all.find(|binding| binding.owner.namespace == *namespace && binding.owner.name == *name)
    }

    /// Everything that a decision about a binding rests on; none when its namespace is not in the snapshot.
    #[must_use]
    pub fn case(&self, binding: &Binding) -> Option<Case> {
        let rules = self.rules(&binding.owner.namespace)?;
        let limits = rules.limits();
        let labelled = self
            .labelled
            .get(binding.owner.uid.as_str())
            .cloned()
            .unwrap_or_default();
        let neighbours = self.neighbours(binding, &labelled, &rules);
        Some(Case {
            neighbours: neighbours.map(|one| self.candidate(one, &limits)).collect(),
            candidate: self.candidate(binding, &limits),
            rivals: self.rivals(binding, &rules),
            labelled,
            rules,
            now: self.now,
        })
    }

    fn rules(&self, namespace: &Namespace) -> Option<Rules> {
        Some(Rules {
            cluster: self.cluster.clone(),
            config: Arc::clone(&self.config),
            policies: Arc::clone(&self.policies),
            namespace: NamespaceFacts {
                name: namespace.clone(),
                labels: self.namespaces.get(namespace)?.clone(),
            },
        })
    }

    fn candidate(&self, binding: &Binding, limits: &Limits) -> Candidate {
        if limits.is_none() {
            return Candidate {
                used_before: Usage::default(),
                binding: binding.clone(),
            };
        }
        let mut tally = Tally::default();
        for (other, usage) in self.of_namespace(&binding.owner.namespace) {
            tally.count(other.lifecycle.seniority.clone(), *usage);
        }
        Candidate {
            used_before: tally.before(&binding.lifecycle.seniority, limits),
            binding: binding.clone(),
        }
    }

    fn of_namespace<'a>(&'a self, namespace: &'a Namespace) -> impl Iterator<Item = &'a (Binding, Usage)> {
        self.bindings
            .iter()
            .filter(move |(binding, _)| binding.owner.namespace == *namespace)
    }

    /// The other bindings of the namespace that may share something: a service account, or the identity.
    fn neighbours<'a>(
        &'a self,
        binding: &'a Binding,
        labelled: &BTreeSet<ServiceAccountName>,
        rules: &'a Rules,
    ) -> impl Iterator<Item = &'a Binding> {
        let accounts: BTreeSet<ServiceAccountName> = binding.claims.accounts.union(labelled).cloned().collect();
        let identities = identities(binding, &rules.config);
        let others = self.of_namespace(&binding.owner.namespace).map(|(other, _)| other);
        others.filter(move |other| {
            let meet = !other.claims.accounts.is_disjoint(&accounts)
                || named(other, &rules.config)
                    .iter()
                    .any(|identity| identities.contains(identity));
            other.owner.uid != binding.owner.uid && may_share(other) && meet
        })
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
        let rival = |other: &Binding| {
            let asked = other.spec.as_ref().ok();
            let asked = asked.map(|spec| spec.identity_id(&other.owner, &rules.config));
            let names_it = asked.as_ref() == Some(&identity) || other.recorded.ids_of(&identity).is_some();
            if other.owner == binding.owner || !names_it {
                return None;
            }
            let rules = self.rules(&other.owner.namespace)?;
            Some(Rival {
                candidate: self.candidate(other, &rules.limits()),
                rules,
            })
        };
        self.bindings.iter().filter_map(|(other, _)| rival(other)).collect()
    }
}

/// Whether a binding can have a part in anything: it is not to go, and has our finalizer or had it.
fn may_share(binding: &Binding) -> bool {
    let made = binding.recorded.names_identity() || binding.lifecycle.finalizer == Finalizer::Set;
    made && !binding.lifecycle.deleting
}

/// The identity that a binding has, and the one that it asks for.
fn identities(binding: &Binding, config: &OperatorConfig) -> Vec<IdentityId> {
    let recorded = binding.recorded.identity.as_ref().map(|identity| identity.id.clone());
    let asked = binding.spec.as_ref().ok();
    let asked = asked.map(|spec| spec.identity_id(&binding.owner, config));
    recorded.into_iter().chain(asked).collect()
}

/// The identity that a binding has, and the one of somebody else that it names.
fn named(binding: &Binding, config: &OperatorConfig) -> Vec<IdentityId> {
    let recorded = binding.recorded.identity.as_ref().map(|identity| identity.id.clone());
    let existing = match &binding.identity {
        Some(existing @ IdentityRef::Existing(_)) => Some(existing.id(&binding.owner, config)),
        Some(IdentityRef::Managed(_)) | None => None,
    };
    recorded.into_iter().chain(existing).collect()
}
