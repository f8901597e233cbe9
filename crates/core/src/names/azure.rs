//! Azure's names: <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules>.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;
use wio_api::keys::DERIVED_NAME_PREFIX;
use wio_api::limits::{CREDENTIAL_NAME_CHARS_MAX, IDENTITY_NAME_CHARS_MAX, RESOURCE_GROUP_CHARS_MAX};

use super::text::{InvalidName, caseless_newtype};

macro_rules! guid_newtype {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The GUID itself.
            #[must_use]
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(guid: Uuid) -> Self {
                Self(guid)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                const HYPHENATED_CHARS: usize = 36;
                Uuid::try_parse(text)
                    .ok()
                    .filter(|guid| text.len() == HYPHENATED_CHARS && !guid.is_nil())
                    .map(Self)
                    .ok_or_else(|| {
                        InvalidName::new($what, text, "it must be a GUID such as 6f2e1c1d-52a4-4d0c-8d2f-0c6a2d0b7a11, not all zeros")
                    })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0.hyphenated())
            }
        }
    };
}

guid_newtype!(
    /// An Azure subscription.
    SubscriptionId,
    "subscription id"
);
guid_newtype!(
    /// An Entra tenant.
    TenantId,
    "tenant id"
);
guid_newtype!(
    /// The application id of an identity: what a workload asks tokens for.
    ClientId,
    "client id"
);
guid_newtype!(
    /// The object id of an identity's service principal: whom roles are given to.
    PrincipalId,
    "principal id"
);

pub(super) use guid_newtype;

caseless_newtype!(
    /// A resource group's name.
    ResourceGroupName,
    "resource group name",
    "it must be 1 to 90 letters, digits, '-', '.', '_', '(' or ')', and not end with '.'",
    |text| {
        (1..=RESOURCE_GROUP_CHARS_MAX).contains(&text.chars().count())
            && text.chars().all(|c| c.is_alphanumeric() || "-._()".contains(c))
            && !text.ends_with('.')
    }
);

caseless_newtype!(
    /// A user-assigned managed identity's name.
    IdentityName,
    "managed identity name",
    "it must be 3 to 128 letters, digits, '-' or '_' and begin with a letter or digit",
    |text| is_word(text, 3, IDENTITY_NAME_CHARS_MAX)
);

caseless_newtype!(
    /// A managed identity's name that somebody chose, which cannot be one that is derived for a binding.
    ChosenIdentityName,
    "name to choose for a managed identity",
    "it must be 3 to 128 letters, digits, '-' or '_', begin with a letter or digit, and not begin with 'wib-', as derived names do",
    |text| is_word(text, 3, IDENTITY_NAME_CHARS_MAX) && !is_reserved(text)
);

caseless_newtype!(
    /// A federated identity credential's name, which cannot change.
    CredentialName,
    "federated credential name",
    "it must be 3 to 120 letters, digits, '-' or '_' and begin with a letter or digit",
    |text| is_word(text, 3, CREDENTIAL_NAME_CHARS_MAX)
);

caseless_newtype!(
    /// An Azure region, for example `westeurope`.
    Location,
    "location",
    "it must be an Azure region's short name, lower-case letters and digits only, for example westeurope",
    |text| (2..=64).contains(&text.len()) && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
);

fn is_word(text: &str, min: usize, max: usize) -> bool {
    (min..=max).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

fn is_reserved(text: &str) -> bool {
    text.get(..DERIVED_NAME_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(DERIVED_NAME_PREFIX))
}

impl From<ChosenIdentityName> for IdentityName {
    fn from(name: ChosenIdentityName) -> Self {
        Self(name.0)
    }
}

impl IdentityName {
    /// Whether only the binding may have it for which it was derived ([`DERIVED_NAME_PREFIX`]).
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        is_reserved(&self.0)
    }

    /// A name that `derive` built, which keeps the rule by construction; a property test holds it to that.
    pub(super) const fn from_derived(name: String) -> Self {
        Self(name)
    }
}

impl CredentialName {
    /// A name that `derive` built, which keeps the rule by construction; a property test holds it to that.
    pub(super) const fn from_derived(name: String) -> Self {
        Self(name)
    }
}
