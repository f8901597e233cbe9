//! Patterns: names in which `*` stands for any text at the beginning or the end. One never reaches beyond the name that it
//! stands in, so that nothing is matched as text that Azure would read as segments.

use std::fmt;
use std::str::FromStr;

use wio_api::limits::{IDENTITY_ID_CHARS_MAX, IDENTITY_NAME_CHARS_MAX, SUBDOMAIN_CHARS_MAX};

use crate::names::{
    IdentityId, IdentityName, InvalidName, ResourceGroupId, ResourceGroupName, ServiceAccountName, SubscriptionId,
};

/// Service accounts by their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountPattern(Glob);

/// User-assigned managed identities by their resource id. Each segment is compared with its own, whatever its case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityPattern {
    /// None when every subscription is meant.
    subscription: Option<SubscriptionId>,
    group: Glob,
    name: Glob,
}

/// How the name of an identity begins, whatever its case. Empty for any name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamePrefix(String);

/// The part of a pattern that is compared, in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Is(&'a str),
    StartsWith(&'a str),
    EndsWith(&'a str),
    /// Nothing, when every name is meant.
    Contains(&'a str),
}

/// A name in lower case, with or without something before and after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    before: bool,
    text: String,
    after: bool,
}

// === impl Glob ===

impl Glob {
    const ANY: &'static str = "*";

    /// A pattern whose text is of these characters, or a whole name by its own rule.
    fn parse<T: FromStr>(pattern: &str, allows: fn(char) -> bool) -> Option<Self> {
        let (before, rest) = pattern
            .strip_prefix(Self::ANY)
            .map_or((false, pattern), |rest| (true, rest));
        let (after, text) = rest.strip_suffix(Self::ANY).map_or((false, rest), |text| (true, text));
        let whole = !before && !after;
        let possible = match text {
            "" => pattern == Self::ANY,
            _ if whole => text.parse::<T>().is_ok(),
            _ => text.chars().all(allows),
        };
        possible.then(|| Self {
            before,
            text: text.to_ascii_lowercase(),
            // A lone asterisk is both.
            after: after || pattern == Self::ANY,
        })
    }

    fn matches(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        match self.part() {
            Part::Is(text) => name == text,
            Part::StartsWith(text) => name.starts_with(text),
            Part::EndsWith(text) => name.ends_with(text),
            Part::Contains(text) => name.contains(text),
        }
    }

    fn part(&self) -> Part<'_> {
        let text = self.text.as_str();
        match (self.before, self.after) {
            (false, false) => Part::Is(text),
            (false, true) => Part::StartsWith(text),
            (true, false) => Part::EndsWith(text),
            (true, true) => Part::Contains(text),
        }
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |there: bool| if there { Self::ANY } else { "" };
        if self.text.is_empty() {
            return f.write_str(Self::ANY);
        }
        write!(f, "{}{}{}", any(self.before), self.text, any(self.after))
    }
}

// === impl ServiceAccountPattern ===

impl ServiceAccountPattern {
    /// Whether it means this service account.
    #[must_use]
    pub fn matches(&self, name: &ServiceAccountName) -> bool {
        self.0.matches(name.as_str())
    }

    pub(super) fn part(&self) -> Part<'_> {
        self.0.part()
    }
}

impl FromStr for ServiceAccountPattern {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "it must be a service account's name, in which '*' may stand at the beginning or the end, or alone";
        let is_open_end = |c: Option<char>| c.is_some_and(|c| c == '-' || c == '.');
        Glob::parse::<ServiceAccountName>(text, |c| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.'
        })
        .filter(|_| text.len() <= SUBDOMAIN_CHARS_MAX && !text.contains(".."))
        .filter(|_| !is_open_end(text.chars().next()) && !is_open_end(text.chars().last()))
        .map(Self)
        .ok_or_else(|| InvalidName::new("service account pattern", text, RULE))
    }
}

