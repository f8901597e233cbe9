//! Who may do what, as roles of Kubernetes say. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::ResourceExt;

/// The label of what Kubernetes makes for its own parts.
const BOOTSTRAP: &str = "kubernetes.io/bootstrapping";
/// Whoever is one of these is nobody in particular.
const ANYBODY: [&str; 4] = [
    "system:authenticated",
    "system:unauthenticated",
    "system:anonymous",
    "system:serviceaccounts",
];
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// Roles, and who has them.
#[derive(Default)]
pub(super) struct Access {
    grants: Vec<Grant>,
}

/// Some rules, and who has them where.
struct Grant {
    /// The binding, as kubectl names it.
    by: String,
    /// None is everywhere.
    namespace: Option<String>,
    subjects: Vec<Subject>,
    rules: Vec<PolicyRule>,
    kubernetes_own: bool,
}

/// Something that may be done.
pub(super) struct Act {
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    /// Whether only creating is meant, and not each way of writing.
    pub(super) creating: bool,
}

/// Somebody who may do it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pub(super) name: String,
    /// None is everywhere.
    pub(super) namespace: Option<String>,
    /// The binding that gives it, as kubectl names it.
    pub(super) by: String,
    /// Nobody in particular has it.
    pub(super) anybody: bool,
    /// Whoever has it may do everything.
    pub(super) administrator: bool,
}

/// What was listed.
pub(super) struct Listed {
    pub(super) cluster_roles: Vec<ClusterRole>,
    pub(super) cluster_role_bindings: Vec<ClusterRoleBinding>,
    pub(super) roles: Vec<Role>,
    pub(super) role_bindings: Vec<RoleBinding>,
}

// === impl Access ===

impl Access {
    pub(super) fn of(listed: &Listed) -> Self {
        let everywhere = listed.cluster_role_bindings.iter().map(|binding| Grant {
            by: format!("clusterrolebinding/{}", binding.name_any()),
            namespace: None,
            subjects: binding.subjects.clone().unwrap_or_default(),
            rules: listed.rules(&binding.role_ref, None),
            kubernetes_own: binding.labels().contains_key(BOOTSTRAP),
        });
        let within = listed.role_bindings.iter().map(|binding| Grant {
            by: format!("rolebinding/{}", binding.name_any()),
            namespace: binding.namespace(),
            subjects: binding.subjects.clone().unwrap_or_default(),
            rules: listed.rules(&binding.role_ref, binding.namespace().as_deref()),
            kubernetes_own: binding.labels().contains_key(BOOTSTRAP),
        });
        Self {
            grants: everywhere.chain(within).collect(),
        }
    }

    /// Who may do it, but for Kubernetes' own parts.
    pub(super) fn holders(&self, act: &Act) -> BTreeSet<Holder> {
        let grants = self
            .grants
            .iter()
            .filter(|grant| grant.rules.iter().any(|rule| act.is_in(rule)));
        let holders = grants.flat_map(|grant| {
            grant
                .subjects
                .iter()
                .map(|subject| grant.holder(subject))
                .zip(std::iter::repeat(grant))
        });
        holders
            .filter(|(holder, grant)| holder.anybody || !grant.kubernetes_own)
            .map(|(holder, _)| holder)
            .collect()
    }
}

// === impl Listed ===

impl Listed {
    fn rules(&self, named: &RoleRef, namespace: Option<&str>) -> Vec<PolicyRule> {
        let rules = if named.kind == "ClusterRole" {
            let mut roles = self.cluster_roles.iter();
            roles
                .find(|role| role.name_any() == named.name)
                .and_then(|role| role.rules.clone())
        } else {
            let mut roles = self.roles.iter();
            let meant = |role: &&Role| role.name_any() == named.name && role.namespace().as_deref() == namespace;
            roles.find(meant).and_then(|role| role.rules.clone())
        };
        rules.unwrap_or_default()
    }
}

// === impl Grant ===

impl Grant {
    fn holder(&self, subject: &Subject) -> Holder {
        let all = |rule: &PolicyRule| {
            has(rule.resources.as_ref(), "*") && has(rule.api_groups.as_ref(), "*") && any(&rule.verbs, "*")
        };
        let name = match &subject.namespace {
            Some(namespace) => format!("{} {namespace}/{}", subject.kind, subject.name),
            None => format!("{} {}", subject.kind, subject.name),
        };
        Holder {
            name,
            namespace: self.namespace.clone(),
            by: self.by.clone(),
            anybody: subject.kind != "ServiceAccount" && ANYBODY.contains(&subject.name.as_str()),
            administrator: self.rules.iter().any(all),
        }
    }
}

// === impl Act ===

impl Act {
    fn is_in(&self, rule: &PolicyRule) -> bool {
        let subresource = self.resource.split_once('/').map(|(_, part)| format!("*/{part}"));
        let resource = has(rule.resources.as_ref(), "*")
            || has(rule.resources.as_ref(), self.resource)
            || subresource.is_some_and(|all| has(rule.resources.as_ref(), &all));
        let group = has(rule.api_groups.as_ref(), "*") || has(rule.api_groups.as_ref(), self.group);
        let mut verbs = WRITES.iter().filter(|verb| !self.creating || **verb == "create");
        resource && group && (any(&rule.verbs, "*") || verbs.any(|verb| any(&rule.verbs, verb)))
    }
}

fn has(list: Option<&Vec<String>>, text: &str) -> bool {
    list.is_some_and(|list| any(list, text))
}

fn any(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == text)
}

// === impl Holder ===

impl Holder {
    /// Who has it, where, and by what.
    pub(super) fn told(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} in namespace {namespace}, by {}", self.name, self.by),
            None => format!("{} everywhere, by {}", self.name, self.by),
        }
    }
}
