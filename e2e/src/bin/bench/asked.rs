//! What an operator asked of Azure and of Kubernetes, by the logs of both.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use wio_azure_sim::LoggedRequest;
use wio_e2e::audit::AuditEvent;
use wio_e2e::cluster::Cluster;
use wio_e2e::simulator::Simulator;

/// What an operator asked Azure and Kubernetes in a while.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    /// Requests to Azure Resource Manager.
    pub(crate) azure: Vec<LoggedRequest>,
    /// Requests to the API server.
    pub(crate) kubernetes: Vec<AuditEvent>,
}

/// One who asks, and the two who write it down.
pub(crate) struct Asks<'w> {
    pub(crate) simulator: &'w Simulator,
    pub(crate) cluster: &'w Cluster,
    /// It, as Azure names it: the object id of its identity.
    pub(crate) principal: String,
    /// It, as Kubernetes names it.
    pub(crate) user: &'static str,
}

/// Where both logs stood.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    azure: u64,
    kubernetes: wio_e2e::audit::Mark,
}

/// What a request to Kubernetes asks, such as `patch serviceaccounts`.
pub(crate) fn kind(event: &AuditEvent) -> String {
    let what = match (event.resource.as_str(), event.subresource.as_str()) {
        ("", _) => event.uri.clone(),
        (resource, "") => resource.to_owned(),
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    format!("{} {what}", event.verb)
}

// === impl Asks ===

impl Asks<'_> {
    /// Where both logs stand now.
    pub(crate) async fn mark(&self) -> Result<Mark> {
        let requests = self.simulator.requests().await?;
        let last = requests.last().map_or(0, |request| request.sequence);
        let own = self.cluster.own().context("the bench needs an audit log")?;
        Ok(Mark {
            azure: last,
            kubernetes: own.audit().mark()?,
        })
    }

    /// What it asked since the mark.
    pub(crate) async fn since(&self, mark: Mark) -> Result<Calls> {
        let requests = self.simulator.requests().await?;
        let own = self.cluster.own().context("the bench needs an audit log")?;
        let ours = |request: &LoggedRequest| {
            request.sequence > mark.azure && request.principal.as_deref() == Some(self.principal.as_str())
        };
        Ok(Calls {
            azure: requests.into_iter().filter(ours).collect(),
            kubernetes: own
                .audit()
                .since(mark.kubernetes)?
                .into_iter()
                .filter(|event| event.user == self.user)
                .collect(),
        })
    }
}

// === impl Calls ===

impl Calls {
    /// Requests that ask Azure to change something.
    pub(crate) fn azure_writes(&self) -> usize {
        self.azure.iter().filter(|request| request.writes).count()
    }

    /// Requests that only ask Azure.
    pub(crate) fn azure_reads(&self) -> usize {
        self.azure.len() - self.azure_writes()
    }

    /// Requests that Azure answered with this status.
    pub(crate) fn azure_answered(&self, status: u16) -> usize {
        self.azure
            .iter()
            .filter(|request| request.status == Some(status))
            .count()
    }

    /// Requests that ask Kubernetes to change something.
    pub(crate) fn kubernetes_writes(&self) -> usize {
        self.kubernetes.iter().filter(|event| event.writes()).count()
    }

    /// Requests to Kubernetes by what they ask, such as `2 patch serviceaccounts`.
    pub(crate) fn kubernetes_by_kind(&self) -> String {
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for event in &self.kubernetes {
            *kinds.entry(kind(event)).or_default() += 1;
        }
        kinds
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
