//! A service account as its metadata shows it: from texts that anybody may have written to what is observed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use wio_api::keys;

use crate::names::BindingUid;
use crate::observed::{BoundBy, Held, ObservedServiceAccount};
use crate::owner::Owner;

/// What is used of a service account. All of it is text as somebody wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Texts<'a> {
    /// Its UID.
    pub uid: Option<&'a str>,
    /// Whether it is being deleted.
    pub is_going: bool,
    /// Whether the operator created it.
    pub is_created_by_us: bool,
    /// The UID of the binding whose label it carries.
    pub bound_by: Option<&'a str>,
    /// That binding's name.
    pub binding: Option<&'a str>,
    /// The client id.
    pub client_id: Option<&'a str>,
    /// The tenant id.
    pub tenant_id: Option<&'a str>,
    /// The lifetime of tokens, where the operator wrote it.
    pub token_expiration: Option<&'a str>,
}

/// A binding of the same namespace that a service account names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBinding {
    /// Its name.
    pub name: String,
    /// Its UID, as written.
    pub uid: String,
    /// Whether its spec asks for the service account.
    pub binds: bool,
}

// === impl Texts ===

impl<'a> Texts<'a> {
    /// What is used of a service account's metadata. A lifetime of tokens that somebody else wrote is theirs, which only the bookkeeping tells:
    /// `of_us` says whether the operator wrote it ([`is_annotated_by_us`]).
    #[must_use]
    pub fn of(metadata: &'a ObjectMeta, of_us: bool) -> Self {
        let label = |key| metadata.labels.as_ref()?.get(key).map(String::as_str);
        let annotation = |key| metadata.annotations.as_ref()?.get(key).map(String::as_str);
        Self {
            uid: metadata.uid.as_deref(),
            is_going: metadata.deletion_timestamp.is_some(),
            is_created_by_us: label(keys::CREATED_LABEL).is_some(),
            bound_by: label(keys::BOUND_BY_LABEL),
            binding: annotation(keys::BINDING_ANNOTATION),
            client_id: annotation(keys::CLIENT_ID_ANNOTATION),
            tenant_id: annotation(keys::TENANT_ID_ANNOTATION),
            token_expiration: annotation(keys::TOKEN_EXPIRATION_ANNOTATION).filter(|_| of_us),
        }
    }

    /// What it says to a binding; none when it is as good as gone: what we would write on it goes with it. `named` is the binding that it
    /// names, if there is one.
    #[must_use]
    pub fn observed(&self, owner: &Owner, named: Option<NamedBinding>) -> Option<ObservedServiceAccount> {
        if self.is_going {
            return None;
        }
        let text = |text: Option<&str>| text.map(str::to_owned);
        Some(ObservedServiceAccount {
            uid: self.uid?.parse().ok()?,
            client_id: text(self.client_id),
            tenant_id: text(self.tenant_id),
            token_expiration: text(self.token_expiration),
            bound_by: self.bound_by(owner, named),
            created_by_us: self.is_created_by_us,
            held: BTreeMap::new(),
        })
    }

    fn bound_by(&self, owner: &Owner, named: Option<NamedBinding>) -> BoundBy {
        let Some(uid) = self.bound_by else {
            return BoundBy::Nobody;
        };
        // A label that is no UID was not made by us.
        let Ok(labelled) = uid.parse::<BindingUid>() else {
            return BoundBy::Nobody;
        };
        if labelled == owner.uid {
            // Whoever writes our UID on a service account of another binding must not have us let go of it.
            let other = named.filter(|other| other.uid != uid && other.binds);
            return other.and_then(by_other).unwrap_or(BoundBy::Us);
        }
        let other = named.filter(|other| other.uid == uid);
        other.and_then(by_other).unwrap_or(BoundBy::Gone { uid: labelled })
    }
}

fn by_other(other: NamedBinding) -> Option<BoundBy> {
    Some(BoundBy::Other {
        uid: other.uid.parse().ok()?,
        binding: other.name,
    })
}

/// The other field managers that hold one of the keys that we write.
#[must_use]
pub fn held(metadata: &ObjectMeta) -> BTreeMap<&'static str, Held> {
    const KEYS: [(&str, &str); 4] = [
        ("f:labels", keys::BOUND_BY_LABEL),
        ("f:annotations", keys::CLIENT_ID_ANNOTATION),
        ("f:annotations", keys::TENANT_ID_ANNOTATION),
        ("f:annotations", keys::TOKEN_EXPIRATION_ANNOTATION),
    ];
    let value = |key| {
        let label = metadata.labels.as_ref().and_then(|labels| labels.get(key));
        label.or_else(|| metadata.annotations.as_ref()?.get(key))
    };
    let mut held = BTreeMap::new();
    let entries = metadata.managed_fields.iter().flatten();
    for entry in entries.filter(|entry| entry.manager.as_deref() != Some(keys::FIELD_MANAGER)) {
        for (kind, key) in KEYS {
            if let (true, Some(value)) = (holds(entry, kind, key), value(key)) {
                let manager = entry.manager.clone().unwrap_or_default();
                let value = value.clone();
                held.insert(key, Held { manager, value });
            }
        }
    }
    held
}

/// Whether our field manager holds an annotation.
#[must_use]
pub fn is_annotated_by_us(metadata: &ObjectMeta, annotation: &str) -> bool {
    let ours = |entry: &&ManagedFieldsEntry| entry.manager.as_deref() == Some(keys::FIELD_MANAGER);
    let mut entries = metadata.managed_fields.iter().flatten().filter(ours);
    entries.any(|entry| holds(entry, "f:annotations", annotation))
}

/// Whether an entry of the bookkeeping holds a label or an annotation.
fn holds(entry: &ManagedFieldsEntry, kind: &str, key: &str) -> bool {
    let metadata = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:metadata"));
    metadata.is_some_and(|metadata| {
        metadata
            .get(kind)
            .is_some_and(|held| held.get(format!("f:{key}")).is_some())
    })
}
