//! An index of the bindings of a snapshot: a case looks at those alone that it may concern, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use crate::binding::Binding;
use crate::config::OperatorConfig;
use crate::names::{BindingName, IdentityId, Namespace, ServiceAccountName};
use crate::policy::{Limits, Tally, Usage};
use crate::spec::IdentityRef;

/// The places of bindings in their list, in its order.
type Places = BTreeSet<usize>;

/// An index of bindings.
#[derive(Debug, Default)]
pub(super) struct Index {
    namespaces: BTreeMap<Namespace, Neighbourhood>,
    /// Those that have an identity or ask for it.
    naming: BTreeMap<IdentityId, Places>,
}

/// The bindings of a namespace.
#[derive(Debug, Default)]
struct Neighbourhood {
    names: BTreeMap<BindingName, usize>,
    /// Those that claim a service account.
    claiming: BTreeMap<ServiceAccountName, Places>,
    /// Those that have an identity, or name one of somebody else.
    having: BTreeMap<IdentityId, Places>,
    tally: Tally,
}

// === impl Index ===

impl Index {
    pub(super) fn of(bindings: &[(Binding, Usage)], config: &OperatorConfig) -> Self {
        let mut index = Self::default();
        for (place, (binding, usage)) in bindings.iter().enumerate() {
            for identity in recorded(binding).into_iter().chain(asked(binding, config)) {
                index.naming.entry(identity).or_default().insert(place);
            }
            let near = index.namespaces.entry(binding.owner.namespace.clone()).or_default();
            near.names.entry(binding.owner.name.clone()).or_insert(place);
            for account in &binding.claims.accounts {
                near.claiming.entry(account.clone()).or_default().insert(place);
            }
            for identity in recorded(binding).into_iter().chain(existing(binding, config)) {
                near.having.entry(identity).or_default().insert(place);
            }
            near.tally.count(binding.lifecycle.seniority.clone(), *usage);
        }
        index
    }

    /// The binding of a name.
    pub(super) fn named(&self, namespace: &Namespace, name: &BindingName) -> Option<usize> {
        self.namespaces.get(namespace)?.names.get(name).copied()
    }

    /// How much of what policies limit comes before a binding.
    pub(super) fn used_before(&self, binding: &Binding, limits: &Limits) -> Usage {
        let near = self.namespaces.get(&binding.owner.namespace);
        near.map_or_else(Usage::default, |near| {
            near.tally.before(&binding.lifecycle.seniority, limits)
        })
    }

    /// The bindings of its namespace that claim one of the service accounts, or have the identity that a binding has or asks for.
    pub(super) fn met<'a>(
        &self,
        binding: &Binding,
        accounts: impl Iterator<Item = &'a ServiceAccountName>,
        config: &OperatorConfig,
    ) -> Places {
        let Some(near) = self.namespaces.get(&binding.owner.namespace) else {
            return Places::new();
        };
        let identities = recorded(binding).into_iter().chain(asked(binding, config));
        let having = identities.filter_map(|identity| near.having.get(&identity));
        let claiming = accounts.filter_map(|account| near.claiming.get(account));
        claiming.chain(having).flatten().copied().collect()
    }

    /// The bindings of any namespace that have an identity or ask for it.
    pub(super) fn naming(&self, identity: &IdentityId) -> impl Iterator<Item = usize> {
        self.naming.get(identity).into_iter().flatten().copied()
    }
}

/// The identity that a binding has.
fn recorded(binding: &Binding) -> Option<IdentityId> {
    binding.recorded.identity.as_ref().map(|identity| identity.id.clone())
}

/// The identity that it asks for.
fn asked(binding: &Binding, config: &OperatorConfig) -> Option<IdentityId> {
    let spec = binding.spec.as_ref().ok()?;
    Some(spec.identity_id(&binding.owner, config))
}

/// The identity of somebody else that it names.
fn existing(binding: &Binding, config: &OperatorConfig) -> Option<IdentityId> {
    match &binding.identity {
        Some(existing @ IdentityRef::Existing(_)) => Some(existing.id(&binding.owner, config)),
        Some(IdentityRef::Managed(_)) | None => None,
    }
}
