//! The rules of one moment, by which the bindings of one namespace are decided.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::config::OperatorConfig;
use crate::policy::{Limits, NamespaceFacts, Policies};

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
    /// How much the namespace may have.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.policies.limits(&self.namespace)
    }
}
