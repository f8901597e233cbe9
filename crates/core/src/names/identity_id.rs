//! Resource ids, parsed segment by segment: Azure answers in another case than was sent, and an id from a user may
//! try to lead elsewhere (`..`, `%2f`, empty segments). Each segment parses by its own rule, and none allows those.

use std::fmt;
use std::str::FromStr;

use super::azure::{IdentityName, ResourceGroupName, SubscriptionId};
use super::text::InvalidName;

/// A resource group's id. Equality disregards case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceGroupId {
    /// The subscription it is in.
    pub subscription: SubscriptionId,
    /// Its name.
    pub name: ResourceGroupName,
}

impl FromStr for ResourceGroupId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || {
            InvalidName::new(
                "resource group id",
                text,
                "it must be /subscriptions/<GUID>/resourceGroups/<name>, exactly",
            )
        };
        let segments: Vec<&str> = text.split('/').collect();
        match segments.as_slice() {
            ["", s, subscription, g, group]
                if s.eq_ignore_ascii_case("subscriptions") && g.eq_ignore_ascii_case("resourceGroups") =>
            {
                Ok(Self {
                    subscription: subscription.parse().map_err(|_| invalid())?,
                    name: group.parse().map_err(|_| invalid())?,
                })
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for ResourceGroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/subscriptions/{}/resourceGroups/{}", self.subscription, self.name)
    }
}

/// A user-assigned managed identity's id. Equality disregards case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId {
    /// The resource group it is in.
    pub group: ResourceGroupId,
    /// Its name.
    pub name: IdentityName,
}

impl FromStr for IdentityId {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "it must be /subscriptions/<GUID>/resourceGroups/<name>/providers/\
            Microsoft.ManagedIdentity/userAssignedIdentities/<name>, exactly";
        let invalid = || InvalidName::new("managed identity id", text, RULE);
        let segments: Vec<&str> = text.split('/').collect();
        match segments.as_slice() {
            [group @ .., p, provider, kind, name]
                if p.eq_ignore_ascii_case("providers")
                    && provider.eq_ignore_ascii_case("Microsoft.ManagedIdentity")
                    && kind.eq_ignore_ascii_case("userAssignedIdentities") =>
            {
                Ok(Self {
                    group: group.join("/").parse().map_err(|_| invalid())?,
                    name: name.parse().map_err(|_| invalid())?,
                })
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
            self.group, self.name
        )
    }
}
