//! Azure's names of roles and of where they hold.
//! <https://learn.microsoft.com/azure/role-based-access-control/role-assignments>

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;
use wio_api::limits::SCOPE_CHARS_MAX;

use super::azure::{SubscriptionId, guid_newtype};
use super::built_in_roles::{guid_of, meant_by, names_of};
use super::text::{InvalidName, caseless_newtype};

guid_newtype!(
    /// A role assignment's name. Ours are derived ([`super::role_assignment_name`]).
    RoleAssignmentName,
    "role assignment name"
);

/// A role definition, built-in or custom. A built-in one has the same GUID in every tenant and cloud.
///
/// It parses from a GUID, from a built-in role's name in any case, and from a role definition's whole id, with the
/// subscription or without: Azure answers without it, and in other case than was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleDefinitionGuid(Uuid);

caseless_newtype!(
    /// Where a role holds, and everything below it: the resource id of a management group, a subscription, a resource
    /// group or any resource. Equality disregards case, as Azure does.
    Scope,
    "scope",
    "it must be the resource id of a management group, a subscription, a resource group or a resource, for example \
     /subscriptions/<GUID>/resourceGroups/<name>, without empty segments, '.', '..', '%', '*', '?', '#', '\\' or white space",
    is_scope
);

// === impl RoleDefinitionGuid ===

impl RoleDefinitionGuid {
    /// Manages everything, access among it.
    pub const OWNER: Self = Self(uuid::uuid!("8e3af657-a8ff-443c-a75c-2fe8c4bcb635"));
    /// Manages everybody's access.
    pub const USER_ACCESS_ADMINISTRATOR: Self = Self(uuid::uuid!("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"));
    /// Manages everybody's access by roles.
    pub const RBAC_ADMINISTRATOR: Self = Self(uuid::uuid!("f58310d9-a9f6-439a-9e8d-f62e7b41a168"));

    /// Manages everything but access, federated credentials among it.
    pub const CONTRIBUTOR: Self = Self(uuid::uuid!("b24988ac-6180-42a0-ab88-20f7382dd24c"));
    /// Manages managed identities and their federated credentials.
    pub const MANAGED_IDENTITY_CONTRIBUTOR: Self = Self(uuid::uuid!("e40ec5ca-96e0-45a2-b4ff-59039f2c2b59"));
    /// Gives managed identities to virtual machines and other resources, where anybody gets their tokens who runs something there.
    pub const MANAGED_IDENTITY_OPERATOR: Self = Self(uuid::uuid!("f1a07417-d97a-45cb-824c-7a7467783830"));
    /// Assigns roles on the data of key vaults.
    pub const KEY_VAULT_DATA_ACCESS_ADMINISTRATOR: Self = Self(uuid::uuid!("8b54135c-b56d-4d72-a534-26097cfdc8d8"));
    /// Assigns roles to sign in to virtual machines.
    pub const VIRTUAL_MACHINE_DATA_ACCESS_ADMINISTRATOR: Self =
        Self(uuid::uuid!("66f75aeb-eabe-4b70-9f1e-c350c4c9ad04"));
    /// Writes federated credentials on managed identities.
    pub const OPENSHIFT_FEDERATED_CREDENTIAL: Self = Self(uuid::uuid!("ef318e2a-8334-4a05-9e4a-295a196c6a6e"));

    /// The GUID itself.
    #[must_use]
    pub const fn as_uuid(&self) -> Uuid {
        self.0
    }

    /// The built-in role's name, when it is one that the operator knows by name.
    #[must_use]
    pub fn built_in_name(&self) -> Option<&'static str> {
        self.built_in_names().next()
    }

    /// The names under which the operator knows the role when it is a built-in one, the present one first.
    pub fn built_in_names(&self) -> impl Iterator<Item = &'static str> {
        names_of(self.0)
    }
}

impl FromStr for RoleDefinitionGuid {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "role definition";
        const BAD_ID: &str = "it must be a GUID, a built-in role's name, or \
            [/subscriptions/<GUID>]/providers/Microsoft.Authorization/roleDefinitions/<GUID>, exactly";
        if let Some(guid) = hyphenated(text) {
            return Ok(Self(guid));
        }
        if !text.contains('/') {
            return guid_of(text)
                .map(Self)
                .ok_or_else(|| InvalidName::new(WHAT, text, unknown_name(text)));
        }
        let invalid = || InvalidName::new(WHAT, text, BAD_ID);
        let segments: Vec<&str> = text.split('/').collect();
        let (["", above @ .., p, provider, kind, guid] | [above @ .., p, provider, kind, guid]) = segments.as_slice()
        else {
            return Err(invalid());
        };
        let fixed = [
            (p, "providers"),
            (provider, "Microsoft.Authorization"),
            (kind, "roleDefinitions"),
        ];
        let in_subscription = match above {
            [] => true,
            [s, subscription] => {
                s.eq_ignore_ascii_case("subscriptions") && subscription.parse::<SubscriptionId>().is_ok()
            }
            _ => false,
        };
        if !text.starts_with('/') || !in_subscription || fixed.iter().any(|(is, must)| !is.eq_ignore_ascii_case(must)) {
            return Err(invalid());
        }
        hyphenated(guid).map(Self).ok_or_else(invalid)
    }
}

