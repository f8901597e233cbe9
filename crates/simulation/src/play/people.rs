//! What people do to bindings, service accounts, policies and namespaces.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::{Value, json};
use wio_api::{WorkloadIdentityBinding, WorkloadIdentityPolicy, keys};

use super::Player;
use crate::plan::{Act, Asked};
use crate::world::{
    CONDITION, SOMEBODY, account_of, binding_of, foreign_account, map_of, namespace, policies, policy_of,
};

impl Player<'_> {
    pub(super) fn create(&self, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, cluster) = (namespace(planned.namespace), &self.world.cluster);
        if !cluster
            .get_json::<WorkloadIdentityBinding>(&namespace, &format!("b{n}"))
            .is_null()
        {
            return false;
        }
        let account = account_of(n, planned, 0);
        if planned.foreign && cluster.get_json::<ServiceAccount>(&namespace, &account).is_null() {
            cluster.seed(foreign_account(n, planned));
        }
        cluster.seed(binding_of(n, planned));
        true
    }

    /// What somebody does to the first service account of a binding.
    pub(super) fn on_account(&self, act: &Act, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, name) = (namespace(planned.namespace), account_of(n, planned, 0));
        let cluster = &self.world.cluster;
        let there = cluster.get_json::<ServiceAccount>(&namespace, &name);
        let claimed = there
            .pointer("/metadata/annotations")
            .and_then(|all| all.get(keys::CLIENT_ID_ANNOTATION))
            .is_some_and(|value| value == SOMEBODY);
        if there.is_null() || claimed != matches!(act, Act::Unclaim(_)) && !matches!(act, Act::LoseAccount(_)) {
            return false;
        }
        if matches!(act, Act::LoseAccount(_)) {
            cluster.delete::<ServiceAccount>(&namespace, &name);
            return true;
        }
        cluster.edit::<ServiceAccount>(&namespace, &name, |object| {
            if claimed {
                if let Some(all) = object
                    .pointer_mut("/metadata/annotations")
                    .and_then(Value::as_object_mut)
                {
                    all.remove(keys::CLIENT_ID_ANNOTATION);
                }
            } else if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                let all = metadata.entry("annotations").or_insert_with(|| json!({}));
                if let Some(all) = all.as_object_mut() {
                    all.insert(keys::CLIENT_ID_ANNOTATION.to_owned(), json!(SOMEBODY));
                }
            }
        });
        true
    }

    pub(super) fn on_binding(&self, act: &Act, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, name) = (namespace(planned.namespace), format!("b{n}"));
        let cluster = &self.world.cluster;
        let there = cluster.get_json::<WorkloadIdentityBinding>(&namespace, &name);
        if there.is_null() || there.pointer("/metadata/deletionTimestamp").is_some() {
            return false;
        }
        if matches!(act, Act::Delete(_)) {
            cluster.delete::<WorkloadIdentityBinding>(&namespace, &name);
            return true;
        }
        let mut accounts = there
            .pointer("/spec/serviceAccounts")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if matches!(act, Act::AddAccount(_)) {
            accounts.push(json!({"name": account_of(n, planned, accounts.len())}));
        } else if accounts.len() > 1 {
            accounts.pop();
        } else {
            return false;
        }
        cluster.edit::<WorkloadIdentityBinding>(&namespace, &name, |object| {
            if let Some(spec) = object.pointer_mut("/spec/serviceAccounts") {
                *spec = Value::Array(accounts);
            }
        });
        true
    }

    /// What somebody has a binding ask for.
    pub(super) fn on_spec(&self, act: &Act, n: usize) -> bool {
        let Some(planned) = self.plan.bindings.get(n) else {
            return false;
        };
        let (namespace, name) = (namespace(planned.namespace), format!("b{n}"));
        let cluster = &self.world.cluster;
        let there = cluster.get_json::<WorkloadIdentityBinding>(&namespace, &name);
        let Some(spec) = there.get("spec") else { return false };
        let changed = edited(spec, act, n);
        if changed == *spec || there.pointer("/metadata/deletionTimestamp").is_some() {
            return false;
        }
        cluster.edit::<WorkloadIdentityBinding>(&namespace, &name, |object| {
            if let Some(spec) = object.get_mut("spec") {
                *spec = changed;
            }
        });
        true
    }

    pub(super) fn on_policy(&mut self, n: usize, narrow: bool) -> bool {
        let Some(narrowed) = self
            .narrowed
            .get_mut(n)
            .filter(|narrowed| **narrowed != narrow && !self.vanished)
        else {
            return false;
        };
        *narrowed = narrow;
        let spec = json!(policy_of(n, narrow)).get("spec").cloned().unwrap_or_default();
        self.world
            .cluster
            .edit::<WorkloadIdentityPolicy>("", &format!("p{n}"), |object| {
                if let Some(place) = object.get_mut("spec") {
                    *place = spec;
                }
            });
        self.note_permission(n);
        true
    }

    pub(super) fn on_label(&mut self, n: usize, label: bool) -> bool {
        let Some(labelled) = self.labelled.get_mut(n).filter(|labelled| **labelled != label) else {
            return false;
        };
        *labelled = label;
        let value = if label { namespace(n) } else { "none".to_owned() };
        self.world.cluster.edit::<Namespace>("", &namespace(n), |object| {
            if let Some(team) = object.pointer_mut("/metadata/labels/team") {
                *team = json!(value);
            }
        });
        self.note_permission(n);
        true
    }

    fn note_permission(&mut self, n: usize) {
        let is = self.narrowed.get(n) == Some(&false) && self.labelled.get(n) == Some(&true);
        let at = self.world.elapsed();
        self.history.permitted.entry(namespace(n)).or_default().push((at, is));
    }

    pub(super) fn vanish(&mut self) -> bool {
        if self.vanished {
            return false;
        }
        self.vanished = true;
        for n in 0..policies(self.plan) {
            self.world
                .cluster
                .delete::<WorkloadIdentityPolicy>("", &format!("p{n}"));
        }
        true
    }

    pub(super) fn come_back(&mut self) -> bool {
        if !self.vanished {
            return false;
        }
        self.vanished = false;
        for (n, narrowed) in self.narrowed.iter().enumerate() {
            self.world.cluster.seed(policy_of(n, *narrowed));
        }
        true
    }
}

