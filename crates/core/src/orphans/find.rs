//! Finding orphans: what on an identity no living binding accounts for, and what is to become of it.

use std::collections::BTreeMap;

use wio_api::{DeletionPolicy, keys};

use super::living::Living;
use crate::authorize::is_protected;
use crate::cluster::{Cluster, Issuers};
use crate::config::OperatorConfig;
use crate::names::{
    CredentialName, CredentialPrefix, IdentityId, Namespace, ServiceAccountName, Subject, is_credential_name,
};
use crate::observed::{ObservedCredential, Tags, tag};
use crate::owner::{Owner, deletion_policy};
use crate::policy::Policies;

/// Why what was left in a namespace is told of and stays.
const LEFT_ALONE: &str = "the operator does not act in its namespace (--watch-namespaces, --exclude-namespaces)";

/// What one dead binding left on one identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// The identity.
    pub identity: IdentityId,
    /// The namespace of the dead binding.
    pub namespace: Namespace,
    /// The dead binding, as far as that can be told.
    pub binding: String,
    /// What there is of it.
    pub left: Left,
    /// What is to become of it.
    pub fate: Fate,
}

/// What there is of a dead binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
    /// A managed identity, and whatever of ours is on it.
    Identity,
    /// Federated credentials on an identity that somebody else owns, or another binding.
    Credentials(Vec<CredentialName>),
}

/// What is to become of an orphan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it goes.
    Remove,
    /// What is trusted through the identity goes, and the identity stays, as the binding wanted.
    Retain,
    /// It is told of and not touched, for this reason.
    Report(&'static str),
    /// It is as the binding wanted it: nothing is touched or told.
    Leave,
}

impl Fate {
    /// Whether something is to be taken away.
    #[must_use]
    pub const fn takes_away(self) -> bool {
        matches!(self, Self::Remove | Self::Retain)
    }
}

/// Namespace and name of the binding that the tags of an identity name; none when they name none of this cluster's. Of a name that is longer than
/// a tag can be it is not the whole.
#[must_use]
pub fn binding_of_tags<'a>(cluster: &Cluster, tags: &'a Tags) -> Option<(Namespace, &'a str)> {
    let ours = tag(tags, keys::CLUSTER_TAG) == Some(cluster.id.as_str());
    let (namespace, name) = tag(tags, keys::BINDING_TAG).filter(|_| ours)?.split_once('/')?;
    Some((namespace.parse().ok()?, name))
}

/// The namespace for whose binding a federated credential was made; none when its issuer, subject and name do not say that it was made
/// for one of this cluster's.
#[must_use]
pub fn namespace_of_credential(cluster: &Cluster, credential: &ObservedCredential) -> Option<Namespace> {
    trusted(&Issuers::new(cluster, []), credential).map(|(namespace, _)| namespace)
}

fn trusted(issuers: &Issuers, credential: &ObservedCredential) -> Option<(Namespace, ServiceAccountName)> {
    let subject = credential.subject.as_deref()?;
    let (namespace, account) = Subject::service_account(subject)?;
    let ours = issuers.all().any(|issuer| {
        credential.trusts(issuer.as_str(), subject) && is_credential_name(&credential.name, &account, issuer)
    });
    ours.then_some((namespace, account))
}

/// The orphan that an identity is by its tags; none when the binding that they name is there, or is of another namespace than the living.
#[must_use]
pub fn by_tags(id: &IdentityId, tags: &Tags, living: &Living, config: &OperatorConfig) -> Option<Orphan> {
    const PROTECTED: &str = "the operator's configuration protects the identity";
    const UNNAMED: &str = "its tags do not name a binding and its UID";
    const UNSAID: &str = "no tag says what the binding wanted to become of it";
    if binding_of_tags(&living.cluster, tags)?.0 != living.namespace {
        return None;
    }
    let binding = tag(tags, keys::BINDING_TAG)?;
    if living.owns(id, binding) {
        return None;
    }
    let is_left_alone = !config.namespaces.contains(living.namespace.as_str());
    let fate = match deletion_policy(tags) {
        Some(DeletionPolicy::Orphan) => Fate::Leave,
        _ if is_protected(id, config) => Fate::Report(PROTECTED),
        // Nobody looks whether anything of ours is still on it, and most were kept on purpose.
        Some(DeletionPolicy::RetainIdentity) if is_left_alone => Fate::Leave,
        _ if is_left_alone => Fate::Report(LEFT_ALONE),
        None => Fate::Report(UNSAID),
        Some(_) if Owner::named_by(tags).is_none() => Fate::Report(UNNAMED),
        Some(DeletionPolicy::Delete) => Fate::Remove,
        Some(DeletionPolicy::RetainIdentity) => Fate::Retain,
    };
    Some(Orphan {
        identity: id.clone(),
        namespace: living.namespace.clone(),
        binding: binding.to_owned(),
        left: Left::Identity,
        fate,
    })
}

/// The orphans among the federated credentials of an identity that were made for bindings of the living's namespace: those that none of
/// the living that have the identity accounts for. All that carry one binding's hash are one orphan.
#[must_use]
pub fn by_credentials(
    id: &IdentityId,
    credentials: &[ObservedCredential],
    living: &Living,
    (policies, config): (&Policies, &OperatorConfig),
) -> Vec<Orphan> {
    let mut found: BTreeMap<CredentialPrefix, Vec<CredentialName>> = BTreeMap::new();
    for credential in credentials {
        let Some((namespace, account)) = trusted(&living.issuers, credential) else {
            continue;
        };
        if namespace != living.namespace || living.has_credential(id, &credential.name, &account) {
            continue;
        }
        if let Some(prefix) = CredentialPrefix::of_name(&credential.name) {
            found.entry(prefix).or_default().push(credential.name.clone());
        }
    }
    let orphan = |(prefix, names): (CredentialPrefix, Vec<CredentialName>)| Orphan {
        identity: id.clone(),
        namespace: living.namespace.clone(),
        binding: format!("{}/{prefix}*", living.namespace),
        left: Left::Credentials(names),
        fate: fate_of_credentials(policies, config.namespaces.contains(living.namespace.as_str())),
    };
    found.into_iter().map(orphan).collect()
}

/// A federated credential has no tags: where a policy lets bindings leave their trust behind, nobody can tell what was left by
/// accident.
fn fate_of_credentials(policies: &Policies, is_active: bool) -> Fate {
    const MAY_BE_MEANT: &str = "a policy says allowOrphan, so a binding may have left it on purpose";
    if policies.all().iter().any(|policy| policy.allow_orphan) {
        Fate::Report(MAY_BE_MEANT)
    } else if !is_active {
        Fate::Report(LEFT_ALONE)
    } else {
        Fate::Remove
    }
}