impl fmt::Display for RoleDefinitionGuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

fn unknown_name(text: &str) -> String {
    let meant = meant_by(text).map_or_else(String::new, |name| format!("did you mean {name:?}? Otherwise "));
    format!(
        "{meant}no built-in role that the operator knows has this name, so it must be the role definition's GUID (az role definition list \
         --name <name> --query [].name)"
    )
}

fn hyphenated(text: &str) -> Option<Uuid> {
    const CHARS: usize = 36;
    Uuid::try_parse(text)
        .ok()
        .filter(|guid| text.len() == CHARS && !guid.is_nil())
}

// === impl Scope ===

impl Scope {
    /// Its segments, in the case in which they were given.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/').skip(1)
    }

    /// Whether it is the other one or lies below it: whole segments are compared, so that `team-a-evil` is not below
    /// `team-a`.
    #[must_use]
    pub fn is_at_or_below(&self, other: &Self) -> bool {
        let mut own = self.segments();
        other
            .segments()
            .all(|theirs| own.next().is_some_and(|ours| ours.eq_ignore_ascii_case(theirs)))
    }

    /// The subscription that it is or lies in; none for a management group.
    #[must_use]
    pub fn subscription(&self) -> Option<SubscriptionId> {
        let mut segments = self.segments();
        segments
            .next()
            .filter(|first| first.eq_ignore_ascii_case("subscriptions"))?;
        segments.next()?.parse().ok()
    }

    /// The name of the resource group that it is or lies in.
    #[must_use]
    pub fn resource_group(&self) -> Option<&str> {
        const TYPE: usize = 2;
        self.subscription()?;
        let mut segments = self.segments().skip(TYPE);
        segments
            .next()
            .filter(|kind| kind.eq_ignore_ascii_case("resourceGroups"))?;
        segments.next()
    }

    /// Whether it is a management group or a subscription: what is assigned there holds in resource groups.
    #[must_use]
    pub fn is_above_groups(&self) -> bool {
        const OF_SUBSCRIPTION: usize = 2;
        self.subscription().is_none() || self.segments().count() == OF_SUBSCRIPTION
    }

    /// The subscription or management group that it is or lies in: a list of role assignments there has all below it.
    #[must_use]
    pub fn root(&self) -> Self {
        const OF_SUBSCRIPTION: usize = 2;
        if self.subscription().is_none() {
            // Azure lists management groups side by side: such a scope lies in nothing but itself.
            return self.clone();
        }
        let segments: Vec<&str> = self.segments().take(OF_SUBSCRIPTION).collect();
        Self(format!("/{}", segments.join("/")))
    }
}

impl From<SubscriptionId> for Scope {
    fn from(subscription: SubscriptionId) -> Self {
        Self(format!("/subscriptions/{subscription}"))
    }
}

fn is_scope(text: &str) -> bool {
    if text.len() > SCOPE_CHARS_MAX || !text.starts_with('/') {
        return false;
    }
    let segments: Vec<&str> = text.split('/').skip(1).collect();
    segments.iter().all(|segment| is_segment(segment)) && is_path(&segments)
}

/// A management group, or a subscription and what is in it.
fn is_path(segments: &[&str]) -> bool {
    let is = |segment: &str, fixed: &str| segment.eq_ignore_ascii_case(fixed);
    match segments {
        [p, provider, kind, _] if is(p, "providers") => {
            is(provider, "Microsoft.Management") && is(kind, "managementGroups")
        }
        [s, subscription, rest @ ..] if is(s, "subscriptions") && subscription.parse::<SubscriptionId>().is_ok() => {
            match rest {
                [g, _, below @ ..] if is(g, "resourceGroups") => are_resources(below),
                below => are_resources(below),
            }
        }
        _ => false,
    }
}

/// Nothing, or a provider's resource and those below it, and what extends them: `providers/<provider>` and pairs of type
/// and name.
fn are_resources(segments: &[&str]) -> bool {
    match segments {
        [] => true,
        [p, _, pairs @ ..] if p.eq_ignore_ascii_case("providers") => {
            let own = pairs
                .iter()
                .position(|segment| segment.eq_ignore_ascii_case("providers"))
                .unwrap_or(pairs.len());
            let (own, extending) = pairs.split_at(own);
            !own.is_empty() && own.len() % 2 == 0 && are_resources(extending)
        }
        _ => false,
    }
}

/// A segment that leads nowhere else: not empty, no dots alone, and nothing that a URL, a pattern or a log line reads as
/// something else.
fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && !segment.chars().all(|c| c == '.')
        && !segment
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "%*?#\\<>\"'".contains(c))
}
