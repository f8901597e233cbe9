//! The places where orphans are looked for: resource groups that the configuration or a policy names.

use std::collections::BTreeSet;

use crate::config::OperatorConfig;
use crate::names::{IdentityId, ResourceGroupId};
use crate::policy::{IdentityPattern, Policies};

/// The resource groups whose identities are listed: the operator's own, those where policies let identities be made, and those that
/// policies name whole under existing identities. Where a policy names many groups by a pattern, nobody says which they are.
#[must_use]
pub fn places(config: &OperatorConfig, policies: &Policies) -> BTreeSet<ResourceGroupId> {
    let of_policies = policies.all().iter().flat_map(|policy| {
        let managed = policy.managed.iter().map(|place| place.group.clone());
        managed.chain(policy.existing.iter().filter_map(IdentityPattern::group))
    });
    of_policies.chain([config.group.clone()]).collect()
}

/// Whether any policy lets bindings have an identity that somebody else owns: then credentials of ours may be on it.
#[must_use]
pub fn may_be_bound(policies: &Policies, id: &IdentityId) -> bool {
    policies.all().iter().any(|policy| policy.allows_existing(id))
}
