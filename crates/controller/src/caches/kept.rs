//! What is kept of an object: what is used of it, and that bounded. An object may weigh 1.5 MB, and whoever may write objects writes
//! as many as they like.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};
use wio_core::service_account::is_annotated_by_us;

use super::accounts::AccountMeta;
use super::stores::NamespaceMeta;

/// How much of an annotation is kept: more than the longest value that we ever write. A longer one is not ours, and differs from
/// what is wanted cut or whole.
const ANNOTATION_BYTES_MAX: usize = 256;

/// How much of a list of finalizers is kept.
const FINALIZERS_BYTES_MAX: usize = 1024;

/// Stands for finalizers of others that are not kept. It is none that an API server takes.
const MORE_FINALIZERS: &str = "…";

/// Whether finalizers stand on the object that are not in the cache.
pub(crate) fn has_more_finalizers(metadata: &ObjectMeta) -> bool {
    let finalizers = metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|finalizer| finalizer == MORE_FINALIZERS)
}

/// Of a binding its spec and status, its finalizers, and the annotations that ask for something.
pub(crate) fn binding(binding: &mut WorkloadIdentityBinding) {
    let metadata = &mut binding.metadata;
    without_bookkeeping(metadata);
    metadata.labels = None;
    annotations(metadata, |key| {
        [keys::DELETE_DESPITE_USERS_ANNOTATION, keys::RECONCILE_AT_ANNOTATION].contains(&key)
    });
    if let Some(finalizers) = &mut metadata.finalizers
        && finalizers.iter().map(String::len).sum::<usize>() > FINALIZERS_BYTES_MAX
    {
        finalizers.retain(|finalizer| finalizer == keys::FINALIZER);
        finalizers.push(MORE_FINALIZERS.to_owned());
        finalizers.shrink_to_fit();
    }
}

/// Of a service account our labels and annotations.
pub(crate) fn account(account: &mut AccountMeta) {
    account_metadata(&mut account.metadata);
}

/// Of a service account's metadata our labels and annotations. A lifetime of tokens that somebody else wrote is theirs: where a binding
/// asks for none it stays as it is, and who wrote it only the bookkeeping tells.
pub(crate) fn account_metadata(metadata: &mut ObjectMeta) {
    let lifetime = keys::TOKEN_EXPIRATION_ANNOTATION;
    if !is_annotated_by_us(metadata, lifetime)
        && let Some(annotations) = &mut metadata.annotations
    {
        annotations.remove(lifetime);
    }
    without_bookkeeping(metadata);
    metadata.finalizers = None;
    if let Some(labels) = &mut metadata.labels {
        labels.retain(|key, _| is_on_accounts(key));
    }
    annotations(metadata, is_on_accounts);
}

/// Of a policy its spec.
pub(crate) fn policy(policy: &mut WorkloadIdentityPolicy) {
    without_bookkeeping(&mut policy.metadata);
    policy.metadata.finalizers = None;
    policy.metadata.labels = None;
    policy.metadata.annotations = None;
}

/// Of a namespace its labels, by which policies select.
pub(crate) fn namespace(namespace: &mut NamespaceMeta) {
    without_bookkeeping(&mut namespace.metadata);
    namespace.metadata.finalizers = None;
    namespace.metadata.annotations = None;
}

/// Two thirds of an object are bookkeeping of field managers.
fn without_bookkeeping(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.owner_references = None;
    metadata.generate_name = None;
    metadata.self_link = None;
}

fn annotations(metadata: &mut ObjectMeta, is_used: impl Fn(&str) -> bool) {
    let Some(annotations) = &mut metadata.annotations else {
        return;
    };
    annotations.retain(|key, _| is_used(key));
    for value in annotations.values_mut() {
        if value.len() > ANNOTATION_BYTES_MAX {
            *value = value
                .get(..value.floor_char_boundary(ANNOTATION_BYTES_MAX))
                .unwrap_or_default()
                .to_owned();
        }
    }
}

