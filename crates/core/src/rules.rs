//! The rules of one moment, by which the bindings of one namespace are decided.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::config::OperatorConfig;
use crate::policy::{NamespaceFacts, Policies};

/// Everything but the bindings themselves that a decision in one namespace rests on, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The cluster.
    pub cluster: Cluster,
    /// The operator's configuration.
    pub config: Arc<OperatorConfig>,
    /// The policies.
    pub policies: Arc<Policies>,
    /// The namespace.
    pub namespace: NamespaceFacts,
}

impl Rules {
    /// How many federated credentials the namespace may hold; none when it may hold any number.
    #[must_use]
    pub fn credential_limit(&self) -> Option<usize> {
        self.policies.limit(&self.namespace)
    }
}
