//! A binding in the cache, packed: its text, written as what differs from another one's. A pass looks at one or two of ten thousand, and as
//! an object each would take eight times as much memory (docs/adr/0028).

use std::collections::VecDeque;
use std::sync::Arc;

use wio_api::WorkloadIdentityBinding;

use crate::runtime::packing::{self, Packer};

/// How many bindings are kept as objects as well: as many as passes go on at once by default, and one that each shares something with.
const UNPACKED_MAX: usize = 8;
/// The longest packed text of such a one.
const UNPACKED_BYTES_MAX: usize = 4096;

/// A binding, packed. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Packed(Form);

#[derive(Clone, Debug)]
enum Form {
    Text(packing::Packed),
    /// One whose text does not say all of it: what could not be read of its spec is noted beside it.
    Whole(Arc<WorkloadIdentityBinding>),
}

/// The bindings that were unpacked last: a pass asks for the same one several times.
#[derive(Debug, Default)]
pub(super) struct Unpacked(VecDeque<(packing::Packed, Arc<WorkloadIdentityBinding>)>);

// === impl Unpacked ===

impl Unpacked {
    /// The binding, if it was unpacked lately.
    pub(super) fn get(&self, packed: &Packed) -> Option<Arc<WorkloadIdentityBinding>> {
        let Form::Text(packed) = &packed.0 else { return None };
        let found = self.0.iter().find(|(text, _)| text.is(packed));
        found.map(|(_, binding)| Arc::clone(binding))
    }

    /// Keeps a binding until others were unpacked.
    pub(super) fn keep(&mut self, packed: &Packed, binding: &Arc<WorkloadIdentityBinding>) {
        let Form::Text(packed) = &packed.0 else { return };
        if packed.len() > UNPACKED_BYTES_MAX || self.0.iter().any(|(text, _)| text.is(packed)) {
            return;
        }
        if self.0.len() >= UNPACKED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((packed.clone(), Arc::clone(binding)));
    }
}

// === impl Packed ===

impl Packed {
    /// Packs a binding; a typical one is what later ones are written by: in the same cluster they name the same subscription, issuer and conditions.
    pub(super) fn of(binding: &WorkloadIdentityBinding, packer: &mut Packer, is_typical: bool) -> Self {
        let readable = binding.spec.unreadable.is_empty();
        let text = serde_json::to_vec(binding).ok().filter(|_| readable);
        Self(match text {
            Some(text) => Form::Text(packer.pack(text, is_typical)),
            None => Form::Whole(Arc::new(binding.clone())),
        })
    }