fn is_on_accounts(key: &str) -> bool {
    [
        keys::BOUND_BY_LABEL,
        keys::CREATED_LABEL,
        keys::BINDING_ANNOTATION,
        keys::CLIENT_ID_ANNOTATION,
        keys::TENANT_ID_ANNOTATION,
        keys::TOKEN_EXPIRATION_ANNOTATION,
    ]
    .contains(&key)
}

#[cfg(test)]
mod tests {
    use kube::Resource;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// What may be kept of an object, however big it is.
    const KEPT_BYTES_MAX: usize = 4096;
    const BIG: usize = 300_000;

    /// An object whose every place for text of its author's own is full.
    fn full<K: DeserializeOwned + Resource>() -> K {
        let big = "x".repeat(BIG);
        let owner = json!({ "apiVersion": "v1", "kind": big, "name": "a", "uid": "u" });
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Any",
            "metadata": {
                "name": "orders",
                "namespace": "shop",
                "labels": { (keys::BOUND_BY_LABEL): "uid", "other": "x" },
                "finalizers": [keys::FINALIZER, format!("example.com/{big}")],
                "ownerReferences": [owner],
                "managedFields": [{ "manager": big }],
                "annotations": { "other": big },
            },
            "spec": {},
        });
        let annotations = object["metadata"]["annotations"].as_object_mut().unwrap();
        for key in [
            keys::DELETE_DESPITE_USERS_ANNOTATION,
            keys::BINDING_ANNOTATION,
            keys::CLIENT_ID_ANNOTATION,
            keys::TENANT_ID_ANNOTATION,
            keys::TOKEN_EXPIRATION_ANNOTATION,
        ] {
            annotations.insert(key.to_owned(), Value::from(big.clone()));
        }
        serde_json::from_value(object).unwrap()
    }

    #[track_caller]
    fn assert_small(object: &impl Serialize) {
        let kept = serde_json::to_string(object).unwrap().len();
        assert!(kept <= KEPT_BYTES_MAX, "{kept} bytes are kept");
    }

    /// A hundred such objects of one tenant were more than the operator had, and it was killed again and again.
    #[test]
    fn of_the_biggest_object_little_is_kept() {
        let mut one = full();
        binding(&mut one);
        assert_small(&one);
        let mut one = full();
        account(&mut one);
        assert_small(&one);
        let mut one = full();
        policy(&mut one);
        assert_small(&one);
        let mut one = full();
        namespace(&mut one);
        assert_small(&one);
    }

    #[test]
    fn a_lifetime_of_tokens_that_somebody_else_wrote_is_not_taken_for_ours() {
        let held_by = |manager: &str| {
            let fields = json!({ "f:metadata": { "f:annotations": { (format!("f:{}", keys::TOKEN_EXPIRATION_ANNOTATION)): {} } } });
            let mut metadata: ObjectMeta = serde_json::from_value(json!({
                "annotations": { (keys::TOKEN_EXPIRATION_ANNOTATION): "3600" },
                "managedFields": [{ "manager": manager, "operation": "Apply", "fieldsV1": fields }],
            }))
            .unwrap();
            account_metadata(&mut metadata);
            metadata.annotations.unwrap().remove(keys::TOKEN_EXPIRATION_ANNOTATION)
        };
        assert_eq!(held_by(keys::FIELD_MANAGER).as_deref(), Some("3600"));
        assert_eq!(held_by("helm"), None);
    }

    #[test]
    fn that_others_have_finalizers_is_not_forgotten() {
        let mut one: WorkloadIdentityBinding = full();
        assert!(!has_more_finalizers(&one.metadata));
        binding(&mut one);
        assert!(has_more_finalizers(&one.metadata));
        assert_eq!(one.metadata.finalizers.unwrap()[0], keys::FINALIZER);
    }

    #[test]
    fn finalizers_of_the_usual_size_are_kept() {
        let mut one: WorkloadIdentityBinding = full();
        let usual = Some(vec!["example.com/a".to_owned(), keys::FINALIZER.to_owned()]);
        one.metadata.finalizers.clone_from(&usual);
        binding(&mut one);
        assert_eq!(one.metadata.finalizers, usual);
    }
}
