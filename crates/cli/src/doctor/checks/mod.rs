//! The checks: one function each, and the table of them. Pure.

mod azure;
mod callers;
mod cluster;
mod definitions;
mod identity;
mod issuer;
mod operator;
mod own_roles;
mod policies;
mod rights;
mod webhook;

pub(super) use definitions::OURS;

use super::facts::{Facts, Looked};
use super::finding::{Examination, Finding, Scenario, Verdict};

/// A check.
pub(super) struct Check {
    /// Its name in data, and the heading of the page that explains it.
    pub(super) id: &'static str,
    pub(super) scenario: Scenario,
    pub(super) title: &'static str,
    judge: fn(&Facts) -> Looked<Verdict>,
}

const fn check(
    id: &'static str,
    scenario: Scenario,
    title: &'static str,
    judge: fn(&Facts) -> Looked<Verdict>,
) -> Check {
    Check {
        id,
        scenario,
        title,
        judge,
    }
}

/// All of them, in the order in which they are shown.
pub(super) const TABLE: &[Check] = {
    use Scenario::{Callers, ClusterIdentities, Installation, Resource, Rights, WorkloadIdentity};
    &[
        check("definitions", Installation, "Custom resources", definitions::there),
        check(
            "definitions-version",
            Installation,
            "Their version",
            definitions::version,
        ),
        check(
            "definitions-kept",
            Installation,
            "Kept when the operator is uninstalled",
            definitions::kept,
        ),
        check("operator", Installation, "The operator", operator::replicas),
        check("operator-version", Installation, "Its version", operator::version),
        check(
            "operator-identity",
            Installation,
            "Its own identity",
            identity::identity,
        ),
        check(
            "operator-disruptions",
            Installation,
            "Drains of nodes",
            operator::disruptions,
        ),
        check("lease", Installation, "Who leads", operator::lease),
        check(
            "operator-rights",
            Installation,
            "Its rights in the cluster",
            operator::rights,
        ),
        check("azure-rights", Installation, "Its rights in Azure", own_roles::rights),
        check("admission", Installation, "Rules of admission", policies::admission),
        check(
            "effective-policy",
            Installation,
            "The merged policy",
            policies::effective,
        ),
        check("policy-problems", Installation, "Parts of policies", policies::problems),
        check(
            "policies-vanished",
            Installation,
            "Policies that vanished",
            policies::vanished,
        ),
        check(
            "settings-held",
            Installation,
            "The operator's settings",
            policies::settings,
        ),
        check("policies", Installation, "Policies", policies::ready),
        check("bindings", Installation, "Bindings", policies::bindings),
        check("caller", Callers, "You", callers::caller),
        check("entra-integration", Callers, "Entra", callers::entra),
        check("local-accounts", Callers, "Local accounts", callers::local_accounts),
        check("external-issuers", Callers, "Issuers of others", callers::other_issuers),
        check("binding-writers", Rights, "Bindings", rights::binding_writers),
        check("policy-writers", Rights, "Policies", rights::policy_writers),
        check(
            "status-writers",
            Rights,
            "The status of bindings",
            rights::status_writers,
        ),
        check(
            "pod-creators",
            Rights,
            "Pods, and by them every identity of a namespace",
            rights::pod_creators,
        ),
        check("entra-authorization", Rights, "Entra authorization", rights::entra),
        check("kubeconfig", Resource, "The cluster's kubeconfig", cluster::kubeconfig),
        check(
            "node-group",
            ClusterIdentities,
            "The resource group of the nodes",
            cluster::node_group,
        ),
        check(
            "cluster-identities",
            ClusterIdentities,
            "The cluster's own identities",
            cluster::identities,
        ),
        check("issuer", WorkloadIdentity, "The issuer", issuer::issuer),
        check(
            "issuer-of-bindings",
            WorkloadIdentity,
            "The issuer that bindings have",
            issuer::of_bindings,
        ),
        check(
            "issuer-in-azure",
            WorkloadIdentity,
            "The issuer in Azure",
            azure::issuer,
        ),
        check(
            "workload-identity-in-azure",
            WorkloadIdentity,
            "AKS's workload identity",
            azure::workload_identity,
        ),
        check("webhook", WorkloadIdentity, "The pod webhook", webhook::configuration),
        check("webhook-pods", WorkloadIdentity, "Its pods", webhook::pods),
        check("webhook-version", WorkloadIdentity, "Its version", webhook::version),
        check("clock", WorkloadIdentity, "Clocks", issuer::clock),
        check(
            "credentials-of-nobody",
            WorkloadIdentity,
            "Federated credentials of nobody",
            azure::strangers,
        ),
        check(
            "pod-identity",
            WorkloadIdentity,
            "Pod identity, which is retired",
            issuer::pod_identity,
        ),
    ]
};

/// Makes every check.
pub(crate) fn examine(facts: &Facts) -> Examination {
    Examination::of(TABLE.iter().map(|check| check.found(facts)).collect())
}

/// The page that explains a check.
fn page(id: &str) -> String {
    format!("docs/doctor.md#{id}")
}

// === impl Check ===

impl Check {
    fn found(&self, facts: &Facts) -> Finding {
        let verdict = (self.judge)(facts).unwrap_or_else(Verdict::unseen);
        Finding {
            id: self.id,
            scenario: self.scenario,
            title: self.title,
            level: verdict.level,
            says: verdict.says,
            details: verdict.details,
            fix: verdict.fix,
            page: page(self.id),
        }
    }
}
