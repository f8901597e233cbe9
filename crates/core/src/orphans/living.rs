//! The living: the bindings of a namespace that are there, whatever becomes of them. What one of them has or asks for is its own
//! reconcile's to keep or to take away.

use std::collections::BTreeMap;

use crate::binding::Binding;
use crate::cluster::{Cluster, Issuers};
use crate::config::OperatorConfig;
use crate::names::{
    BindingName, BindingUid, CredentialName, CredentialPrefix, IdentityId, Namespace, ServiceAccountName, binding_tag,
};
use crate::sharing::Claims;

/// The bindings of a namespace that are there.
#[derive(Clone, Debug)]
pub struct Living {
    pub(super) cluster: Cluster,
    /// The issuers of the cluster's credentials, as far as it and these bindings know.
    pub(super) issuers: Issuers,
    pub(super) namespace: Namespace,
    heirs: Vec<Heir>,
    /// Where each is among them, by the tag that names it: each identity of a namespace asks for one.
    by_tag: BTreeMap<String, Vec<usize>>,
}

/// A binding that is there.
#[derive(Clone, Debug)]
pub struct Heir {
    /// Its name.
    pub name: BindingName,
    /// Its UID.
    pub uid: BindingUid,
    pub(super) generation: i64,
    pub(super) claims: Claims,
    pub(super) prefix: CredentialPrefix,
    has: Has,
}

/// Which identities a binding has or asks for.
#[derive(Clone, Debug)]
enum Has {
    These(Vec<IdentityId>),
    /// Nobody can tell: its spec says nothing, and nothing is recorded that can be read.
    Unknown,
}

// === impl Living ===

impl Living {
    /// These bindings of a namespace.
    pub fn new(
        cluster: &Cluster,
        namespace: &Namespace,
        config: &OperatorConfig,
        bindings: impl IntoIterator<Item = Binding>,
    ) -> Self {
        let bindings: Vec<Binding> = bindings
            .into_iter()
            .filter(|binding| binding.owner.namespace == *namespace)
            .collect();
        let recorded = bindings.iter().flat_map(|binding| binding.recorded.issuers());
        let mut by_tag: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, binding) in bindings.iter().enumerate() {
            let tag = binding_tag(&binding.owner.namespace, &binding.owner.name);
            by_tag.entry(tag).or_default().push(place);
        }
        Self {
            by_tag,
            cluster: cluster.clone(),
            issuers: Issuers::new(cluster, recorded),
            namespace: namespace.clone(),
            heirs: bindings.into_iter().map(|binding| Heir::new(binding, config)).collect(),
        }
    }

    /// Those that have an identity or ask for it. A binding of the same name that has another one does not count: what the dead one
    /// had here it neither wants nor takes away.
    pub fn heirs_of<'a>(&'a self, id: &'a IdentityId) -> impl Iterator<Item = &'a Heir> {
        self.heirs.iter().filter(|heir| heir.has(id))
    }

    /// Whether the binding that a tag on an identity names is there and has it.
    pub(super) fn owns(&self, id: &IdentityId, tag: &str) -> bool {
        let named = self.by_tag.get(tag).into_iter().flatten();
        named
            .filter_map(|place| self.heirs.get(*place))
            .any(|heir| heir.has(id))
    }

    /// Whether a credential for a service account is one of theirs.
    pub(super) fn has_credential(&self, id: &IdentityId, name: &CredentialName, account: &ServiceAccountName) -> bool {
        self.heirs_of(id)
            .any(|heir| heir.prefix.owns(name) || heir.claims.accounts.contains(account))
    }

    /// Whether any of them claims a service account, through whatever identity.
    pub(super) fn claims(&self, account: &ServiceAccountName) -> bool {
        self.heirs.iter().any(|heir| heir.claims.accounts.contains(account))
    }

    /// Whether any of them has this UID.
    pub(super) fn has_uid(&self, uid: &BindingUid) -> bool {
        self.heirs.iter().any(|heir| heir.uid == *uid)
    }
}

// === impl Heir ===

impl Heir {
    fn new(binding: Binding, config: &OperatorConfig) -> Self {
        Self {
            prefix: binding.owner.credential_prefix(),
            has: Has::of(&binding, config),
            name: binding.owner.name,
            uid: binding.owner.uid,
            generation: binding.lifecycle.generation,
            claims: binding.claims,
        }
    }

    fn has(&self, id: &IdentityId) -> bool {
        match &self.has {
            Has::These(ids) => ids.contains(id),
            Has::Unknown => true,
        }
    }
}

// === impl Has ===

impl Has {
    fn of(binding: &Binding, config: &OperatorConfig) -> Self {
        let recorded = binding.recorded.identity.as_ref().map(|identity| identity.id.clone());
        let unreadable = recorded.is_none() && binding.recorded.names_identity();
        match (&binding.spec, recorded) {
            _ if unreadable => Self::Unknown,
            (Err(_), None) => Self::Unknown,
            (Err(_), Some(recorded)) => Self::These(vec![recorded]),
            (Ok(spec), recorded) => {
                let asked = spec.identity_id(&binding.owner, config);
                Self::These(recorded.into_iter().chain([asked]).collect())
            }
        }
    }
}