impl fmt::Display for ServiceAccountPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

// === impl IdentityPattern ===

impl IdentityPattern {
    /// Whether it means this identity.
    #[must_use]
    pub fn matches(&self, id: &IdentityId) -> bool {
        self.subscription
            .is_none_or(|subscription| subscription == id.group.subscription)
            && self.group.matches(id.group.name.as_str())
            && self.name.matches(id.name.as_str())
    }

    /// The one resource group in which all that it means is; none when it means several.
    pub(crate) fn group(&self) -> Option<ResourceGroupId> {
        let Part::Is(name) = self.group.part() else { return None };
        Some(ResourceGroupId {
            subscription: self.subscription?,
            name: name.parse().ok()?,
        })
    }

    /// The subscription, unless every one is meant, and what it says of the names of the resource group and of the identity.
    pub(super) fn parts(&self) -> (Option<SubscriptionId>, Part<'_>, Part<'_>) {
        (self.subscription, self.group.part(), self.name.part())
    }
}

impl FromStr for IdentityPattern {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "it must be /subscriptions/<GUID>/resourceGroups/<name>/providers/Microsoft.ManagedIdentity/\
            userAssignedIdentities/<name>, in which '*' may stand for the subscription, and at the beginning or the end of a \
            name, or alone, for any text in it";
        let invalid = || InvalidName::new("managed identity pattern", text, RULE);
        let is = |segment: &str, fixed: &str| segment.eq_ignore_ascii_case(fixed);
        let segments: Vec<&str> = text.split('/').collect();
        match segments.as_slice() {
            ["", s, subscription, g, group, p, provider, kind, name]
                if is(s, "subscriptions")
                    && is(g, "resourceGroups")
                    && is(p, "providers")
                    && is(provider, "Microsoft.ManagedIdentity")
                    && is(kind, "userAssignedIdentities")
                    && text.chars().count() <= IDENTITY_ID_CHARS_MAX =>
            {
                Ok(Self {
                    subscription: match *subscription {
                        Glob::ANY => None,
                        guid => Some(guid.parse().map_err(|_| invalid())?),
                    },
                    group: group_pattern(group).ok_or_else(invalid)?,
                    name: name_pattern(name).ok_or_else(invalid)?,
                })
            }
            _ => Err(invalid()),
        }
    }
}

fn group_pattern(text: &str) -> Option<Glob> {
    // No name ends with a full stop, and of full stops alone there is none.
    let dots = text.ends_with('.') || (text.contains('.') && text.chars().all(|c| c == '.' || c == '*'));
    Glob::parse::<ResourceGroupName>(text, |c| c.is_alphanumeric() || "-._()".contains(c)).filter(|_| !dots)
}

fn name_pattern(text: &str) -> Option<Glob> {
    Glob::parse::<IdentityName>(text, |c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        .filter(|_| text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '*'))
}

impl fmt::Display for IdentityPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("/subscriptions/")?;
        match &self.subscription {
            Some(subscription) => subscription.fmt(f)?,
            None => f.write_str(Glob::ANY)?,
        }
        write!(
            f,
            "/resourceGroups/{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{}",
            self.group, self.name
        )
    }
}

// === impl NamePrefix ===

impl NamePrefix {
    /// Whether the name begins so.
    pub(crate) fn begins(&self, name: &IdentityName) -> bool {
        name.as_str().to_ascii_lowercase().starts_with(&self.0)
    }
}

impl FromStr for NamePrefix {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str =
            "it must be at most 128 letters, digits, '-' or '_', and begin with a letter or digit, without '*'";
        let possible = text.len() <= IDENTITY_NAME_CHARS_MAX
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !text.starts_with(['-', '_']);
        possible
            .then(|| Self(text.to_ascii_lowercase()))
            .ok_or_else(|| InvalidName::new("managed identity name prefix", text, RULE))
    }
}

impl fmt::Display for NamePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
