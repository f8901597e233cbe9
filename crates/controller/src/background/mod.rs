//! What goes on beside the reconciles.

pub(crate) mod drift;
pub(crate) mod election;
pub(crate) mod merged_policy;
pub(crate) mod named_accounts;
pub(crate) mod orphans;
pub(crate) mod own_cluster;
pub(crate) mod policy_status;