/// A spec with what somebody has it ask for; the same one when it asks for that already.
fn edited(spec: &Value, act: &Act, n: usize) -> Value {
    let mut edited = spec.clone();
    let Some(fields) = edited.as_object_mut() else {
        return edited;
    };
    let (field, value) = match act {
        Act::Suspend(_) | Act::Resume(_) => ("suspend", json!(matches!(act, Act::Suspend(_)))),
        Act::ExportInto(_, other) if fields.contains_key("export") => ("export", export(*other)),
        Act::Ask(_, Asked::Export) => ("export", export(n)),
        Act::Ask(_, Asked::Proof) => ("verification", json!({"mode": "TokenExchange"})),
        Act::Ask(_, Asked::Restart) => ("rollout", json!("Restart")),
        Act::Unask(_, Asked::Export) => ("export", Value::Null),
        Act::Unask(_, Asked::Proof) => ("verification", Value::Null),
        Act::Unask(_, Asked::Restart) => ("rollout", Value::Null),
        Act::Ask(_, Asked::Condition) | Act::Unask(_, Asked::Condition) => {
            let asks = matches!(act, Act::Ask(..));
            let roles = fields.get_mut("roleAssignments").and_then(Value::as_array_mut);
            for role in roles.into_iter().flatten().filter_map(Value::as_object_mut) {
                if asks {
                    role.insert("condition".to_owned(), json!(CONDITION));
                } else {
                    role.remove("condition");
                }
            }
            return edited;
        }
        _ => return edited,
    };
    if value.is_null() {
        fields.remove(field);
    } else if fields.get(field).is_some_and(|is| *is != value) || value != json!(false) {
        fields.insert(field.to_owned(), value);
    }
    edited
}

fn export(n: usize) -> Value {
    json!({"configMap": {"name": map_of(n)}})
}
