//! The tags that the operator's configuration puts on identities, and those that it leaves to others.
//! <https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations>

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use wio_api::GROUP;

use crate::names::InvalidName;
use crate::observed::Tags;

/// A tag that every managed identity gets, unless its binding gives it another value: `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultTag {
    name: String,
    value: String,
}

/// A name of tags that are others', as an Azure Policy writes them, or how such names begin: `costCenter` or `policy-*`. Azure disregards case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredTag {
    /// In lower case.
    name: String,
    is_prefix: bool,
}

/// What Azure takes as a tag's name.
const NAME_CHARS_MAX: usize = 512;
/// What Azure takes as a tag's value.
const VALUE_CHARS_MAX: usize = 256;

// === impl DefaultTag ===

impl FromStr for DefaultTag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "it must be name=value, with a name of 1 to 512 characters and none of < > % & \\ ? / and a value of at most 256, \
            and a name that begins with workloadidentity.dev is the operator's own";
        let valid =
            |name: &str, value: &str| is_name(name) && !is_own(name) && value.chars().count() <= VALUE_CHARS_MAX;
        match text.split_once('=') {
            Some((name, value)) if valid(name, value) => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(InvalidName::new("default tag", text, RULE)),
        }
    }
}

/// The tags of the configuration; of one that is named twice the last one.
#[must_use]
pub fn default_tags(tags: impl IntoIterator<Item = DefaultTag>) -> Tags {
    let mut all = Tags::new();
    for tag in tags {
        all.retain(|name, _| !name.eq_ignore_ascii_case(&tag.name));
        all.insert(tag.name, tag.value);
    }
    all
}

// === impl IgnoredTag ===

impl IgnoredTag {
    /// Whether a tag of this name is one.
    #[must_use]
    pub fn means(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        name == self.name || (self.is_prefix && name.starts_with(&self.name))
    }
}

impl FromStr for IgnoredTag {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const RULE: &str = "it must be a tag's name, or how names begin and then '*', for example policy-*; the operator's own tags, which \
            begin with workloadidentity.dev, cannot be ignored: by them it knows whose an identity is";
        let (name, is_prefix) = match text.strip_suffix('*') {
            Some(beginning) => (beginning, true),
            None => (text, false),
        };
        let name = name.to_lowercase();
        // A beginning that the operator's own names have as well would mean those.
        let means_own = is_own(&name) || (is_prefix && GROUP.starts_with(&name));
        if !is_name(&name) || name.contains('*') || means_own {
            return Err(InvalidName::new("ignored tag", text, RULE));
        }
        Ok(Self { name, is_prefix })
    }
}

impl fmt::Display for IgnoredTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, if self.is_prefix { "*" } else { "" })
    }
}

/// Whether a tag is one of those that are ignored.
pub(crate) fn is_ignored(ignored: &[IgnoredTag], name: &str) -> bool {
    ignored.iter().any(|tag| tag.means(name))
}

/// The tags that an identity is to carry: those of the configuration, those of its binding before them, and without those that are ignored.
pub(crate) fn wanted(defaults: &Tags, asked: &BTreeMap<String, String>, ignored: &[IgnoredTag]) -> Tags {
    let is_asked = |name: &str| asked.keys().any(|other| other.eq_ignore_ascii_case(name));
    let defaults = defaults.iter().filter(|(name, _)| !is_asked(name));
    let all = defaults.chain(asked).filter(|(name, _)| !is_ignored(ignored, name));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.chars().count())
        && !text.chars().any(|c| "<>%&\\?/".contains(c) || c.is_control())
}

fn is_own(name: &str) -> bool {
    name.to_lowercase().starts_with(GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(all: &[(&str, &str)]) -> Tags {
        all.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_default_tag_has_a_name_that_azure_takes_and_that_is_not_the_operators() {
        for good in ["team=shop", "team=", "cost center=a=b", "a=ä"] {
            assert!(good.parse::<DefaultTag>().is_ok(), "{good}");
        }
        let (long, longer) = (format!("a={}", "x".repeat(257)), format!("{}=x", "a".repeat(513)));
        for bad in [
            "",
            "team",
            "=shop",
            "a/b=c",
            "a<b=c",
            "workloadidentity.dev-cluster=x",
            "WORKLOADIDENTITY.DEV=x",
            &long,
            &longer,
        ] {
            assert!(bad.parse::<DefaultTag>().is_err(), "{bad}");
        }
        let all = ["team=a", "Team=b"].map(|tag| tag.parse().unwrap());
        assert_eq!(default_tags(all), tags(&[("Team", "b")]));
    }

    #[test]
    fn an_ignored_tag_is_a_name_or_a_beginning_and_none_by_which_the_operator_knows_its_own() {
        let policy: IgnoredTag = "Policy-*".parse().unwrap();
        for (name, means) in [
            ("policy-", true),
            ("POLICY-x", true),
            ("policy", false),
            ("a-policy-", false),
        ] {
            assert_eq!(policy.means(name), means, "{name}");
        }
        let exact: IgnoredTag = "costCenter".parse().unwrap();
        assert!(exact.means("COSTCENTER") && !exact.means("costCenter2"));
        assert_eq!(
            (policy.to_string(), exact.to_string()),
            ("policy-*".to_owned(), "costcenter".to_owned())
        );
        for bad in [
            "",
            "*",
            "a*b",
            "w*",
            "workload*",
            "workloadidentity.dev*",
            "workloadidentity.dev-cluster",
            "a/b",
        ] {
            assert!(bad.parse::<IgnoredTag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_binding_gives_a_default_another_value_and_what_is_ignored_is_nobodys_wish() {
        let defaults = tags(&[("team", "platform"), ("env", "prod"), ("policy-a", "x")]);
        let asked = tags(&[("Team", "shop"), ("app", "orders"), ("policy-b", "y")]);
        let ignored = ["policy-*".parse().unwrap()];
        assert_eq!(
            wanted(&defaults, &asked.into_iter().collect(), &ignored),
            tags(&[("Team", "shop"), ("env", "prod"), ("app", "orders")])
        );
    }
}