    /// The binding, as it was.
    pub(super) fn unpack(&self) -> Option<Arc<WorkloadIdentityBinding>> {
        match &self.0 {
            Form::Text(text) => serde_json::from_slice(&text.unpack()?).ok().map(Arc::new),
            Form::Whole(binding) => Some(Arc::clone(binding)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wio_testkit::fixtures::binding;

    use super::*;

    /// A binding that is Ready, with what differs from one to the other.
    fn ready(n: u32) -> WorkloadIdentityBinding {
        let (namespace, name) = (format!("team-{}", n / 100), format!("orders-{n}"));
        let identity = format!("wib-{namespace}-{name}-{:08x}", n.wrapping_mul(0x9e37_79b9));
        let guid = |salt: u32| format!("{:08x}-52a4-4d0c-8d2f-0c6a{:08x}", n.wrapping_mul(salt), n ^ salt);
        let group = "/subscriptions/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/resourceGroups/workload-identities";
        let id = format!("{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{identity}");
        let condition = |kind: &str, message: String| {
            json!({
                "type": kind, "status": "True", "reason": "Succeeded", "message": message, "observedGeneration": 1,
                "lastTransitionTime": "2026-11-27T10:00:00Z",
            })
        };
        let mut object: Value =
            serde_json::to_value(binding(&namespace, &name).managed().service_account(&name).build()).unwrap();
        object["metadata"]["uid"] = guid(3).into();
        object["metadata"]["resourceVersion"] = (100_000 + n).to_string().into();
        object["status"] = json!({
            "observedGeneration": 1,
            "issuer": "https://oidc.example.com/6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11/",
            "conditions": [
                condition("Ready", format!("Pods of service account {name} with the label azure.workload.identity/use: \"true\" get tokens of managed identity {identity}.")),
                condition("Authorized", "Allowed without a policy.".to_owned()),
                condition("IdentityReady", format!("{id} exists with client id {}.", guid(5))),
                condition("FederatedCredentialsReady", "1 federated credential exists.".to_owned()),
                condition("ServiceAccountsReady", "1 service account carries the client id.".to_owned()),
            ],
            "identity": { "resourceId": id, "name": identity, "clientId": guid(5), "principalId": guid(7), "tenantId": guid(0), "origin": "Created" },
            "federatedCredentials": [{ "name": format!("wib-{:016x}-{name}", u64::from(n) << 20), "serviceAccount": name, "subject": format!("system:serviceaccount:{namespace}:{name}"), "audience": "api://AzureADTokenExchange" }],
            "serviceAccounts": [{ "name": name, "uid": guid(11), "origin": "Created" }],
            "somethingOfAnOlderOperator": { "kept": [1, "two", null] },
            "written": true,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_was_packed_is_unpacked_as_it_was() {
        let mut packer = Packer::default();
        let fixtures = [
            binding("shop", "orders").managed().build(),
            binding("shop", "orders")
                .existing("/subscriptions/x")
                .service_account("a")
                .build(),
        ];
        for object in (0..300).map(ready).chain(fixtures) {
            let kept = Packed::of(&object, &mut packer, true);
            assert_eq!(*kept.unpack().unwrap(), object);
        }
    }

    /// What cannot be read stops what the binding is given: a cache that forgot it would have it given something else.
    #[test]
    fn what_could_not_be_read_of_a_binding_is_kept() {
        let mut object = serde_json::to_value(ready(1)).unwrap();
        object["spec"]["identity"] = json!({ "managed": { "location": ["of", "a", "newer", "schema"] } });
        object["status"]["conditions"] = json!("of a newer schema");
        let object: WorkloadIdentityBinding = serde_json::from_value(object).unwrap();
        assert!(!object.spec.unreadable.is_empty());
        let mut packer = Packer::default();
        Packed::of(&ready(0), &mut packer, true);
        assert_eq!(*Packed::of(&object, &mut packer, false).unpack().unwrap(), object);
    }

    #[test]
    fn a_binding_like_others_takes_a_fraction_of_its_text() {
        let mut packer = Packer::default();
        Packed::of(&ready(0), &mut packer, true);
        let object = ready(4711);
        let text = serde_json::to_vec(&object).unwrap().len();
        let Packed(Form::Text(kept)) = Packed::of(&object, &mut packer, true) else {
            unreachable!()
        };
        assert!(kept.len() * 4 < text, "{} of {text} bytes", kept.len());
    }

    #[test]
    fn what_was_unpacked_lately_is_not_unpacked_again_and_of_a_newer_version_it_is() {
        let (mut packer, mut unpacked) = (Packer::default(), Unpacked::default());
        let all: Vec<Packed> = (0..9).map(|n| Packed::of(&ready(n), &mut packer, false)).collect();
        for kept in &all {
            assert!(unpacked.get(kept).is_none());
            unpacked.keep(kept, &kept.unpack().unwrap());
        }
        let known: Vec<bool> = all.iter().map(|kept| unpacked.get(kept).is_some()).collect();
        assert_eq!(known, [false, true, true, true, true, true, true, true, true]);
        assert_eq!(*unpacked.get(&all[8]).unwrap(), ready(8));
        assert!(unpacked.get(&Packed::of(&ready(8), &mut packer, false)).is_none());
    }
}
