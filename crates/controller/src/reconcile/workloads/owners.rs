//! Owners of pods as the API server takes and shows them. One annotation is all that is ever written there.

use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind, Object};
use serde_json::{Value, json};
use wio_api::keys;
use wio_api::owner::{OwnerSpec, OwnerStatus};
use wio_core::fault::{Fault, KubernetesCause, KubernetesFault};
use wio_core::rollout::{Owner, Read, Restart, Written};
use wio_core::workloads::{Maker, MakerKind};

use crate::runtime::request::{is_not_found, request};

/// An owner as far as it is read.
type OwnerGlance = Object<OwnerSpec, OwnerStatus>;

/// Owners of pods in a namespace.
pub(super) struct Owners<'a> {
    client: &'a Client,
    namespace: &'a str,
}

// === impl Owners ===

impl<'a> Owners<'a> {
    pub(super) const fn new(client: &'a Client, namespace: &'a str) -> Self {
        Self { client, namespace }
    }

    /// The owner that made pods, or whose ReplicaSet did.
    pub(super) async fn of(&self, maker: &Maker) -> Read {
        if maker.kind != MakerKind::ReplicaSet {
            return self.read(maker).await.unwrap_or_else(|fault| unread(&fault));
        }
        match self.maker_of_replica_set(maker).await {
            Ok(Some(deployment)) => self.read(&deployment).await.unwrap_or_else(|fault| unread(&fault)),
            // The core tells why it is left alone.
            Ok(None) => Read::Owner(Box::new(Owner {
                maker: maker.clone(),
                metadata: kube::api::ObjectMeta {
                    uid: Some(maker.uid.clone()),
                    ..Default::default()
                },
                spec: OwnerSpec::default(),
                status: OwnerStatus::default(),
            })),
            Err(fault) => unread(&fault),
        }
    }

    /// An owner, whichever has this name now.
    pub(super) async fn named(&self, kind: MakerKind, name: &str) -> Read {
        let maker = Maker {
            kind,
            name: name.to_owned(),
            uid: String::new(),
        };
        self.read(&maker).await.unwrap_or_else(|fault| unread(&fault))
    }

    /// Restarts an owner: if it is that very object, and as it was read.
    pub(super) async fn restart(&self, restart: &Restart) -> Written {
        let maker = restart.maker();
        let owners = self.api(maker.kind);
        let parameters = PatchParams::apply(keys::ROLLOUT_FIELD_MANAGER);
        let patch = Patch::Apply(self.annotated(restart));
        let sent = owners.patch_metadata(&maker.name, &parameters, &patch);
        let sent = request(|| format!("restart {maker}"), sent).await;
        sent.map_or_else(not_written, |_| Written::Done)
    }

    /// All that is ever applied to an owner.
    fn annotated(&self, restart: &Restart) -> Value {
        let maker = restart.maker();
        let annotations = json!({ keys::ROLLOUT_ANNOTATION: restart.client_id().to_string() });
        json!({
            "apiVersion": "apps/v1",
            "kind": maker.kind.names().0,
            "metadata": {
                "name": maker.name,
                "namespace": self.namespace,
                "uid": maker.uid,
                "resourceVersion": restart.version(),
            },
            "spec": { "template": { "metadata": { "annotations": annotations } } },
        })
    }

    async fn read(&self, maker: &Maker) -> Result<Read, Fault> {
        let owners = self.api(maker.kind);
        let found = request(|| format!("read {maker}"), owners.get(&maker.name)).await?;
        Ok(Read::Owner(Box::new(Owner {
            maker: maker.clone(),
            metadata: found.metadata,
            spec: found.spec,
            status: found.status.unwrap_or_default(),
        })))
    }

    /// What made a ReplicaSet; none where nothing did, or another one has its name by now.
    async fn maker_of_replica_set(&self, replica_set: &Maker) -> Result<Option<Maker>, Fault> {
        let sets = self.api(replica_set.kind);
        let found = request(|| format!("read {replica_set}"), sets.get_metadata(&replica_set.name)).await?;
        let same = found.metadata.uid.as_deref() == Some(replica_set.uid.as_str());
        let maker = Maker::of(&found.metadata).filter(|maker| maker.kind == MakerKind::Deployment);
        Ok(maker.filter(|_| same))
    }

    fn api(&self, kind: MakerKind) -> kube::Api<OwnerGlance> {
        let (kind, plural) = kind.names();
        let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", kind), plural);
        kube::Api::namespaced_with(self.client.clone(), self.namespace, &resource)
    }
}

fn unread(fault: &Fault) -> Read {
    if is_not_found(fault) {
        return Read::Gone;
    }
    tracing::warn!(%fault, "an owner of pods could not be read");
    match fault {
        Fault::Kubernetes(KubernetesFault {
            cause: KubernetesCause::Answer { status: 401 | 403, .. },
            ..
        }) => Read::Forbidden,
        _ => Read::Unread,
    }
}

fn not_written(fault: Fault) -> Written {
    tracing::warn!(%fault, "an owner of pods was not restarted");
    let Fault::Kubernetes(KubernetesFault { cause, .. }) = fault else {
        return Written::Unknown;
    };
    match cause {
        KubernetesCause::FieldsHeld(held) => {
            let manager = held.first().map_or("another one", |held| held.manager.as_str());
            Written::Refused(format!(
                "field manager {manager:?} holds the annotation {} of its pod template: take it out there",
                keys::ROLLOUT_ANNOTATION
            ))
        }
        KubernetesCause::Answer { status: 404 | 409, .. } | KubernetesCause::NamespaceTerminating => Written::Overtaken,
        KubernetesCause::Answer {
            status: 400..=403 | 422,
            message,
            ..
        } => Written::Refused(format!("the API server refused the restart: {message}")),
        KubernetesCause::Answer { .. } | KubernetesCause::Transport(_) | KubernetesCause::Malformed(_) => {
            Written::Unknown
        }
    }
}
