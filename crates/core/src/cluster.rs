//! The cluster, as the operator learned it from the API server.

use crate::names::{ClusterId, Issuer};

/// Which cluster this is and who issues its tokens: asked of the API server, never of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Which cluster it is.
    pub id: ClusterId,
    /// Who issues its service account tokens.
    pub issuer: Issuer,
}
